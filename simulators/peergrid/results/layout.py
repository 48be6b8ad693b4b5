"""Names and shapes inside a results file, shared by its writer and its reader.

::

    /                          root attributes: peergrid_schema, start, step_s, status, ...
    /rows                      rows that are complete (scalar, written last in every hour)
    /time                      start of each row [s] since ``start``
    /Series/<sid.eid>/<attr>   one series: (time) or, for lists, (time, item); virtual
    /Blocks/<n>/values         what the series point at: (time, column) or (time, column, item)
    /Blocks/<n>/columns        which entity and attribute each column holds
    /Relations/<sid.eid>       pairs (relation, series) of neighbouring entities
    /Events                    table of time, who, what, value
    /State/<sid>/{0,1}         JSON to resume from, two slots used in turn
    /Texts/<name>              root attributes too long for an HDF5 attribute
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

SCHEMA = 1
SERIES = "Series"
BLOCKS = "Blocks"
RELATIONS = "Relations"
EVENTS = "Events"
STATE = "State"
TEXTS = "Texts"
TIME = "time"
ROWS = "rows"
SCHEMA_ATTR = "peergrid_schema"
RESERVED = (SCHEMA_ATTR, "start", "step_s", "rows_planned", "status")

WHO_BYTES = 80
WHAT_BYTES = 240
EVENT_DTYPE = np.dtype(
    [("time", "<f8"), ("who", f"S{WHO_BYTES}"), ("what", f"S{WHAT_BYTES}"), ("value", "<f8")]
)

_UNIT = re.compile(r"\[(?P<unit>[^\]]+)\]$")
_INDEX = re.compile(r"[-_ ]?\d+$")
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, kw_only=True)
class SeriesInfo:
    """What the writer needs to know about a series beyond its name.

    Parameters
    ----------
    model
        Type of the entity.
    unit
        Unit of the values; empty when there is none.
    lag_steps
        Steps by which values arrive after the row they describe.
    """

    model: str
    unit: str = ""
    lag_steps: int = 0


Describe = Callable[[str, str], SeriesInfo]


def info_from_names(full_id: str, attr: str) -> SeriesInfo:
    """Model and unit as the names of an entity and an attribute suggest them, no lag.

    >>> info_from_names("Grid-0.Bus-12", "Vm[pu]")
    SeriesInfo(model='Bus', unit='pu', lag_steps=0)
    """
    eid = full_id.partition(".")[2] or full_id
    match = _UNIT.search(attr)
    return SeriesInfo(model=_INDEX.sub("", eid) or eid, unit=match["unit"] if match else "")


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """Sort key that puts ``Bus-2`` before ``Bus-10``.

    >>> sorted(["Bus-10", "Bus-2"], key=natural)
    ['Bus-2', 'Bus-10']
    """
    parts = _DIGITS.split(text)
    return tuple((int(p) if p.isdecimal() else -1, p) for p in parts)


def shorten(text: object, size: int) -> bytes:
    """UTF-8 of at most ``size`` bytes, cut between characters, on one line.

    >>> shorten("40 °C", 4)
    b'40 '
    """
    line = " ".join(str(text).split())
    return line.encode("utf-8", "replace")[:size].decode("utf-8", "ignore").encode()


def number(value: Any) -> float:
    """A float for the event table: NaN when the value is not a number.

    >>> number(True), number("much")
    (1.0, nan)
    """
    return float(value) if isinstance(value, int | float | np.number | np.bool_) else float("nan")
