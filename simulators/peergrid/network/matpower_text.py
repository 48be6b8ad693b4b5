"""The text of a MATPOWER case file, understood without running it.

A case file is a MATLAB function: tables of numbers, and in many distribution cases a few statements
at the end that convert ohm to per unit and kW to MW. This module knows exactly the statements that
the radial cases of MATPOWER 8.1 consist of (``_STATEMENTS``), carries them out in their order, and
refuses a file with any other. Nothing in a file is ever handed to an interpreter.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from peergrid.errors import DataError
from peergrid.network.feeder import Floats

# what idx_bus and idx_brch return, in this order; the first four are values of the bus type
_TYPES = ("PQ", "PV", "REF", "NONE")
_BUS_COLUMNS = (
    *("BUS_I", "BUS_TYPE", "PD", "QD", "GS", "BS", "BUS_AREA", "VM", "VA", "BASE_KV"),
    *("ZONE", "VMAX", "VMIN", "LAM_P", "LAM_Q", "MU_VMAX", "MU_VMIN"),
)
_BRANCH_COLUMNS = (
    *("F_BUS", "T_BUS", "BR_R", "BR_X", "BR_B", "RATE_A", "RATE_B", "RATE_C", "TAP", "SHIFT"),
    *("BR_STATUS", "PF", "QF", "PT", "QT", "MU_SF", "MU_ST", "ANGMIN", "ANGMAX"),
    *("MU_ANGMIN", "MU_ANGMAX"),
)
_INDEX_LISTS = {"idx_bus": (*_TYPES, *_BUS_COLUMNS), "idx_brch": _BRANCH_COLUMNS}
# columns that a file may convert
_CONVERTED = {"PD": ("bus", 2), "QD": ("bus", 3), "BR_R": ("branch", 2), "BR_X": ("branch", 3)}
# columns that every row of a table must have, up to the last one that is read
_LEAST_COLUMNS = {"bus": 13, "gen": 8, "branch": 11}

_NUMBER = re.compile(r"[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|Inf|inf|NaN|nan)")
_QUOTIENT = re.compile(rf"(?P<over>{_NUMBER.pattern})/(?:(?P<root>sqrt\()?(?P<under>[\d.]+)\)?)")
_TOKEN = re.compile(
    r"""(?P<skipped>%[^\n]*|\.\.\.[^\n]*(?:\n|$))
      | (?P<text>'[^'\n]*'|"[^"\n]*")
      | (?P<opened>[\[({])
      | (?P<closed>[\])}])
      | (?P<end>[;,\n])
      | (?P<other>[^%.'"\[({\])};,\n]+|.)""",
    re.VERBOSE,
)
_CLOSING = {"[": "]", "(": ")", "{": "}"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """Tables of a case after the conversions of its file, in MATPOWER's columns and units.

    ``bus`` (n_bus, >= 13), ``gen`` (n_gen, >= 8), ``branch`` (n_branch, >= 11): MW, MVar, pu, kV.
    """

    name: str
    base_mva: float
    bus: Floats
    gen: Floats
    branch: Floats


def parse_case(text: str, *, name: str) -> Case:
    """Read a case file (version 2 of the case format).

    Parameters
    ----------
    text
        Contents of the file.
    name
        What messages and the case are called.

    Raises
    ------
    DataError
        If the file is cut off, lacks a table, or holds a statement that is not known.

    Examples
    --------
    >>> parse_case("function mpc = two\\nsystem('date');", name="two")
    Traceback (most recent call last):
    ...
    peergrid.errors.DataError: two: statement = "system('date')": allowed: tables of numbers and ...
    """
    work = _Workspace(name=name)
    for statement in _statements(text, name):
        _carry_out(statement, work)
    for table in _LEAST_COLUMNS:
        if table not in work.tables:
            raise DataError(
                name, f"mpc.{table}", None, f"a table 'mpc.{table} = [...]' in the file"
            )
    if work.base_mva is None:
        raise DataError(name, "mpc.baseMVA", None, "a number 'mpc.baseMVA = ...' in the file")
    return Case(name=name, base_mva=work.base_mva, **work.tables)


@dataclass(kw_only=True, eq=False)
class _Workspace:
    """What the statements so far have assigned."""

    name: str
    base_mva: float | None = None
    tables: dict[str, Floats] = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)


class _UnknownError(Exception):
    """A statement has a known beginning but is not one of the known ones."""


def _statements(text: str, name: str) -> Iterator[str]:
    """Statements without comments and continuation marks; ends inside brackets do not count."""
    text = text.replace("\r\n", "\n")
    if re.search(r"^[ \t]*%\{[ \t]*$", text, re.MULTILINE):
        raise DataError(name, "comment", "%{", "comments of one line each (%), no blocks")
    pieces: list[str] = []
    expected: list[str] = []  # brackets to be closed
    for token in _TOKEN.finditer(text):
        kind, piece = token.lastgroup, token.group()
        if kind == "skipped":
            pieces.append(" ")
        elif kind == "end" and not expected:
            yield from _nonempty(pieces)
            pieces = []
        else:
            pieces.append(piece)
            if kind == "opened":
                expected.append(_CLOSING[piece])
            elif kind == "closed" and (not expected or expected.pop() != piece):
                raise DataError(name, "bracket", "".join(pieces).strip(), "brackets in pairs")
    if expected:
        begun = "".join(pieces).strip()
        raise DataError(name, "statement", begun, "a complete file: this one is cut off here")
    yield from _nonempty(pieces)


def _nonempty(pieces: list[str]) -> Iterator[str]:
    statement = "".join(pieces).strip()
    if statement:
        yield statement


def _carry_out(statement: str, work: _Workspace) -> None:
    plain = re.sub(r" ?([^\w .]) ?", r"\1", " ".join(statement.split()))
    for pattern, action in _STATEMENTS:
        found = pattern.fullmatch(statement if action is _assign_table else plain)
        if found:
            try:
                return action(found, work)
            except _UnknownError:
                break
    wanted = "tables of numbers and the unit conversions of MATPOWER's radial cases, nothing else"
    raise DataError(work.name, "statement", " ".join(statement.split()), wanted)


def _assign_table(found: re.Match[str], work: _Workspace) -> None:
    table = found["table"]
    rows = [row.replace(",", " ").split() for row in re.split(r"[;\n]", found["rows"])]
    filled = [row for row in rows if row]
    where = f"mpc.{table}"
    widths = {len(row) for row in filled}
    if not filled:
        raise DataError(work.name, where, "[]", "at least one row")
    if len(widths) > 1:
        wanted = "rows of equal length"
        raise DataError(work.name, where, f"rows of {sorted(widths)} numbers", wanted)
    least = _LEAST_COLUMNS.get(table, 0)
    if min(widths) < least:
        wanted = f"at least {least} numbers, as version 2 of the case format has them"
        raise DataError(work.name, where, f"rows of {min(widths)} numbers", wanted)
    values = [[_entry(entry, where, work) for entry in row] for row in filled]
    if least:  # the others (costs of generators) are not used
        work.tables[table] = np.array(values, dtype=np.float64)


def _entry(entry: str, where: str, work: _Workspace) -> float:
    value = _value(entry)
    if value is None:
        raise DataError(work.name, where, entry, "a number")
    return value


def _value(text: str) -> float | None:
    """A number, a quotient of two or a number over a square root.

    >>> _value("-1.5e3"), _value("50/4"), _value("12/sqrt(4)"), _value("f(1)")
    (-1500.0, 12.5, 6.0, None)
    """
    if _NUMBER.fullmatch(text):
        return float(text)
    found = _QUOTIENT.fullmatch(text)
    if found is None or not _NUMBER.fullmatch(found["under"]):
        return None
    if (found["root"] is None) == text.endswith(")"):
        return None
    under = float(found["under"])
    if under == 0.0:
        return None
    return float(found["over"]) / (math.sqrt(under) if found["root"] else under)


def _known_value(text: str) -> float:
    value = _value(text)
    if value is None:
        raise _UnknownError
    return value


def _ignore(found: re.Match[str], work: _Workspace) -> None:
    """The head of the function, names of buses and kinds of generators: nothing to compute."""


def _check_index_list(found: re.Match[str], work: _Workspace) -> None:
    """Names of columns must be the official ones in their order: the conversions rely on them."""
    names = re.split(r"[ ,]", found["names"])
    if tuple(names) != _INDEX_LISTS[found["source"]][: len(names)]:
        raise _UnknownError


def _assign_base(found: re.Match[str], work: _Workspace) -> None:
    work.base_mva = _known_value(found["value"])


def _assign_voltage(found: re.Match[str], work: _Workspace) -> None:
    if "bus" not in work.tables:
        raise _UnknownError
    base_kv = float(work.tables["bus"][0, _BUS_COLUMNS.index("BASE_KV")])
    work.scalars["Vbase"] = base_kv * _known_value(found["value"])


def _assign_power(found: re.Match[str], work: _Workspace) -> None:
    if work.base_mva is None:
        raise _UnknownError
    work.scalars["Sbase"] = work.base_mva * _known_value(found["value"])


def _assign_factor(found: re.Match[str], work: _Workspace) -> None:
    factor = _known_value(found["value"])
    if not 0.0 < factor <= 1.0:
        raise DataError(work.name, "pf", factor, "a power factor between 0 and 1")
    work.scalars["pf"] = factor


def _convert(found: re.Match[str], work: _Workspace) -> None:
    """Columns of a table from columns of the same table, times or over a number."""
    table = found["table"]
    into, source = _columns(found["into"], table), _columns(found["source"], table)
    factor = _factor(found["factor"], work)
    if table not in work.tables or len(into) != len(source) or factor == 0.0:
        raise _UnknownError
    values = work.tables[table]
    taken = values[:, source]
    values[:, into] = taken * factor if found["sign"] == "*" else taken / factor


def _columns(names: str, table: str) -> list[int]:
    columns = [_CONVERTED.get(name, ("", -1)) for name in re.split(r"[ ,]", names.strip("[]"))]
    if any(of != table for of, _ in columns) or len(set(columns)) != len(columns):
        raise _UnknownError
    return [column for _, column in columns]


def _factor(text: str, work: _Workspace) -> float:
    known = work.scalars
    if text == "pf" and "pf" in known:
        return known["pf"]
    if text == "sin(acos(pf))" and "pf" in known:
        return math.sin(math.acos(known["pf"]))
    if text == "(Vbase^2/Sbase)" and known.get("Vbase") and known.get("Sbase"):
        return known["Vbase"] ** 2 / known["Sbase"]
    return _known_value(text)


_Action: TypeAlias = Callable[[re.Match[str], _Workspace], None]
_TEXTS = r"\{(?:'[^'\n]*'|\"[^\"\n]*\"|[;, ])*\}"
# each statement that is known, blanks around signs removed, and what carries it out
_STATEMENTS: tuple[tuple[re.Pattern[str], _Action], ...] = (
    (re.compile(r"function mpc=\w+"), _ignore),
    (re.compile(r"mpc\.version='2'"), _ignore),
    (re.compile(rf"mpc\.(?:bus_name|gentype|genfuel)={_TEXTS}"), _ignore),
    (
        re.compile(r"mpc\.(?P<table>bus|gen|branch|gencost)\s*=\s*\[(?P<rows>[^\]]*)\]"),
        _assign_table,
    ),
    (re.compile(r"\[(?P<names>[\w ,]+)\]=(?P<source>idx_bus|idx_brch)"), _check_index_list),
    (re.compile(r"mpc\.baseMVA=(?P<value>\S+)"), _assign_base),
    (re.compile(r"Vbase=mpc\.bus\(1,BASE_KV\)\*(?P<value>\S+)"), _assign_voltage),
    (re.compile(r"Sbase=mpc\.baseMVA\*(?P<value>\S+)"), _assign_power),
    (re.compile(r"pf=(?P<value>\S+)"), _assign_factor),
    (
        re.compile(
            r"mpc\.(?P<table>bus|branch)\(:,(?P<into>\w+|\[[\w ,]+\])\)="
            r"mpc\.(?P=table)\(:,(?P<source>\w+|\[[\w ,]+\])\)(?P<sign>[*/])(?P<factor>\S+)"
        ),
        _convert,
    ),
)
