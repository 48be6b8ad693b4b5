"""The summary of a run as a table for people: what, how much, in which unit."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Row = tuple[str, str, str]

SECTIONS: Mapping[str, Sequence[Row]] = {
    "energy": (
        ("traded_kwh", "traded between neighbours", "kWh"),
        ("import_kwh", "drawn at the feeder head", "kWh"),
        ("export_kwh", "fed back at the feeder head", "kWh"),
        ("retail_import_kwh", "bought from the retailer", "kWh"),
        ("retail_export_kwh", "sold to the retailer", "kWh"),
        ("loss_kwh", "lost in the grid", "kWh"),
        ("loss_kvarh", "reactive, lost in the grid", "kvarh"),
        ("max_power_balance_error_kw", "largest gap of the power balance", "kW"),
    ),
    "money": (
        ("cost_eur", "cost of all participants", "EUR"),
        ("savings_eur", "saved against retailer only", "EUR"),
        ("retailer_bill_eur", "paid to the retailer", "EUR"),
        ("network_fees_eur", "network fees on trades", "EUR"),
        ("operator_cost_eur", "paid by the network operator for losses", "EUR"),
        ("payment_imbalance_eur", "payments off by", "EUR"),
    ),
    "grid": (
        ("vm_min_pu", "lowest voltage", "pu"),
        ("vm_max_pu", "highest voltage", "pu"),
        ("voltage_violations", "bus hours outside the band", ""),
        ("max_loading_pct", "highest loading", "%"),
        ("overloads", "line hours above the rating", ""),
        ("nonconverged_hours", "steps without a power flow", ""),
    ),
    "envelopes": (
        ("envelope_breaches", "breaches", ""),
        ("envelope_breaches_promised", "that the promised confidence allows for", ""),
        ("envelope_use", "used of their reach, mean", ""),
        ("binding_rows", "row hours that limit them", ""),
        ("linear_gap_pu", "error of the linear voltages at their corners, or of a plan", "pu"),
        ("corner_violation_pu", "limits broken at their corners, exact", "pu"),
    ),
    "vehicles": (
        ("ev_departures", "departures", ""),
        ("ev_departures_met", "with the energy promised", ""),
    ),
    "run": (
        ("status", "status", ""),
        ("hours", "hours", "h"),
        ("events", "events", ""),
        ("unconverged_clearings", "clearings at their limit", ""),
    ),
}


def summary_table(summary: Mapping[str, Any], against: Mapping[str, Any] | None = None) -> Table:
    """Rows by section; with a second summary, its values and the differences beside them."""
    table = Table(show_header=against is not None, box=None, pad_edge=False)
    table.add_column("", style="bold")
    table.add_column("")
    table.add_column("this", justify="right")
    if against is not None:
        table.add_column("other", justify="right")
        table.add_column("difference", justify="right")
    table.add_column("")
    for section, rows in _sections(summary):
        for k, (key, meaning, unit) in enumerate(rows):
            head = section if k == 0 else ""
            values = [shown(summary.get(key))]
            if against is not None:
                values += [shown(against.get(key)), _difference(summary, against, key)]
            table.add_row(head, meaning, *values, unit)
    return table


def _sections(summary: Mapping[str, Any]) -> Iterator[tuple[str, list[Row]]]:
    """The keys that the summary has, by section."""
    for section, rows in SECTIONS.items():
        yield section, [row for row in rows if row[0] in summary]


def _difference(summary: Mapping[str, Any], against: Mapping[str, Any], key: str) -> str:
    this, other = summary.get(key), against.get(key)
    if not (_is_number(this) and _is_number(other)):
        return ""
    return shown(this - other, signed=True)  # type: ignore[operator]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def shown(value: object, *, signed: bool = False) -> str:
    """A value for people.

    >>> shown(1234.567), shown(0.91309), shown(3), shown(24.0), shown(1.2e-9), shown(None)
    ('1 234.6', '0.9131', '3', '24.0', '1.2e-09', '-')
    """
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    sign = "+" if signed else ""
    if isinstance(value, int):
        return f"{value:{sign},}".replace(",", " ")
    if value != 0.0 and abs(value) < 1e-3:
        return f"{value:{sign}.1e}"
    digits = 4 if 0.0 < abs(value) < 10.0 else 1
    return f"{value:{sign},.{digits}f}".replace(",", " ")


def print_table(table: Table) -> None:
    """Write a table to stdout, at full width where stdout is no terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    console.print(table)
