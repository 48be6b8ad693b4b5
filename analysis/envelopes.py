"""Draw a comparison of envelopes: boxes and positions, voltages, losses and volumes, confidence.

``peergrid compare ieee69 --json > day.json``, then ``python analysis/envelopes.py day.json
[--methods doe-prop,dfe-joint] [--confidence lines.jsonl] [--out FOLDER]``; the lines come from
``python -m benchmarks.confidence``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

Series = NDArray[np.float64]
Lines = list[dict[str, Any]]
COLOURS = ("#1f4e79", "#d07c1f")
LIMIT = {"color": "#b3261e", "linestyle": "--", "linewidth": 1.0}
LOOK = {
    "doe-prop": {"color": "#1f4e79", "marker": "o"},
    "dfe-joint": {"color": "#d07c1f", "marker": "s"},
}
ASIDE = {"doe-prop": -0.3, "dfe-joint": 0.3}  # so that bars do not hide each other
PROMISES = {"side": "promised per side of a box", "network": "promised for the whole network"}
MOST_PCT = 26.0
NO_GRID = {"frameon": False, "fontsize": "small"}


def stairs(axes: Axes, values: Series, **style: Any) -> None:
    """Hourly means as a staircase over the day."""
    axes.stairs(values, np.arange(len(values) + 1), baseline=None, **style)


def draw_envelopes(days: Lines) -> Figure:
    """Envelope (shaded) and position with its margin (line, band) per community; a column a day."""
    buses = days[0]["series"]["bus"]
    figure = Figure(figsize=(4.6 * len(days), 1.7 * len(buses) + 0.9), layout="constrained")
    grid = figure.subplots(len(buses), len(days), sharex=True, sharey="row", squeeze=False)
    for column, day in enumerate(days):
        for row, bus in enumerate(buses):
            axes: Axes = grid[row, column]
            _community(axes, day["series"], row)
            axes.set_xlim(0, 24)
            axes.set_xticks(range(0, 25, 6))
            if column == 0:
                axes.set_ylabel(f"bus {bus}\n[kW]")
        grid[0, column].set_title(day["method"])
        grid[-1, column].set_xlabel("hour of the day")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, **NO_GRID)
    return figure


def _community(axes: Axes, series: dict[str, Any], row: int) -> None:
    edges = np.arange(25)
    if "p_max_kw" in series:
        high, low = (np.array(series[name][row]) for name in ("p_max_kw", "p_min_kw"))
        axes.stairs(high, edges, baseline=low, fill=True, color="#cfdcec", label="envelope")
    position = np.array(series["p_kw"][row])
    up, down = (np.array(series[f"margin_{side}_kw"][row]) for side in ("up", "down"))
    axes.stairs(
        position + up,
        edges,
        baseline=position - down,
        fill=True,
        color="#7c8da0",
        alpha=0.5,
        label="position with its margins",
    )
    stairs(axes, position, color="black", linewidth=1.3, label="position, export up")
    axes.axhline(0.0, color="black", linewidth=0.4)


def draw_voltages(days: Lines) -> Figure:
    """Highest and lowest voltage with the band, and the rise with its limit."""
    figure = Figure(figsize=(8.0, 6.0), layout="constrained")
    volt, rise = figure.subplots(2, 1, sharex=True)
    for day, colour in zip(days, COLOURS, strict=False):
        series = day["series"]
        label = day["method"]
        stairs(volt, np.array(series["vm_low_pu"]), color=colour, linewidth=1.4, label=label)
        stairs(volt, np.array(series["vm_high_pu"]), color=colour, linewidth=1.4)
        stairs(rise, np.array(series["rise_pu"]), color=colour, linewidth=1.4, label=label)
        stairs(
            rise,
            np.array(series["corner_rise_pu"]),
            color=colour,
            linewidth=2.5,
            linestyle=":",
            zorder=3,
            label=f"{label}, envelopes used to the full",
        )
    first = days[0]["series"]
    volt.axhline(first["v_min_pu"], label="limits", **LIMIT)
    volt.axhline(first["v_max_pu"], **LIMIT)
    volt.set_ylabel("lowest and highest\nvoltage [pu]")
    if first["rise_limit_pu"] is not None:
        rise.axhline(first["rise_limit_pu"], label="limit", **LIMIT)
    rise.set_ylabel("largest rise caused by\nthe communities [pu]")
    rise.set_xlabel("hour of the day")
    rise.set_xlim(0, 24)
    rise.set_xticks(range(0, 25, 3))
    for axes in (volt, rise):
        axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), **NO_GRID)
    return figure


def draw_bars(days: Lines, published: Lines) -> Figure:
    """Losses and traded volumes of all methods."""
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    losses, volumes = figure.subplots(1, 2)
    names = [day["method"] for day in days]
    place = np.arange(len(days))
    losses.barh(place - 0.2, [day["loss_kwh"] for day in days], 0.4, color=COLOURS[0], label="kWh")
    reactive = [day["loss_kvarh"] for day in days]
    losses.barh(place + 0.2, reactive, 0.4, color="#9dbcd4", label="kvarh")
    for row, style in zip(published, (":", "-.", "--"), strict=False):
        label = f"published {row['method']}"
        losses.axvline(row["loss_kwh"], color="#555555", linestyle=style, linewidth=1, label=label)
    losses.set_xlabel("losses over the day [kWh, kvarh]")
    traded = [day["traded_mwh"] for day in days]
    volumes.barh(place - 0.2, traded, 0.4, color=COLOURS[1], label="MWh")
    traded = [day["traded_mvarh"] for day in days]
    volumes.barh(place + 0.2, traded, 0.4, color="#f0c890", label="Mvarh")
    volumes.set_xlabel("traded between communities [MWh, Mvarh]")
    for axes in (losses, volumes):
        axes.set_yticks(place, names if axes is losses else [""] * len(names))
        axes.invert_yaxis()
        axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), **NO_GRID)
    return figure


def draw_confidence(lines: Lines) -> Figure:
    """Volume, breaches of binding sides and of the network over the promised confidence."""
    shapes = list(dict.fromkeys(line["errors"] for line in lines))
    figure = Figure(figsize=(3.6 * len(shapes) + 0.6, 8.2), layout="constrained")
    grid = figure.subplots(3, len(shapes), sharex=True, sharey="row", squeeze=False)
    for column, shape in enumerate(shapes):
        grid[0, column].set_title(f"{shape} errors")
        for method, look in LOOK.items():
            for promise, dash in (("side", "-"), ("network", ":")):
                own = [
                    line
                    for line in lines
                    if (line["errors"], line["method"], line["promise"]) == (shape, method, promise)
                ]
                _curves(grid[:, column], own, {**look, "linestyle": dash, "markersize": 4})
        _diagonals(grid[:, column])
    for row, text in enumerate(
        ("traded [MWh]", "breaches of binding sides\n(mean, bar to worst) [%]", _NETWORK)
    ):
        grid[row, 0].set_ylabel(text)
    for axes in grid[-1]:
        axes.set_xlabel("confidence promised [%]")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, **NO_GRID)
    return figure


_NETWORK = "draws that break any limit,\nworst hour [%]"


def _curves(column: Any, own: Lines, look: dict[str, Any]) -> None:
    if not own:
        return
    at = [100.0 * line["confidence"] for line in own]
    label = f"{own[0]['method']}, {PROMISES[own[0]['promise']]}"
    column[0].plot(at, [line["traded_mwh"] for line in own], label=label, **look)
    if own[0]["promise"] == "side":
        sides = [line for line in own if line["side_breach_mean"] is not None]
        mean = 100.0 * np.array([line["side_breach_mean"] for line in sides])
        worst = 100.0 * np.array([line["side_breach_worst"] for line in sides])
        where = [100.0 * line["confidence"] + ASIDE[own[0]["method"]] for line in sides]
        spread = np.stack([np.zeros_like(mean), worst - mean])
        column[1].errorbar(where, mean, spread, capsize=2, **{**look, "linestyle": "none"})
    column[2].plot(at, [100.0 * line["network_breach_worst_hour"] for line in own], **look)


def _diagonals(column: Any) -> None:
    ends = np.array([80.0, 99.0])
    for axes in column[1:]:
        axes.plot(ends, 100.0 - ends, label="allowed", **LIMIT)
        axes.set_ylim(-0.5, MOST_PCT)
    column[1].legend(loc="upper right", **NO_GRID)


def main() -> None:
    """Read the comparison, write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, metavar="DAY.json")
    parser.add_argument("--methods", default="doe-prop,dfe-joint", help="two of the file's")
    parser.add_argument("--confidence", type=Path, metavar="LINES.jsonl")
    parser.add_argument("--out", type=Path, default=Path(), help="folder of the pictures")
    given = parser.parse_args()
    found = json.loads(given.file.read_text(encoding="utf-8"))
    by_name = {day["method"]: day for day in found["days"]}
    missing = [name for name in given.methods.split(",") if name not in by_name]
    if missing:
        parser.error(f"--methods {missing[0]}: the file has {', '.join(by_name)}")
    chosen = [by_name[name] for name in given.methods.split(",")]
    pictures = {
        "envelopes": draw_envelopes(chosen),
        "voltages": draw_voltages(chosen),
        "losses": draw_bars(found["days"], found.get("published", [])),
    }
    if given.confidence is not None:
        text = given.confidence.read_text(encoding="utf-8")
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        pictures["confidence"] = draw_confidence(lines)
    given.out.mkdir(parents=True, exist_ok=True)
    for name, figure in pictures.items():
        path = given.out / f"{name}.png"
        figure.savefig(path, dpi=110)
        print(path)


if __name__ == "__main__":
    main()
