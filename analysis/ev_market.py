"""Put runs of ``ieee33_ev_market`` beside the paper that the case is from, and draw the first.

``python analysis/ev_market.py run.h5 [other.h5 ...] --out ev_market.png``

The paper: D. Antunes, T. Soares, H. Morais, "P2P Markets to Support Trading in Smart Grids with
Electric Vehicles". Its loads and PV are known as hourly totals only, its prices and trips not at
all: compare size and class, not digits. Every file adds a row to the table of settlement rules.
``--methods FILE.jsonl`` adds ways to clear one such day: lines of ``python -m benchmarks.market``.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from peergrid.results import open_run

Series = NDArray[np.float64]

# Table 1 [MW]: PV, EV discharge, imports, supply, consumption, EV charge, demand; periods 1 to 24.
COLUMNS = ("pv", "discharge", "imports", "supply", "consumption", "charge", "demand")
TABLE_1 = np.array(
    [
        [0.000, 0.000, 0.924, 0.924, 0.821, 0.104, 0.925],
        [0.000, 0.000, 0.568, 0.568, 0.525, 0.044, 0.569],
        [0.000, 0.000, 0.456, 0.456, 0.401, 0.056, 0.457],
        [0.000, 0.022, 0.357, 0.379, 0.294, 0.086, 0.380],
        [0.000, 0.031, 0.385, 0.416, 0.342, 0.075, 0.417],
        [0.000, 0.021, 0.365, 0.386, 0.300, 0.087, 0.387],
        [0.017, 0.000, 0.446, 0.463, 0.406, 0.057, 0.463],
        [0.093, 0.007, 0.406, 0.506, 0.466, 0.040, 0.506],
        [0.228, 0.000, 0.511, 0.740, 0.739, 0.000, 0.739],
        [0.292, 0.000, 0.776, 1.068, 1.068, 0.000, 1.068],
        [0.695, 0.020, 1.003, 1.718, 1.673, 0.044, 1.717],
        [0.957, 0.056, 0.935, 1.949, 1.904, 0.044, 1.948],
        [1.262, 0.007, 0.485, 1.754, 1.725, 0.028, 1.753],
        [2.030, 0.043, 0.012, 2.084, 1.995, 0.088, 2.083],
        [1.818, 0.033, 0.238, 2.088, 2.064, 0.023, 2.087],
        [1.262, 0.000, 0.960, 2.221, 2.195, 0.025, 2.220],
        [1.047, 0.000, 1.177, 2.224, 2.223, 0.000, 2.223],
        [0.963, 0.000, 1.602, 2.566, 2.565, 0.000, 2.565],
        [0.600, 0.016, 2.072, 2.688, 2.633, 0.055, 2.688],
        [0.217, 0.098, 2.514, 2.831, 2.787, 0.044, 2.831],
        [0.043, 0.099, 2.543, 2.685, 2.641, 0.044, 2.685],
        [0.000, 0.016, 2.138, 2.154, 2.136, 0.019, 2.155],
        [0.000, 0.000, 1.956, 1.956, 1.957, 0.000, 1.957],
        [0.000, 0.000, 1.542, 1.542, 1.543, 0.000, 1.543],
    ]
)
PERIODS = {"night, 1 to 10": (0, 10), "midday, 11 to 16": (10, 16), "evening, 17 to 24": (16, 24)}
PAPER_SHARES = {"night, 1 to 10": 57.0, "midday, 11 to 16": 26.0, "evening, 17 to 24": 17.0}
PEAK = 21  # period whose discharge the paper relates to its consumption
PAPER_PEAK_SHARE = 3.75
PAPER_CLEARING = {"iterations": 1169, "seconds": 3927.0, "gap_percent": 9.12}
CASE = "ieee33"
BENCHMARK = f"python -m benchmarks.market --case {CASE} --neighbours > FILE.jsonl"
METHODS = {
    "admm": "this package, exact network",
    "neighbours": "the paper's ADMM, rebuilt",
    "central-ecos": "central, relaxed, ECOS",
    "central-clarabel": "central, relaxed, Clarabel",
}
SAME_CLASS = (
    "Data and machine differ from the paper's: the problem is of the same size and class "
    "(33 buses, 24 h, 11 PV, 21 EV), not the same one."
)


def total_mw(run: xr.Dataset, name: str, sign: float = 1.0) -> Series:
    """Positive part of ``sign`` times an attribute, summed over entities, (time) [MW]."""
    return np.asarray(np.maximum(sign * run[name].values, 0.0).sum(axis=1))


def table_of(run: xr.Dataset) -> dict[str, Series]:
    """The columns of Table 1 and the losses, of at most 24 hours of a run, (time) [MW].

    Imports are metered at the feeder head, so demand includes the losses of the grid; energy fed
    back there counts as negative import.
    """
    first = run.isel(time=slice(0, 24))
    found = {
        "pv": total_mw(first, "PV.P[MW]"),
        "discharge": total_mw(first, "EV.P[MW]"),
        "imports": first["ExternalGrid.P[MW]"].values.sum(axis=1),
        "consumption": total_mw(first, "Load.P[MW]"),
        "charge": total_mw(first, "EV.P[MW]", -1.0),
        "losses": first["Grid.P_loss[MW]"].values.sum(axis=1),
    }
    found["supply"] = found["pv"] + found["discharge"] + found["imports"]
    found["demand"] = found["consumption"] + found["charge"] + found["losses"]
    return found


def paper_imbalance_mw() -> Series:
    """What the paper's own rows are off by: sources less uses, (24,) [MW]."""
    row = dict(zip(COLUMNS, TABLE_1.T, strict=True))
    sources = row["pv"] + row["discharge"] + row["imports"]
    return np.asarray(sources - row["consumption"] - row["charge"])


def charging_shares(charge_mw: Series) -> dict[str, float | None]:
    """Share of the day's charging in each part of the day [%]; None for less than a day."""
    whole = len(charge_mw) == 24 and charge_mw.sum() > 0.0
    return {
        name: 100.0 * float(charge_mw[a:b].sum() / charge_mw.sum()) if whole else None
        for name, (a, b) in PERIODS.items()
    }


def peak_share(table: dict[str, Series]) -> float | None:
    """Discharge in period 21 over its consumption [%]; None if the run is shorter."""
    if len(table["discharge"]) < PEAK:
        return None
    return 100.0 * float(table["discharge"][PEAK - 1] / table["consumption"][PEAK - 1])


def gains(run: xr.Dataset) -> dict[str, Any]:
    """What trading saved those who used and those who fed in more, beside the retailer alone.

    Measured on the same meters: who would have paid what to the retailer for the same profile.
    """
    metered = run["Participant.P[MW]"].values + run["Participant.imbalance[MW]"].values
    saving = np.nansum(run["Participant.saving[EUR]"].values, axis=0)
    net = np.nansum(metered, axis=0)
    traded = run["Market.traded[MW]"].values[:, 0]
    priced = np.nansum(traded * run["Market.p2p_price[EUR/MWh]"].values[:, 0])
    return {
        "rule": settlement_of(run),
        "consumers": int((net < 0.0).sum()),
        "consumers_gain_eur": float(saving[net < 0.0].sum()),
        "producers": int((net > 0.0).sum()),
        "producers_gain_eur": float(saving[net > 0.0].sum()),
        "traded_mwh": float(np.nansum(traded)),
        "mean_price_eur_per_mwh": float(priced / np.nansum(traded)) if traded.any() else None,
    }


def settlement_of(run: xr.Dataset) -> str:
    """The settlement rule of a run."""
    scenario = json.loads(str(run.attrs.get("scenario_json", "{}")))
    return str(scenario.get("market", {}).get("settlement", run.attrs.get("settlement", "?")))


def clearing_of(run: xr.Dataset) -> dict[str, Any]:
    """Iterations of the clearings, the first of which starts cold, and their gaps [%].

    A gap is the distance from a bound that the dual values prove, not from a central optimum.
    """
    iterations = run["Market.iterations"].values[:, 0]
    known = iterations[np.isfinite(iterations)]
    gaps = 100.0 * run["Market.gap"].values[:, 0]
    return {
        "first_iterations": int(known[0]) if known.size else None,
        "median_iterations": float(np.median(known)) if known.size else None,
        "most_iterations": int(known.max()) if known.size else None,
        "median_gap_percent": float(np.nanmedian(gaps)) if known.size else None,
        "largest_gap_percent": float(np.nanmax(gaps)) if known.size else None,
        "paper": PAPER_CLEARING,
        "note": SAME_CLASS,
    }


def methods_of(path: Path) -> list[dict[str, Any]]:
    """The lines of the benchmark that are about this case; raises ValueError if there are none.

    ``gap`` becomes percent: there, as in the paper, the distance from the central optimum.
    """
    texts = [text for text in path.read_text(encoding="utf-8").splitlines() if text.strip()]
    lines = [json.loads(text, parse_constant=lambda _: None) for text in texts]
    found = [line for line in lines if line.get("case") == CASE and "method" in line]
    if not found:
        raise ValueError(f"{path}: no line has case = {CASE!r} and a method")
    return [{**line, "gap_percent": _percent(line.get("gap"))} for line in found]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share


def numbers(
    runs: Sequence[xr.Dataset], methods: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Everything that is printed, as plain data."""
    run = runs[0]
    table = table_of(run)
    return {
        "ours_mw": {name: values.round(6).tolist() for name, values in table.items()},
        "paper_mw": {name: TABLE_1[:, k].tolist() for k, name in enumerate(COLUMNS)},
        "paper_imbalance_mw": paper_imbalance_mw().round(3).tolist(),
        "charging_share_percent": charging_shares(table["charge"]),
        "paper_charging_share_percent": PAPER_SHARES,
        "peak_discharge_share_percent": peak_share(table),
        "paper_peak_discharge_share_percent": PAPER_PEAK_SHARE,
        "departures": int(run["EV.departures"].values.sum()),
        "departures_met": int(run["EV.departures_met"].values.sum()),
        "settlement": [gains(one) for one in runs],
        "clearing": clearing_of(run),
        "methods": methods,
    }


# -- print ---------------------------------------------------------------------------------------


def show(found: dict[str, Any]) -> None:
    """Print the tables for people."""
    names = ("pv", "discharge", "imports", "supply", "consumption", "charge", "losses", "demand")
    ours, paper = found["ours_mw"], found["paper_mw"]
    print("Power by hour [MW]: this run | the paper's Table 1, and what its rows are off by")
    print("hour " + "".join(f"{name[:7]:>8}" for name in names) + "  |", end="")
    print("".join(f"{name[:7]:>8}" for name in COLUMNS) + "     off")
    for k in range(len(ours["pv"])):
        row = "".join(f"{ours[name][k]:8.3f}" for name in names)
        other = "".join(f"{paper[name][k]:8.3f}" for name in COLUMNS)
        print(f"{k + 1:4d} {row}  |{other}{found['paper_imbalance_mw'][k]:8.3f}")
    print("\nShare of all charging [%]: this run | paper")
    for name, share in found["charging_share_percent"].items():
        print(f"  {name:20}{_text(share)}  |{PAPER_SHARES[name]:6.1f}")
    share = _text(found["peak_discharge_share_percent"], 2)
    print(f"Discharge over consumption in hour {PEAK} [%]: {share}  |{PAPER_PEAK_SHARE:6.2f}")
    print(f"Departures: {found['departures']}, met: {found['departures_met']}")
    print("\nGain beside the retailer alone [EUR]")
    print(f"  {'settlement':14}{'consumers':>12}{'producers':>12}{'price [EUR/MWh]':>18}")
    for one in found["settlement"]:
        gained = f"{one['consumers_gain_eur']:12.2f}{one['producers_gain_eur']:12.2f}"
        print(f"  {one['rule']:14}{gained}{_text(one['mean_price_eur_per_mwh'], 2):>18}")
    show_clearing(found["clearing"])
    show_methods(found["methods"])


def show_clearing(made: dict[str, Any]) -> None:
    """Print how long the clearings took, beside the paper's."""
    cold, most, paper = made["first_iterations"], made["most_iterations"], made["paper"]
    median = _text(made["median_iterations"], 0)
    print("\nClearings of this run, one an hour, each 24 h ahead")
    print(f"  iterations: {cold} cold, {median} in the median, {most} at most", end="")
    print(f"  | {paper['iterations']} in the paper, in {paper['seconds']:.0f} s")
    print(f"  gap [%]: {_text(made['median_gap_percent'], 6)} in the median, ", end="")
    print(f"{_text(made['largest_gap_percent'], 6)} at most  | {paper['gap_percent']} in the paper")
    print("  Our gap is to a bound proven by dual values, the paper's to a central optimum.")
    print(f"  {made['note']}")


def show_methods(methods: list[dict[str, Any]] | None) -> None:
    """Print the comparison of methods, or how to get it."""
    if methods is None:
        print(f"\nComparison of methods: --methods FILE.jsonl, from {BENCHMARK}")
        return
    print("\nMethods on the benchmark's day, cold (Table 1's shape, drawn vehicles; not this run)")
    print(f"  {'method':30}{'iterations':>12}{'seconds':>11}{'gap [%]':>12}  status")
    for line in methods:
        name = METHODS.get(line["method"], line["method"])
        row = f"{_text(line.get('iterations'), 0):>12}{_text(line.get('seconds'), 3):>11}"
        status = str(line.get("status", "-")).partition(":")[0]
        print(f"  {name:30}{row}{_text(line['gap_percent'], 6):>12}  {status}")
    row = f"{PAPER_CLEARING['iterations']:12.0f}{PAPER_CLEARING['seconds']:11.0f}"
    print(f"  {'the paper, its data':30}{row}{PAPER_CLEARING['gap_percent']:12.2f}  published")
    print("  Here the gap is to the best central optimum, as in the paper.")
    print("  Seconds: whole calls of the ADMMs, the solver alone of the central methods.")


def _text(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


# -- draw ----------------------------------------------------------------------------------------

PV, EV, BACK, GRID, INK = "#f2b134", "#7b5ea7", "#4f9da6", "#b0b0b0", "#222222"


def draw_supply(axes: Axes, table: dict[str, Series]) -> None:
    """Who supplies the community (the paper's Fig. 3) [MW]."""
    at = np.arange(len(table["pv"])) + 0.5
    bottom = np.zeros(len(at))
    for name, label, colour in (
        ("pv", "PV", PV),
        ("discharge", "vehicles", BACK),
        ("imports", "imports", GRID),
    ):
        axes.bar(at, table[name], bottom=bottom, width=0.9, color=colour, label=label)
        bottom = bottom + table[name]
    axes.plot(at, TABLE_1[: len(at), 3], "_", color=INK, markersize=9, label="supply in the paper")
    axes.set_ylabel("power [MW]")
    axes.set_title("Supply mix", loc="left")


def draw_charging(axes: Axes, table: dict[str, Series]) -> None:
    """Charging and discharging of all vehicles (the paper's Fig. 4) [kW]."""
    at = np.arange(len(table["pv"])) + 0.5
    axes.bar(at, 1000.0 * table["charge"], width=0.9, color=EV, label="charging")
    axes.bar(at, -1000.0 * table["discharge"], width=0.9, color=BACK, label="discharging")
    for column, sign, label in ((5, 1.0, "in the paper"), (1, -1.0, None)):
        paper = sign * 1000.0 * TABLE_1[: len(at), column]
        paper[paper == 0.0] = np.nan
        axes.plot(at, paper, "_", color=INK, markersize=9, label=label)
    axes.axhline(0.0, color=INK, linewidth=0.6)
    axes.set_ylabel("power [kW]\ncharging up, discharging down")
    axes.set_title("Vehicles", loc="left")


def draw_soc(axes: Axes, run: xr.Dataset) -> None:
    """State of charge of every vehicle at the ends of the hours (the paper's Fig. 5) [%]."""
    first = run.isel(time=slice(0, 24))
    soc, plugged = first["EV.SoC[%]"].values, first["EV.plugged"].values
    at = np.arange(len(soc)) + 1.0
    for k, hour in enumerate(np.flatnonzero(plugged.mean(axis=1) < 0.5)):
        label = None if k else "on the road"
        axes.axvspan(hour, hour + 1.0, color="#eeeeee", label=label, linewidth=0.0)
    axes.plot(at, soc, color=EV, alpha=0.25, linewidth=0.8)
    axes.plot(at, soc.mean(axis=1), color=EV, linewidth=2.0, label="mean of the vehicles")
    axes.axhline(20.0, color="#b3261e", linestyle="--", linewidth=1.0, label="least, 20 %")
    axes.set_ylim(0.0, 105.0)
    axes.set_ylabel("state of charge [%]")
    axes.set_title("State of charge", loc="left")


def draw_convergence(axes: Axes, run: xr.Dataset) -> None:
    """Primal residual of the first clearing that was made, by iteration [kW]."""
    axes.set_title("First clearing", loc="left")
    axes.set_xlabel("iteration")
    axes.set_ylabel("primal residual [kW]")
    if "Market.residual_history" not in run:
        return
    history = run["Market.residual_history"].values[:, 0, :]
    made = np.flatnonzero(np.isfinite(history).any(axis=1))
    if made.size:
        residual = history[made[0]][np.isfinite(history[made[0]])]
        axes.semilogy(np.arange(1, len(residual) + 1), residual, "o-", color=EV, markersize=3)
        axes.grid(True, which="major", color="#dddddd", linewidth=0.6)


def draw(run: xr.Dataset) -> Figure:
    """Four panels: supply mix, charging, state of charge, convergence."""
    figure = Figure(figsize=(11.0, 7.6), layout="constrained")
    (supply, charging), (soc, convergence) = figure.subplots(2, 2)
    table = table_of(run)
    draw_supply(supply, table)
    draw_charging(charging, table)
    draw_soc(soc, run)
    draw_convergence(convergence, run)
    for axes in (supply, charging, soc):
        axes.set_xlim(0.0, len(table["pv"]))
        axes.set_xticks(np.arange(0, len(table["pv"]) + 1, 3))
        axes.set_xlabel("hour of the day")
        axes.legend(fontsize="small", ncols=2, framealpha=1.0, edgecolor="none")
    return figure


def main() -> None:
    """Read results files, print or draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.h5")
    parser.add_argument("--out", type=Path, help="the picture of the first file (png, pdf)")
    parser.add_argument("--methods", type=Path, metavar="FILE.jsonl", help=f"from: {BENCHMARK}")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    given = parser.parse_args()
    runs = [open_run(path) for path in given.files]
    try:
        methods = None if given.methods is None else methods_of(given.methods)
    except (OSError, ValueError) as error:
        parser.error(f"--methods: {error}")
    found = numbers(runs, methods)
    if given.json:
        print(json.dumps(found, indent=2, allow_nan=False))
    else:
        show(found)
    if given.out is not None:
        draw(runs[0]).savefig(given.out, dpi=110)


if __name__ == "__main__":
    main()
