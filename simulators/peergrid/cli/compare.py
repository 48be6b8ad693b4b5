"""``peergrid compare``: one day of energy communities under one method after the other."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from peergrid.errors import DataError
from peergrid.study.library import is_shipped, load_case
from peergrid.study.methods import METHODS, run
from peergrid.study.published import CAVEATS, TABLE, Published
from peergrid.study.report import compared, line, series

BASE = "base"
PUBLISHED_DAY = "ieee69"
DEFAULT = (
    BASE,
    "none",
    "static",
    "doe-equal",
    "doe-prop",
    "dfe-two-stage",
    "dfe-joint",
    "dfe-joint-loss",
)
COLUMNS = (
    "method",
    "losses\nkWh",
    "\n%",
    "reactive\nkvarh",
    "\n%",
    "traded\nMWh",
    "\nMvarh",
    "cost\nEUR",
    "Vmin\npu",
    "Vmax\npu",
    "Jain\nboxes",
    "what binds",
)


def chosen(methods: str | None) -> tuple[str, ...]:
    """Methods from a comma-separated list, ``base`` first, with which all are compared."""
    if methods is None:
        return DEFAULT
    names = [name.strip() for name in methods.split(",") if name.strip()]
    for name in names or [methods]:
        if name not in METHODS:
            raise DataError("compare", "--methods", name, ", ".join(METHODS))
    return (BASE, *(name for name in dict.fromkeys(names) if name != BASE))


def compare(
    name: str, methods: Sequence[str], advance: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """Run the methods.

    Parameters
    ----------
    name
        "ieee69", "ieee33", FILE.toml or "random:SEED".
    methods
        ``base`` first.
    advance
        Is told how many are done.

    Returns
    -------
    ``case``, ``days`` (a line per method, what it changed, and its series) and, for the day that
    is set beside a published one, ``published`` and ``caveats``.
    """
    case = load_case(name)
    base, days = None, []
    for k, method in enumerate(methods):
        day = run(case, method)
        base = base or day
        days.append({**line(day), **compared(day, base), "series": series(day)})
        if advance is not None:
            advance(k + 1)
    found: dict[str, Any] = {"case": name, "days": days}
    if is_shipped(name, PUBLISHED_DAY):
        found["published"] = [vars(row) for row in TABLE]
        found["caveats"] = list(CAVEATS)
    return found


def comparison_table(found: dict[str, Any]) -> Table:
    """Methods by row; beneath, the published ones."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        last = column == COLUMNS[-1]
        table.add_column(
            column,
            justify="left" if last or column == "method" else "right",
            no_wrap=not last,
        )
    for day in found["days"]:
        table.add_row(*_row(day))
    for row in TABLE if "published" in found else ():
        table.add_row(*_published(row))
    return table


def notes(found: dict[str, Any]) -> list[str]:
    """What to know when reading the table, one sentence or two each."""
    said = [
        "Losses by the exact power flow, % against base; cost of all communities without a charge "
        "on losses; Jain: how evenly the envelopes share, relative to contracts.",
    ]
    said += [
        f"{day['method']}: {100.0 * -day['gap']:.2g} % off its optimum at most, not converged."
        for day in found["days"]
        if day["status"] != "converged"
    ]
    return said + list(found.get("caveats", ()))


def write_csv(found: dict[str, Any], path: Path) -> None:
    """The lines of all methods as a CSV file, series left out."""
    if path.suffix != ".csv":
        raise DataError("compare", "--out", str(path), "FILE.csv")
    rows = [{key: value for key, value in day.items() if key != "series"} for day in found["days"]]
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise DataError("compare", "--out", str(path), f"a place to write ({error})") from error


def _row(day: dict[str, Any]) -> tuple[str, ...]:
    is_base = day["method"] == BASE
    return (
        day["method"],
        f"{day['loss_kwh']:.0f}",
        "" if is_base else _percent(day["loss_change"]),
        f"{day['loss_kvarh']:.0f}",
        "" if is_base else _percent(day["loss_change_reactive"]),
        f"{day['traded_mwh']:.2f}",
        f"{day['traded_mvarh']:.2f}",
        f"{day['cost']:.0f}",
        f"{day['vm_min_pu']:.4f}",
        f"{day['vm_max_pu']:.4f}",
        "-" if day["jain"] is None else f"{day['jain']:.3f}",
        day["binding"],
    )


def _published(row: Published) -> tuple[str, ...]:
    printed = [
        "" if value is None else f"-{value:g}"
        for value in (row.reduction_pct, row.reduction_reactive_pct)
    ]
    losses = f"{row.loss_kwh:.0f}", printed[0], f"{row.loss_kvarh:.0f}", printed[1]
    return (f"published {row.method}", *losses, *["-"] * 6, "")


def _percent(change: float) -> str:
    return f"{100.0 * change:+.1f}"
