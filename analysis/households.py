"""Put the runs of the three cases of households beside the paper that they are from, and draw them.

``python analysis/households.py CASE0.h5 CASE1.h5 CASE2.h5 [--out FOLDER] [--json]``, after
``peergrid run scenarios/ieee119_case0.toml --out CASE0.h5`` and so on.

The paper: S. F. Santos, J. T. R. A. Branco, G. J. Osório, J. P. S. Catalão, "Impact of P2P Market
Transactions on Distribution Network Congestion Considering Physical Constraints". Who owns what is
from there, every size is ours. Figures are those of ``peergrid.study.households``, here of what was
metered hour by hour, with costs and trades as the market settled them.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from household_runs import Day, read_days
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from peergrid.errors import PeergridError
from peergrid.study.households.bands import judged
from peergrid.study.households.figures import EVENING_H, plain
from peergrid.study.households.mix import SOURCES
from peergrid.study.households.published import CAVEATS, SECTIONS

Floats = NDArray[np.float64]
Days = Mapping[int, Day]
Measure = Callable[[Day], float | None]
WIDE = 160  # columns where the output is no terminal
EVENING = f"{EVENING_H[0]:g} to {EVENING_H[1]:g} h"
TRADING = (1, 2)
TRADED_KW = 0.05  # hours with less are left out of the table
PRINTED = {"grid": "72.5", "pv": "17", "storage": "8.5", "p2p": "2"}
NOTES = (
    "What was metered, one course of events: each hour was planned anew with 24 hours ahead and "
    "under errors of the forecasts, and its first step was carried out. An hour is named by its "
    "beginning, local time.",
    "Costs are those that were settled. The formula (tariff, mid-market price, half of the fee) "
    "charges each client its own deviations from the plan; the market nets them at one price.",
    "Mix and 'from': sources to uses pro rata in each hour; trips and losses of storages do not "
    "count. Cost per kWh: of net import and PV used.",
    "The loop does not ask storages to end the day as full as they began it, and they do not: the "
    "costs of cases 1 and 2 are too good by what refilling costs, at least that at the day's "
    "lowest price. It is shown in its own rows and counted in no other figure.",
    "'Ours is' speaks of the study's plan (peergrid households): calibrated there, found there. "
    "Here the same devices ran in the co-simulation: what was calibrated need not come out.",
)
MONEY: tuple[tuple[str, str, Measure, str], ...] = (
    ("cost of all, EUR", "-16.1 %", lambda day: day.figures.cost_eur, ""),
    ("consumption, kWh", "more", lambda day: day.figures.consumption_kwh, ""),
    ("cost per kWh, ct", "-22 %", lambda day: 100.0 * day.figures.unit_cost_eur_per_kwh, ""),
    ("  prosumers", "", lambda day: 100.0 * day.figures.unit_cost_prosumers_eur_per_kwh, ""),
    ("  consumers", "", lambda day: 100.0 * day.figures.unit_cost_consumers_eur_per_kwh, ""),
    ("by the formula, EUR", "", lambda day: day.kept["formula_eur"], ""),
    ("fees on trades, EUR", "", lambda day: day.kept["fees_eur"], ""),
    ("operator pays for losses, EUR", "", lambda day: day.kept["operator_eur"], ""),
    ("cost, stores refilled, EUR", "", lambda day: refilled(day)[0], "at the lowest price"),
    ("  per kWh, ct", "", lambda day: 100.0 * refilled(day)[1], ""),
)
KEPT = (
    ("indoor temperature, lowest, C", "t_in_min_c", "end of an hour, all clients"),
    ("indoor temperature, highest, C", "t_in_max_c", "end of an hour, all clients"),
    ("  comfort from, C", "t_band_min_c", ""),
    ("  comfort to, C", "t_band_max_c", ""),
    ("outside of it, Kh", "discomfort_kh", "sum of the day; 0: comfort kept"),
    ("cycles of appliances due", "cycles_due", "a client's machines of a kind are one cycle"),
    ("  done", "cycles_done", "by their energy"),
    ("  not begun", "cycles_not_begun", "at the end of the run"),
    ("vehicles' departures", "departures", "a client's vehicles leave together"),
    ("  as full as promised", "departures_met", ""),
    ("stored at the beginning, kWh", "stored_first_kwh", "batteries and vehicles"),
    ("stored at the end, kWh", "stored_last_kwh", "not asked to be what it was"),
)


def refilled(day: Day) -> tuple[float, float]:
    """Cost of all [EUR], and per kWh, had storages to be as full as at the beginning."""
    cost = day.figures.cost_eur + (day.kept["refill_eur"] or 0.0)
    return cost, cost / (day.figures.consumption_kwh + (day.kept["refill_kwh"] or 0.0))


def numbers(days: Days) -> dict[str, Any]:
    """Everything that is printed, as plain data."""
    found = {case: day.figures for case, day in days.items()}
    return {
        "cases": {str(case): _case(day) for case, day in days.items()},
        "published": [
            {"section": section, **one.line(found)}
            for section, entries in SECTIONS.items()
            for one in entries
        ],
        "bands": [verdict.to_dict() for verdict in judged(found[0], found[1])],
        "notes": list(NOTES),
        "caveats": list(CAVEATS),
    }


def _case(day: Day) -> dict[str, Any]:
    """A case: the study's figures and what the loop alone can tell."""
    hourly = {
        "hour_of_day": day.flows.hour_of_day,
        "p2p_price_eur_per_mwh": day.p2p_price_eur_per_mwh,
        "price_import_eur_per_kwh": day.flows.price_import_eur_per_kwh[0],
        "loading": day.flows.loading[:, 0],
        "vm_pu": day.flows.vm_pu[:, 0],
    }
    more = {**hourly, "client_formula_eur": day.formula_eur, **day.kept}
    return {**day.figures.to_dict(), **{name: plain(value) for name, value in more.items()}}


# -- tables --------------------------------------------------------------------------------------


def tables(days: Days, found: Mapping[str, Any]) -> Iterator[Table]:
    """All tables for people."""
    yield money_table(days)
    yield client_table(days)
    yield mix_table(days)
    for case in TRADING:
        yield matrix_table(days[case], case)
    for case in TRADING:
        yield hourly_table(days[case], case)
    yield line_table(days)
    yield voltage_table(days)
    yield kept_table(days)
    yield published_table(found["published"])
    yield band_table(found["bands"])


def money_table(days: Days) -> Table:
    """Costs of all, and what belongs to them."""
    heads = [f"case {case}" for case in days]
    table = _table(
        "Money of the day (Fig. 2)", "", *heads, "1 against 0", "2 against 1", "paper", ""
    )
    for name, paper, measure, remark in MONEY:
        values = [measure(day) for day in days.values()]
        changes = [_change(values[k], values[k + 1]) for k in range(2)]
        table.add_row(name, *map(_number, values), *changes, paper, remark)
    return table


def client_table(days: Days) -> Table:
    """Cost of each client."""
    heads = [f"case {case}, EUR" for case in days]
    table = _table(
        "Cost of the day by client (Fig. 2)", "", *heads, "1 against 0", "2 against 1", ""
    )
    for k, name in enumerate(days[0].figures.names):
        values = [float(day.figures.client_cost_eur[k]) for day in days.values()]
        changes = [_change(values[i], values[i + 1]) for i in range(2)]
        sells = "prosumer" if days[1].flows.may_sell[k] else "buys only"
        table.add_row(name, *map(_number, values), *changes, sells)
    table.add_row("paper", *3 * [""], "all fall", "w2, w9 rise", "")
    return table


def mix_table(days: Days) -> Table:
    """Sources of what each client uses; in case 0 all is from the grid."""
    heads = [f"{source}, {case}" for case in TRADING for source in SOURCES]
    title = "Energy mix of the day, % of what is used, in cases 1 and 2 (Fig. 3; case 0: all grid)"
    table = _table(title, "", *heads, "")
    for k, name in enumerate(days[1].figures.names):
        cells = [days[case].figures.client_mix[:, k] for case in TRADING]
        table.add_row(name, *(f"{100.0 * share:.1f}" for share in np.concatenate(cells)), "")
    rows = (
        ("all", "mix", ""),
        ("charged from", "charged_from", "paper: all from the grid"),
        ("sold 15 to 24 h from", "sold_from_evening", "paper: almost all from storage"),
    )
    for name, key, paper in rows:
        shares = [s for case in TRADING for s in getattr(days[case].figures, key).values()]
        table.add_row(name, *(_number(100.0 * share) for share in shares), paper)
    table.add_row("paper, all", *PRINTED.values(), *4 * [""], "")
    return table


def matrix_table(day: Day, case: int) -> Table:
    """Who sold to whom, over the day [kWh]."""
    matrix, names = day.figures.trade_matrix_kwh, day.figures.names
    title = f"Case {case}: sold by row to column over the day, kWh (Fig. 5)"
    table = _table(title, "", *names, "sold", "share, %", "")
    total = matrix.sum()
    for name, row in zip(names, matrix, strict=True):
        if row.sum() > 0.0:
            cells = (f"{energy:.1f}" if energy > 0.0 else "" for energy in row)
            table.add_row(name, *cells, f"{row.sum():.1f}", f"{100.0 * row.sum() / total:.0f}", "")
    table.add_row("bought", *(f"{energy:.1f}" for energy in matrix.sum(axis=0)), f"{total:.1f}")
    return table


def hourly_table(day: Day, case: int) -> Table:
    """Trades by hour and client, sold positive [kW]."""
    net = day.figures.sold_kw - day.figures.bought_kw
    title = f"Case {case}: traded in the hour, kW, sold + and bought - (Fig. 4)"
    table = _table(title, "hour", *day.figures.names, "traded", "ct/kWh", "")
    traded = day.figures.bought_kw.sum(axis=0)
    for t in np.flatnonzero(traded > TRADED_KW):
        cells = (f"{power:+.1f}" if abs(power) > TRADED_KW else "" for power in net[:, t])
        price = f"{0.1 * day.p2p_price_eur_per_mwh[t]:.1f}"
        table.add_row(f"{day.flows.hour_of_day[t]:g} h", *cells, f"{traded[t]:.1f}", price, "")
    return table


def line_table(days: Days) -> Table:
    """Loading of lines: highest hour of each, and its mean in the evening."""
    heads = [f"case {case}, {what}" for what in ("highest (hour)", EVENING) for case in days]
    table = _table("Loading of lines, % of our ratings (Fig. 6)", "", *heads, "")
    for k, name in enumerate(days[0].figures.lines):
        peaks = [_peak(day, 100.0 * day.flows.loading[k, 0], "{:.1f}") for day in days.values()]
        means = (100.0 * _evening(day, day.flows.loading[k, 0]) for day in days.values())
        table.add_row(name, *peaks, *map(_number, means), "")
    factors = [
        [_number(100.0 * getattr(day.figures, f"line_factor_{what}")) for day in days.values()]
        for what in ("peak", "evening")
    ]
    table.add_row("mean of lines", *factors[0], *factors[1], "paper: 113, -15.37 %")
    counts = [str(day.figures.overloads) for day in days.values()]
    table.add_row("overloaded", *counts, *3 * [""], "paper: 6, 1, 2")
    return table


def voltage_table(days: Days) -> Table:
    """Voltage of buses: lowest hour of each, and its mean deviation in the evening."""
    heads = [f"case {case}, lowest (hour)" for case in days]
    heads += [f"case {case}, {EVENING}" for case in days]
    title = f"Voltage: lowest of the day, pu; |1 - V| as mean from {EVENING}, 1e-3 pu (Fig. 7)"
    table = _table(title, "bus", *heads, "")
    names = dict(zip(days[0].figures.buses, days[0].figures.names, strict=True))
    for k, bus in enumerate(days[0].figures.buses):
        lows = [_peak(day, day.flows.vm_pu[k, 0], "{:.5f}", -1.0) for day in days.values()]
        off = (1e3 * _evening(day, np.abs(1.0 - day.flows.vm_pu[k, 0])) for day in days.values())
        table.add_row(bus, *lows, *map(_number, off), names[bus])
    means = [_number(1e3 * day.figures.deviation_evening_pu) for day in days.values()]
    table.add_row("mean of buses", *3 * [""], *means, "paper: -37.19 %")
    return table


def kept_table(days: Days) -> Table:
    """Comfort, cycles, departures, stores."""
    table = _table("What was kept", "", *(f"case {case}" for case in days), "")
    for name, key, remark in KEPT:
        table.add_row(name, *(_number(day.kept[key]) for day in days.values()), remark)
    return table


def published_table(lines: Sequence[Mapping[str, Any]]) -> Table:
    """Published figures, ours, and what ours are worth."""
    table = _table("Published figures and ours, by hour and statistic", "", "paper", "here", "", "")
    table.columns[-1].header = "ours is"
    for one in lines:
        values = _number(one["published"]), _number(one["ours"]), one["unit"]
        table.add_row(one["what"], *values, one["kind"].upper())
    return table


def band_table(bands: Sequence[Mapping[str, Any]]) -> Table:
    """Signs and bands that must hold on every day."""
    table = _table("Signs and bands, case 1 against 0", "", "here", "wanted", "")
    for band in bands:
        value = band["value"]
        shown = "-" if value is None else f"{100.0 * value:+.1f} %"
        if band["name"] == "overloaded lines" and value is not None:
            shown = f"{value:+.0f}"
        table.add_row(
            band["name"], shown, band["wanted"], "holds" if band["holds"] else "DOES NOT HOLD"
        )
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    """A table of numbers between a text on the left and a remark on the right."""
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left", title=title)
    table.title_style = "bold"
    table.add_column(first, no_wrap=True)
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k == len(columns) - 1 else "right")
    return table


def _peak(day: Day, values: Floats, form: str, sign: float = 1.0) -> str:
    """Highest value of a day (lowest with sign -1) and the hour it is in."""
    t = int(np.argmax(sign * values))
    return f"{form.format(values[t])} ({day.flows.hour_of_day[t]:2g})"


def _evening(day: Day, values: Floats) -> float:
    """Mean from 18 to 22 h; NaN where the run has no such hour."""
    there = values[day.flows.hours(*EVENING_H)]
    return float(there.mean()) if there.size else float("nan")


def _change(before: float | None, after: float | None) -> str:
    if before is None or after is None or not before > 0.0 or not np.isfinite(after):
        return "-"
    return f"{100.0 * (after / before - 1.0):+.1f} %"


def _number(value: float | None) -> str:
    """Three or four digits, none behind the point of whole numbers."""
    if value is None or not np.isfinite(value):
        return "-"
    digits = 0 if value == round(value) or abs(value) >= 1e4 else 1 if abs(value) >= 10.0 else 2
    return f"{value:.{digits}f}"


def show(days: Days, found: Mapping[str, Any]) -> None:
    """Print all tables and notes."""
    console = Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)
    for table in tables(days, found):
        console.print(table)
        console.print()
    for note in (*found["notes"], *found["caveats"]):
        console.print(f"- {note}")


def main() -> None:
    """Read the files of the three cases, print or draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for case in range(3):
        parser.add_argument(f"case{case}", type=Path, metavar=f"CASE{case}.h5")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="also draw Figs. 2 to 7 there")
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    given = parser.parse_args()
    try:
        days = read_days([given.case0, given.case1, given.case2])
        found = numbers(days)
        if given.json:
            print(json.dumps(found, indent=2, allow_nan=False))
        else:
            show(days, found)
        if given.out is not None:
            from household_pictures import write  # matplotlib is an extra

            for path in write(days, given.out):
                print(path, file=sys.stderr)
    except (PeergridError, OSError) as error:
        print(f"households: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
