"""A feeder as a tree, with what is built where and how big."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from siting_plans import TITLES, Study
from siting_style import INK, KIND_COLOURS, KIND_LABELS, Style, legend_below, spare_colour

Floats = NDArray[np.float64]
NAMED_BUSES = 45
"""Feeders with more buses have only the head and built-up buses named."""
STEP_IN, LANE_IN, UNIT_IN = 0.62, 0.5, 0.21
"""Between depths, between lanes, and between the units at a bus [in]."""
ABOVE_IN, BELOW_IN, TITLE_IN = 0.2, 0.35, 0.35
POINTS_PER_IN = 72.0
Sites = Mapping[int, list[dict[str, Any]]]


def draw_map(studies: Sequence[Study]) -> Figure:
    """The best plan under each objective, one below the other."""
    places = [layout(study.plans["parent"].values.astype(int)) for study in studies]
    sites = [_sites(study) for study in studies]
    heights = [_height(place, each) for place, each in zip(places, sites, strict=True)]
    width = min(max(STEP_IN * (max(float(p[:, 0].max()) for p in places) + 2.0), 7.0), 16.0)
    figure = Figure(
        figsize=(width, sum(heights) + TITLE_IN * (len(studies) + 1)), layout="constrained"
    )
    panels = figure.subplots(len(studies), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, study, place, each in zip(panels, studies, places, sites, strict=True):
        _panel(axes, study, place, each)
    legend_below(figure, panels, columns=6)
    return figure


def layout(parent: NDArray[np.int64]) -> Floats:
    """Depth and lane of each bus ``(n, 2)``: the longest way on goes straight, others branch off.

    >>> layout(np.array([-1, 0, 1, 1, 3])).tolist()
    [[0.0, 0.0], [1.0, 0.0], [2.0, 1.0], [2.0, 0.0], [3.0, 0.0]]
    """
    children: dict[int, list[int]] = {k: [] for k in range(len(parent))}
    for k, up in enumerate(parent):
        if up >= 0:
            children[int(up)].append(k)
    order = [k for k, up in enumerate(parent) if up < 0]
    for k in order:
        order.extend(children[k])
    reach = np.zeros(len(parent))
    for k in reversed(order):
        reach[k] = 1.0 + max((reach[c] for c in children[k]), default=0.0)
    place = np.zeros((len(parent), 2))
    lanes, waiting = 0, [(k, 0.0, True) for k in order if parent[k] < 0][::-1]
    while waiting:
        k, depth, is_new = waiting.pop()
        lanes += is_new
        place[k] = depth, lanes - 1 if is_new else place[int(parent[k]), 1]
        on = sorted(children[k], key=lambda c: -reach[c])
        waiting += [(c, depth + 1.0, j > 0) for j, c in reversed(list(enumerate(on)))]
    return place


def _sites(study: Study) -> Sites:
    """What the best plan builds, by row of the bus."""
    found: dict[int, list[dict[str, Any]]] = {}
    for unit in study.built(study.best) if study.best is not None else []:
        found.setdefault(unit["row"], []).append(unit)
    return found


def levels(place: Floats, sites: Sites) -> dict[int, int]:
    """Level of the first unit at each bus: above those of a neighbour that begin at the bus."""
    first: dict[int, int] = {}
    at = {(place[row, 0], place[row, 1]): row for row in sites}
    for depth, lane in sorted(at):
        before = at.get((depth - 1.0, lane))
        is_free = before is None or first[before] > 0
        first[at[depth, lane]] = 0 if is_free else len(sites[int(before or 0)])
    return first


def _most(place: Floats, sites: Sites, *, on_first: bool) -> int:
    """Levels that the first lane, or any of the others, needs."""
    first = levels(place, sites)
    tops = {row: first[row] + len(units) for row, units in sites.items()}
    return max((top for row, top in tops.items() if (place[row, 1] == 0.0) == on_first), default=0)


def _lane(place: Floats, sites: Sites) -> float:
    """Height of a lane, so that units of a bus do not reach the next one [in]."""
    return max(LANE_IN, BELOW_IN + UNIT_IN * _most(place, sites, on_first=False))


def _top(place: Floats, sites: Sites) -> float:
    """Room above the first lane [in]."""
    return ABOVE_IN + UNIT_IN * _most(place, sites, on_first=True)


def _height(place: Floats, sites: Sites) -> float:
    """Height of a panel [in]."""
    return _top(place, sites) + _lane(place, sites) * float(place[:, 1].max()) + BELOW_IN


def _panel(axes: Axes, study: Study, place: Floats, sites: Sites) -> None:
    parent = study.plans["parent"].values.astype(int)
    for k, up in enumerate(parent):
        if up >= 0:
            ends = place[[up, k]]
            bend = np.array([ends[0], [ends[0, 0], ends[1, 1]], ends[1]])
            axes.plot(bend[:, 0], bend[:, 1], color="#8a8a8a", linewidth=1.2, zorder=1)
    axes.scatter(place[:, 0], place[:, 1], s=22, color=INK, zorder=2)
    axes.scatter(place[:1, 0], place[:1, 1], s=90, marker="s", color=INK, label="feeder head")
    _bus_names(axes, study, place, sites)
    first = levels(place, sites)
    for row, units in sites.items():
        _site(axes, place[row], units, first[row])
    best = study.best
    name = "nothing keeps all limits" if best is None else str(study.plans["plan"].values[best])
    axes.set_title(f"objective: {TITLES[study.objective]}, {name}", loc="left", color=INK)
    axes.set_xlim(place[:, 0].min() - 0.6, place[:, 0].max() + 0.9)
    lane = _lane(place, sites)
    axes.set_ylim(place[:, 1].max() + BELOW_IN / lane, -_top(place, sites) / lane)
    axes.set_axis_off()


def _bus_names(axes: Axes, study: Study, place: Floats, sites: Sites) -> None:
    labels = study.plans["bus"].values
    for k, at in enumerate(place):
        if len(place) <= NAMED_BUSES or k == 0 or k in sites:
            text: Style = {"ha": "center", "va": "top", "fontsize": "small", "color": INK}
            text["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
            axes.annotate(
                f"{labels[k]:g}", (at[0], at[1]), (0, -7), textcoords="offset points", **text
            )


def _site(axes: Axes, at: Floats, units: Sequence[Mapping[str, Any]], first: int) -> None:
    """Marks above a bus, one for each unit, with its size."""
    for k, unit in enumerate(units):
        colour = KIND_COLOURS.get(unit["kind"], spare_colour(0))
        name = KIND_LABELS.get(unit["kind"], unit["kind"])
        size = unit["size"]
        shown = f"{size:.0f}" if size >= 10.0 or size == round(size) else f"{size:.1f}"
        height = POINTS_PER_IN * (ABOVE_IN + UNIT_IN * (first + k))
        axes.annotate(
            f"{shown} {unit['unit']}",
            (at[0], at[1]),
            (0, height),
            textcoords="offset points",
            fontsize="small",
            va="center",
            ha="center",
            arrowprops={"arrowstyle": "-", "color": INK, "lw": 0.6} if first and k == 0 else None,
            bbox={"boxstyle": "round,pad=0.2", "facecolor": colour, "lw": 0},
        )
        axes.scatter([], [], s=70, marker="s", color=colour, label=name)
