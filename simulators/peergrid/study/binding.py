"""Which limit of the network stops the envelopes, in words.

Always worth a look: where no limit binds, every sensible envelope equals none at all.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.certify import Certified
from peergrid.envelopes.limits import Limits

Floats = NDArray[np.float64]
FULL = 1e-4  # room of a row, relative to its limit, that counts as none


@dataclass(frozen=True, kw_only=True)
class Binding:
    """A limit that the envelopes fill in one hour: "rise", "upper voltage", "lower voltage" of a
    bus or "current" into it.
    """

    kind: str
    bus: int
    hour: int

    def __str__(self) -> str:
        place = "into" if self.kind == "current" else "at"
        return f"{self.kind} {place} bus {self.bus}, hour {self.hour}"


def binding(limits: Limits, certified: Certified[Any], needed: Floats) -> tuple[Binding, ...]:
    """Rows that the envelopes fill, in the order of the hours, one per hour.

    Of several the one that comes nearest to stopping the schedule: the one that the extents
    ``needed`` ``(4 N, T)`` fill most.
    """
    rows = certified.rows
    if len(rows.at) == 0:
        return ()
    room = np.maximum(rows.limit, 1e-12)
    full = np.isfinite(rows.limit) & (rows.used(certified.boxes.extent) >= (1.0 - FULL) * room)
    share = np.where(full, rows.used(needed) / room, -np.inf)
    found = []
    for hour in np.flatnonzero(full.any(axis=0)):
        j = int(np.argmax(share[:, hour]))
        bus, kind = int(rows.at[j]), str(rows.kind[j])
        if kind != "current":
            kind = "rise" if kind == "upper" and limits.by_rise[bus, hour] else f"{kind} voltage"
        found.append(Binding(kind=kind, bus=int(limits.feeder.bus_id[bus]), hour=int(hour)))
    return tuple(found)


def in_short(found: Sequence[Binding]) -> str:
    """How often which kind binds, and the bus where it does most.

    Examples
    --------
    >>> in_short([Binding(kind="rise", bus=27, hour=h) for h in (3, 4)])
    'rise 2 h (bus 27)'
    >>> in_short([])
    'none'
    """
    kinds = Counter(one.kind for one in found)
    parts = []
    for kind, hours in kinds.most_common():
        bus, _ = Counter(one.bus for one in found if one.kind == kind).most_common(1)[0]
        parts.append(f"{kind} {hours} h (bus {bus})")
    return ", ".join(parts) or "none"
