"""``peergrid plan`` for people: methods side by side, what is built, and what it changes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

PERCENT = 100.0
OBJECTIVES = {"cost": "cost, EUR", "traded": "traded, kWh (more is better)"}
Row = tuple[str, str, str, int, float]

DAY: Sequence[Row] = (  # key, meaning, unit, digits, factor
    ("cost_eur", "cost", "EUR", 1, 1.0),
    ("energy_cost_eur", "of it energy", "EUR", 1, 1.0),
    ("owning_cost_eur", "of it owning, less revenue", "EUR", 1, 1.0),
    ("wear_cost_eur", "of it wear", "EUR", 1, 1.0),
    ("import_kwh", "drawn at the feeder head", "kWh", 1, 1.0),
    ("export_kwh", "fed back at the feeder head", "kWh", 1, 1.0),
    ("loss_kwh", "lost in the grid", "kWh", 1, 1.0),
    ("traded_kwh", "traded between neighbours", "kWh", 1, 1.0),
    ("vm_min_pu", "lowest voltage", "pu", 4, 1.0),
    ("vm_max_pu", "highest voltage", "pu", 4, 1.0),
    ("max_loading", "highest loading", "%", 1, PERCENT),
    ("capex_eur", "investment", "EUR", 0, 1.0),
)
OPERATED: Sequence[Row] = (
    ("energy_cost_eur", "energy at the feeder head", "EUR", 1, 1.0),
    *(row for row in DAY if not row[0].endswith("_eur")),
    ("stored_end_kwh", "left in storages at the end", "kWh", 1, 1.0),
    ("plants_kwh", "fed in by new plants", "kWh", 1, 1.0),
    ("voltage_violations", "bus hours outside the band", "", 0, 1.0),
    ("overloads", "line hours above the rating", "", 0, 1.0),
    ("ev_departures", "departures, each of a whole station", "", 0, 1.0),
    ("ev_departures_met", "with the energy promised", "", 0, 1.0),
    ("envelope_breaches", "breaches of envelopes", "", 0, 1.0),
)


def tables(found: Mapping[str, Any]) -> Iterator[Table]:
    """Methods; what the chosen plan builds, and what it changes; its replay."""
    yield _methods(found)
    if found["chosen"] is not None:
        yield _built(found)
        yield _day(found)
    if found["replay"] is not None:
        yield _replay(found["replay"])


def notes(found: Mapping[str, Any]) -> list[str]:
    """Where everything is."""
    said = []
    if found["base"]["breaks"]:
        said.append(f"without a plan: {', '.join(found['base']['breaks'])}")
    said += [f"{label}: {why}" for label, why in found["failed"].items()]
    said.append(f"results: {found['results']}")
    if found["scenario"] is None:
        return [*said, "no plan keeps all limits: no scenario is written"]
    said.append(f"scenario: {found['scenario']}")
    if found["replay"] is None:
        return [*said, f"replay: peergrid run {found['scenario']}"]
    return [*said, f"replay: {found['replay']['results']}"]


def _methods(found: Mapping[str, Any]) -> Table:
    table = _table(
        "method",
        "median",
        "best",
        "worst",
        "from best, %",
        "search alone",
        "proven gap, %",
        "s",
        "AC check",
    )
    runs = max((line["runs"] for line in found["methods"]), default=1)
    seeds = f", {runs} seeds" if runs > 1 else ""
    table.title = f"{found['name']}: {OBJECTIVES[found['objective']]}{seeds}"
    for line in found["methods"]:
        method = " ".join(filter(None, (line["method"], line["variant"])))
        values = (_number(line[key], 1) for key in ("median", "best", "worst"))
        away, proven = (
            "-" if line[k] is None else f"{PERCENT * line[k]:.2f}" for k in ("distance", "gap")
        )
        alone, seconds = _number(line["searched"], 1), f"{line['seconds']:.1f}"
        table.add_row(method, *values, away, alone, proven, seconds, _check(line))
    return table


def _check(line: Mapping[str, Any]) -> str:
    """Whether all plans are clean, or what breaks."""
    if line["clean"] == line["runs"]:
        return "clean"
    share = "" if line["runs"] == 1 else f"{line['clean']} of {line['runs']} clean: "
    return share + ", ".join(line["breaks"])


def _built(found: Mapping[str, Any]) -> Table:
    table = _table("technology", "bus", "size", "unit", "investment, EUR", "")
    table.title = f"built by {found['chosen']}"
    for unit in found["built"]:
        digits = 0 if unit["size"] == round(unit["size"]) else 3
        size, investment = _number(unit["size"], digits), _number(unit["capex_eur"], 0)
        table.add_row(unit["technology"], str(unit["bus"]), size, unit["unit"], investment)
    if not found["built"]:
        table.add_row("nothing")
    return table


def _day(found: Mapping[str, Any]) -> Table:
    chosen = next(plan for plan in found["plans"] if plan["label"] == found["chosen"])
    table = _table("", "without", "planned", "change", "")
    table.title = f"the day without a plan and with that of {found['chosen']}"
    for row in DAY:
        table.add_row(*_compared(row, found["base"], chosen))
    return table


def _replay(replay: Mapping[str, Any]) -> Table:
    table = _table("", "planned", "operated", "change", "")
    table.title = "the plan and its run in the loop"
    for row in OPERATED:
        table.add_row(*_compared(row, replay["planned"], replay["operated"]))
    return table


def _compared(row: Row, this: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    key, meaning, unit, digits, factor = row
    first, second = this.get(key), other.get(key)
    change = None if first is None or second is None else second - first
    cells = [_number(v, digits, factor) for v in (first, second)]
    return meaning, *cells, _number(change, digits, factor, sign="+"), unit


def _number(value: float | None, digits: int, factor: float = 1.0, sign: str = "") -> str:
    """A number for people.

    >>> _number(1234.56, 1), _number(0.5, 0, 100.0, "+"), _number(-0.001, 1), _number(None, 1)
    ('1 234.6', '+50', '0.0', '-')
    """
    if value is None:
        return "-"
    rounded = round(factor * value, digits) + 0.0
    return f"{rounded:{sign},.{digits}f}".replace(",", " ")


def _table(first: str, *columns: str) -> Table:
    """A table whose last column is text, the others numbers."""
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.title_style = "bold"
    table.add_column(first, no_wrap=True)
    for k, column in enumerate(columns):
        is_text = k == len(columns) - 1 or column == "unit"
        table.add_column(column, justify="left" if is_text else "right")
    return table
