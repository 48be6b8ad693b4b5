"""Pictures of the runs of the three cases of households: the paper's Figs. 2 to 7.

Drawn by ``households.py --out FOLDER``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from household_runs import BRANCHES, Day
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from peergrid.study.households.figures import EVENING_H
from peergrid.study.households.mix import SOURCES

Floats = NDArray[np.float64]
Days = Mapping[int, Day]
Style = dict[str, Any]
CASE_COLOURS = {0: "#8a8a8a", 1: "#1f4e79", 2: "#d07c1f"}
CASE_MARKS = {0: "o", 1: "s", 2: "^"}
SOURCE_LOOK = {
    "grid": ("directly from the grid", "#b0b0b0"),
    "pv": ("PV", "#f2b134"),
    "storage": ("storage", "#7b5ea7"),
    "p2p": ("neighbours", "#4f9da6"),
}
CLIENT_COLOURS = (
    *("#1f4e79", "#d07c1f", "#5b8c5a", "#7b5ea7", "#f2b134"),
    *("#4f9da6", "#b3261e", "#8c6d62", "#b0b0b0", "#222222"),
)
INK = "#222222"
LIMIT: Style = {"color": "#b3261e", "linestyle": "--", "linewidth": 1.0}
ABOVE: Style = {
    "loc": "lower left",
    "bbox_to_anchor": (0.0, 1.0),
    "frameon": False,
    "fontsize": "small",
}
EVENING = f"{EVENING_H[0]:g} to {EVENING_H[1]:g} h"
TRADING = (1, 2)
WIDTH = 0.27  # of a case's bar


def draw_costs(days: Days) -> Figure:
    """Cost of each client, the three cases side by side (Fig. 2) [EUR]."""
    figure = Figure(figsize=(9.0, 4.4), layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(days[0].figures.names))
    for case, day in days.items():
        label = f"case {case}: {day.figures.cost_eur:.0f} EUR in total"
        bar: Style = {"width": WIDTH, "color": CASE_COLOURS[case], "label": label}
        axes.bar(at + WIDTH * (case - 1), day.figures.client_cost_eur, **bar)
    axes.set_xticks(at, days[0].figures.names)
    axes.set_xlabel("client")
    axes.set_ylabel("cost of the day, as settled [EUR]")
    axes.legend(ncols=3, **ABOVE)
    return figure


def draw_mix(days: Days) -> Figure:
    """Sources of what each client uses, cases 1 and 2 (Fig. 3) [%]."""
    figure = Figure(figsize=(11.0, 4.6), layout="constrained")
    panels = figure.subplots(1, len(TRADING), sharey=True)
    for axes, case in zip(panels, TRADING, strict=True):
        found = days[case].figures
        total = np.array([[found.mix[source]] for source in SOURCES])
        shares = 100.0 * np.hstack([found.client_mix, total])
        at = np.append(np.arange(len(found.names)), len(found.names) + 0.5)
        bottom = np.zeros(len(at))
        for source, share in zip(SOURCES, shares, strict=True):
            label, colour = SOURCE_LOOK[source]
            axes.bar(at, share, bottom=bottom, width=0.8, color=colour, label=label)
            bottom = bottom + share
        axes.set_xticks(at, [*found.names, "all"])
        axes.set_xlabel("client")
        axes.set_title(f"case {case}", loc="left")
        axes.set_ylim(0.0, 100.0)
    panels[0].set_ylabel("share of what is used over the day [%]")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(SOURCES), frameon=False)
    return figure


def draw_trades(days: Days) -> Figure:
    """Hourly trades by client, sold up and bought down, cases 1 and 2 (Fig. 4) [kW]."""
    figure = Figure(figsize=(10.0, 6.6), layout="constrained")
    panels = figure.subplots(len(TRADING), 1, sharex=True, sharey=True)
    for axes, case in zip(panels, TRADING, strict=True):
        found, hour = days[case].figures, days[case].flows.hour_of_day
        _stacked(axes, found.names, found.sold_kw, hour, days[case].flows.dt_h)
        _stacked(axes, found.names, -found.bought_kw, hour, days[case].flows.dt_h, label=False)
        axes.axhline(0.0, color=INK, linewidth=0.6)
        axes.use_sticky_edges = False
        axes.margins(y=0.06)
        axes.set_title(f"case {case}", loc="left")
        axes.set_ylabel("traded in the hour [kW]\nsold up, bought down")
        axes.set_xlim(hour.min(), hour.max() + days[case].flows.dt_h)
    step = 2 if len(hour) > 12 else 1
    panels[-1].set_xticks(np.append(hour, hour[-1] + days[1].flows.dt_h)[::step])
    panels[-1].set_xlabel("hour of the day, local time")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, title="client")
    return figure


def _stacked(
    axes: Axes, names: tuple[str, ...], power: Floats, hour: Floats, dt_h: float, label: bool = True
) -> None:
    """Bars of all clients, one on the other; hours are whole bars."""
    bottom = np.zeros(len(hour))
    for name, colour, each in zip(names, CLIENT_COLOURS, power, strict=True):
        said = name if label else None
        bar: Style = {"width": 0.86 * dt_h, "color": colour, "label": said}
        axes.bar(hour + dt_h / 2.0, each, bottom=bottom, **bar)
        bottom = bottom + each


def draw_matrix(days: Days) -> Figure:
    """Who sold to whom over the day, cases 1 and 2 (Fig. 5) [kWh]."""
    figure = Figure(figsize=(12.0, 5.4), layout="constrained")
    panels = figure.subplots(1, len(TRADING))
    for axes, case in zip(panels, TRADING, strict=True):
        found = days[case].figures
        matrix, at = found.trade_matrix_kwh, np.arange(len(found.names))
        image = axes.imshow(matrix, cmap="Blues", vmin=0.0, vmax=max(matrix.max(), 1e-9))
        for row, column in np.argwhere(matrix >= 0.05):
            dark = matrix[row, column] > 0.6 * matrix.max()
            text: Style = {"ha": "center", "va": "center", "color": "white" if dark else INK}
            axes.text(column, row, f"{matrix[row, column]:.1f}", fontsize="small", **text)
        axes.set_xticks(at, found.names)
        axes.set_yticks(at, found.names)
        axes.set_xlabel("buyer")
        axes.set_ylabel("seller")
        axes.set_title(f"case {case}: {matrix.sum():.0f} kWh traded", loc="left")
        figure.colorbar(image, ax=axes, shrink=0.85, label="sold over the day [kWh]")
    return figure


def draw_lines(days: Days) -> Figure:
    """Loading of each line by case, highest hour and mean of the evening (Fig. 6) [%]."""
    figure = Figure(figsize=(10.0, 4.8), layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(days[0].figures.lines))
    evening = days[0].flows.hours(*EVENING_H)
    for case, day in days.items():
        place = at + WIDTH * (case - 1)
        label = f"case {case}, highest hour: {day.figures.overloads} overloaded"
        peak = 100.0 * day.figures.loading_peak
        axes.bar(place, peak, width=WIDTH, color=CASE_COLOURS[case], label=label)
        if evening.any():
            mean = 100.0 * day.flows.loading[:, 0, evening].mean(axis=1)
            said = f"mean from {EVENING}" if case == 2 else None
            mark: Style = {"markerfacecolor": "white", "markeredgecolor": INK, "zorder": 3}
            axes.plot(place, mean, "D", markersize=5, label=said, **mark)
    axes.axhline(100.0, **LIMIT, label="rating (ours)")
    axes.set_xticks(at, days[0].figures.lines)
    axes.set_xlabel("line, from bus to bus")
    axes.set_ylabel("loading [%]")
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda k: not labels[k].startswith("case"))
    axes.legend([handles[k] for k in order], [labels[k] for k in order], ncols=2, **ABOVE)
    return figure


def draw_voltages(days: Days) -> Figure:
    """Lowest voltage of each bus by case along both branches, and the evening's mean (Fig. 7)."""
    figure = Figure(figsize=(11.0, 4.8), layout="constrained")
    panels = figure.subplots(1, len(BRANCHES), sharey=True)
    heads = ((), BRANCHES[0][:3])  # the second branch leaves the first at its third bus
    for axes, head, branch in zip(panels, heads, BRANCHES, strict=True):
        path = list(dict.fromkeys(map(str, (*head, *branch))))
        names = dict(zip(days[0].figures.buses, days[0].figures.names, strict=True))
        at = np.arange(len(path))
        for case, day in days.items():
            low, evening = _profiles(day, path)
            look: Style = {"color": CASE_COLOURS[case], "marker": CASE_MARKS[case], "markersize": 5}
            axes.plot(at, low, **look, label=f"case {case}, lowest of the day")
            axes.plot(at, evening, **look, linestyle=":", label=f"case {case}, mean {EVENING}")
        axes.set_xticks(at, [f"{bus}\n{names.get(bus, 'head')}" for bus in path])
        axes.set_xlabel("bus and its client, from the head to the end of the branch")
        axes.grid(True, color="#dddddd", linewidth=0.6)
    panels[0].set_ylabel("voltage [pu]")
    panels[0].ticklabel_format(axis="y", useOffset=False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _profiles(day: Day, path: list[str]) -> tuple[Floats, Floats]:
    """Lowest voltage, and mean of the evening, of buses on a path; NaN without an evening."""
    rows = [day.figures.buses.index(bus) for bus in path if bus in day.figures.buses]
    known = np.vstack([day.head_vm_pu, day.flows.vm_pu[rows, 0]])
    evening = day.flows.hours(*EVENING_H)
    mean = known[:, evening].mean(axis=1) if evening.any() else np.full(len(known), np.nan)
    return known.min(axis=1), mean


PICTURES = {
    "fig2_costs": draw_costs,
    "fig3_mix": draw_mix,
    "fig4_trades": draw_trades,
    "fig5_matrix": draw_matrix,
    "fig6_lines": draw_lines,
    "fig7_voltages": draw_voltages,
}


def write(days: Days, folder: Path) -> list[Path]:
    """Draw all pictures into a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name, draw in PICTURES.items():
        found.append(folder / f"{name}.png")
        draw(days).savefig(found[-1], dpi=110)
    return found
