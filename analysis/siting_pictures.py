"""Pictures of plans: the paper's Figs. 2 to 4, voltages, convergence, and where what is built.

Drawn by ``siting.py``; each curve is one plan, that with the median score of its method.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from siting_convergence import draw_convergence
from siting_map import draw_map
from siting_plans import BASE, TITLES, Study
from siting_style import (
    GRID,
    INK,
    KIND_COLOURS,
    KIND_LABELS,
    LIMIT,
    PAPER_LOOK,
    ROOM,
    legend_below,
    look,
    spare_colour,
)

from peergrid.study.siting.published import PAPER, PERIODS, SCENARIO

Floats = NDArray[np.float64]
Drawer = Callable[[Axes, Study], None]
SHOWN = ("ga", "cheetah-text", "cheetah-code", "milp")
DPI, SMALL_DPI = 110, 72
MOST_TICKS = 9
COLUMN_IN, ROW_IN = 5.4, 2.9


def shown(study: Study) -> list[str]:
    """Ways whose curves are drawn: the paper's and the programme; others where they are not."""
    there = [way for way in SHOWN if way in study.ways and study.typical(way) is not None]
    if "cheetah-text" in there and "cheetah-code" in there:
        there.remove("cheetah-code")
    if len(there) > 1:
        return there
    return [way for way in study.ways if study.typical(way) is not None][:4]


# -- panels ----------------------------------------------------------------------------------------


def traded_panel(axes: Axes, study: Study) -> None:
    """Hourly traded energy (Fig. 2) [kW]."""
    _curves(axes, study, "traded_kw")
    axes.set_ylim(bottom=-0.02 * axes.get_ylim()[1])  # so that nothing traded is seen
    axes.set_ylabel("traded [kW]")


def loss_panel(axes: Axes, study: Study) -> None:
    """Hourly losses (Fig. 4) [kW]."""
    _curves(axes, study, "loss_kw")
    _published(axes, study, PAPER.loss_kw["base"])
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("active losses [kW]")


def voltage_panel(axes: Axes, study: Study) -> None:
    """Lowest voltage by hour [pu]."""
    _curves(axes, study, "vm_low_pu")
    _published(axes, study, PAPER.vm_min_pu["base"])
    axes.axhline(float(study.plans.attrs.get("v_min_pu", np.nan)), **LIMIT, label="limit")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.set_ylabel("lowest voltage [pu]")


def contribution_panel(axes: Axes, study: Study, way: str | None = None) -> None:
    """What each kind contributes to what is traded, hour by hour (Fig. 3) [kW]."""
    named = way or study.lead
    row = None if named is None else study.typical(named)
    if row is None or named is None:
        axes.text(0.5, 0.5, "no plan keeps all limits", ha="center", transform=axes.transAxes)
        return
    bottom = np.zeros(len(study.hour))
    for k, (kind, powers) in enumerate(study.by_kind("contribution_kw", np.array([row])).items()):
        bar: dict[str, Any] = {"width": 0.9 * study.dt_h, "bottom": bottom, "align": "center"}
        colour = KIND_COLOURS.get(kind, spare_colour(k))
        name = KIND_LABELS.get(kind, kind)
        axes.bar(study.hour + study.dt_h / 2.0, powers[0], color=colour, label=name, **bar)
        bottom = bottom + powers[0]
    axes.set_ylim(0.0, max(1.05 * bottom.max(), 1.0))
    axes.set_ylabel("contributed [kW]")
    axes.set_title(f"by {look(named)['label']}", loc="right", fontsize="small")
    _hours(axes, study)


def profile_panel(axes: Axes, study: Study) -> None:
    """Lowest voltage of the day at each bus, over the lines between it and the head [pu]."""
    parent = study.plans["parent"].values.astype(int)
    depth = depths(parent)
    for way in (BASE, *shown(study)):
        row = 0 if way == BASE else study.typical(way)
        low = study.plans["vm_pu"].values[row].min(axis=1)
        style = look(way)
        ends = np.array([[k, up] for k, up in enumerate(parent) if up >= 0]).reshape(-1, 2)
        gap = np.full(len(ends), np.nan)
        across = np.column_stack([depth[ends[:, 0]], depth[ends[:, 1]], gap]).ravel()
        down = np.column_stack([low[ends[:, 0]], low[ends[:, 1]], gap]).ravel()
        axes.plot(across, down, **style, marker="o", markersize=3)
    axes.axhline(float(study.plans.attrs.get("v_min_pu", np.nan)), **LIMIT, label="limit")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(**GRID)
    axes.set_xlabel("lines between head and bus")
    axes.set_ylabel("lowest voltage of the day [pu]")


def depths(parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lines between each bus and the head."""
    depth = np.zeros(len(parent), dtype=np.int64)
    for _ in range(len(parent)):
        deeper = np.where(parent >= 0, depth[np.maximum(parent, 0)] + 1, 0)
        if (deeper == depth).all():
            break
        depth = deeper
    return depth


def _curves(axes: Axes, study: Study, variable: str) -> None:
    """A series of the day without a plan and of each way's median plan."""
    values = study.plans[variable].values
    edges = np.append(study.hour, study.hour[-1] + study.dt_h)
    for way in (BASE, *shown(study)):
        row = 0 if way == BASE else study.typical(way)
        axes.stairs(values[row], edges, baseline=None, **look(way))
    _hours(axes, study)


def _published(axes: Axes, study: Study, means: Sequence[float]) -> None:
    """Means of the paper's base case over its periods."""
    if study.name != SCENARIO:
        return
    spans = [span for name, span in PERIODS.items() if name in study.periods]
    first, last = np.transpose(spans)
    axes.hlines(means[: len(spans)], first, last, **PAPER_LOOK)


def _hours(axes: Axes, study: Study) -> None:
    """An axis of hours."""
    last = study.hour[-1] + study.dt_h
    axes.set_xlim(study.hour[0], last)
    span = last - study.hour[0]
    step = next((s for s in (0.25, 0.5, 1, 3, 6, 12, 24, 168) if span / s < MOST_TICKS), span / 4)
    axes.set_xticks(np.arange(study.hour[0], last + 1e-9, step))
    axes.set_axisbelow(True)
    axes.grid(**GRID)
    axes.set_xlabel("hour, local time")


# -- figures ---------------------------------------------------------------------------------------


def draw_traded(studies: Sequence[Study]) -> Figure:
    """Fig. 2."""
    return _side_by_side(studies, [traded_panel])


def draw_contributions(studies: Sequence[Study]) -> Figure:
    """Fig. 3: a panel for each of the ways that are drawn."""
    rows = max(len(shown(study)) for study in studies)
    figure, panels = _panels(studies, max(rows, 1))
    for column, study in enumerate(studies):
        ways: list[str | None] = [*shown(study)] or [None]
        for k, axes in enumerate(panels[:, column]):
            if k < len(ways):
                contribution_panel(axes, study, ways[k])
            else:
                axes.set_axis_off()
    _finished(figure, panels, studies)
    return figure


def draw_losses(studies: Sequence[Study]) -> Figure:
    """Fig. 4."""
    return _side_by_side(studies, [loss_panel])


def draw_voltages(studies: Sequence[Study]) -> Figure:
    """Lowest voltages, by hour and by bus."""
    return _side_by_side(studies, [voltage_panel, profile_panel])


def draw_all(studies: Sequence[Study]) -> Figure:
    """The hourly curves together."""
    return _side_by_side(
        studies, [traded_panel, contribution_panel, loss_panel, voltage_panel], share=True
    )


def _side_by_side(
    studies: Sequence[Study], drawers: Sequence[Drawer], *, share: bool = False
) -> Figure:
    """A column for each objective, a row for each panel, on the same scales."""
    figure, panels = _panels(studies, len(drawers))
    for row, drawer in zip(panels, drawers, strict=True):
        for axes, study in zip(row, studies, strict=True):
            drawer(axes, study)
        low, high = (f(axes.get_ylim()[k] for axes in row) for k, f in enumerate((min, max)))
        for axes in row:
            axes.set_ylim(low, high)
    if share:
        for axes in panels[:-1].ravel():
            axes.set_xlabel("")
    _finished(figure, panels, studies)
    return figure


def _panels(studies: Sequence[Study], rows: int) -> tuple[Figure, NDArray[Any]]:
    size = (COLUMN_IN * max(len(studies), 1), ROW_IN * rows + 0.7)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(**ROOM))
    return figure, figure.subplots(rows, len(studies), squeeze=False)


def _finished(figure: Figure, panels: NDArray[Any], studies: Sequence[Study]) -> None:
    """Titles above the columns and one legend beneath."""
    for axes, study in zip(panels[0], studies, strict=True):
        axes.set_title(f"objective: {TITLES[study.objective]}", loc="left", color=INK)
    legend_below(figure, panels.ravel(), columns=4 if len(studies) > 1 else 3)


PICTURES: dict[str, Callable[[Sequence[Study]], Figure]] = {
    "fig2_traded": draw_traded,
    "fig3_contributions": draw_contributions,
    "fig4_losses": draw_losses,
    "voltages": draw_voltages,
    "convergence": draw_convergence,
    "map": draw_map,
}


def draw(studies: Sequence[Study], folder: Path) -> list[Path]:
    """Draw all pictures into a folder; the last two are small ones for a page of text."""
    found = []
    for name, drawer in PICTURES.items():
        found.append(folder / f"{name}.png")
        drawer(studies).savefig(found[-1], dpi=DPI)
    cost = [study for study in studies if study.objective == "cost"] or studies[:1]
    for name, figure in (("siting", draw_all(studies)), ("siting_map", draw_map(cost))):
        found.append(folder / f"{name}.png")
        figure.savefig(found[-1], dpi=SMALL_DPI, pil_kwargs={"optimize": True})
    return found
