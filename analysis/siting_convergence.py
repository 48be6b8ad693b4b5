"""How searches come to their plans: best score against evaluations, over the seeds."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from siting_plans import TITLES, Study
from siting_style import GRID, INK, ROOM, legend_below, look

Floats = NDArray[np.float64]
POINTS = 200
SHOWN_FROM = 0.02
"""Share of the budget from which on scores must be in the picture."""
MARGIN = 0.06


def draw_convergence(studies: Sequence[Study]) -> Figure:
    """Median and range over the seeds of each search, and the programme's plan and bound."""
    figure = Figure(
        figsize=(5.6 * max(len(studies), 1), 4.4), layout=ConstrainedLayoutEngine(**ROOM)
    )
    panels = figure.subplots(1, len(studies), squeeze=False)[0]
    for axes, study in zip(panels, studies, strict=True):
        _panel(axes, study)
        axes.set_title(f"objective: {TITLES[study.objective]}", loc="left", color=INK)
    legend_below(figure, panels, columns=4 if len(studies) > 1 else 3)
    return figure


def _panel(axes: Axes, study: Study) -> None:
    seen: list[float] = []
    last = 1.0
    for way, rows in study.ways.items():
        traces = [study.trace(int(row)) for row in rows]
        if way == "milp" or not any(len(effort) for effort, _ in traces):
            continue
        at = _efforts([effort for effort, _ in traces])
        scores = np.array([best_so_far(study, *trace, at) for trace in traces if len(trace[0])])
        last = max(last, float(at[-1]))
        seen += _band(axes, study, at, scores, way)
    seen += _programme(axes, study)
    axes.set_xscale("log")
    axes.set_xlim(max(0.1 * SHOWN_FROM * last, 1.0), 1.1 * last)
    if seen:
        low, high = min(seen), max(seen)
        room = MARGIN * max(high - low, 1e-3 * abs(high), 1e-6)
        axes.set_ylim(low - room, high + room)
    axes.grid(**GRID)
    axes.set_xlabel("evaluations")
    what = "best cost so far" if study.objective == "cost" else "most traded so far"
    axes.set_ylabel(f"{what} [{study.unit}]")


def _efforts(efforts: Sequence[Floats]) -> Floats:
    """Evaluations at which all seeds are compared."""
    first = max(1.0, min(float(effort[0]) for effort in efforts if len(effort)))
    last = max(float(effort[-1]) for effort in efforts if len(effort))
    return np.geomspace(first, max(last, first), POINTS)


def best_so_far(study: Study, effort: Floats, score: Floats, at: Floats) -> Floats:
    """Best score that keeps all limits after so many evaluations; NaN before the first."""
    kept = score < study.penalty if study.objective == "cost" else score <= 0.0
    effort, score = effort[kept], score[kept]
    place = np.searchsorted(effort, at, side="right") - 1
    found = np.append(score, np.nan)[np.where(place < 0, len(score), place)]
    return np.asarray(study.value(found))


def _band(axes: Axes, study: Study, at: Floats, scores: Floats, way: str) -> list[float]:
    """Median and range of a search; which values the picture must hold."""
    known = np.isfinite(scores).all(axis=0)
    if not known.any():
        return []
    at, scores = at[known], scores[:, known]
    style = look(way)
    axes.plot(at, np.median(scores, axis=0), **style)
    if len(scores) > 1:
        axes.fill_between(
            at, scores.min(axis=0), scores.max(axis=0), color=style["color"], alpha=0.15, lw=0
        )
    late = np.median(scores, axis=0)[at >= SHOWN_FROM * at[-1]]
    return [float(late.min()), float(late.max()), float(scores[:, -1].min())]


def _programme(axes: Axes, study: Study) -> list[float]:
    """The programme's plan and its bound as lines."""
    if "milp" not in study.ways:
        return []
    row = int(study.ways["milp"][0])
    found = []
    bound = float(study.plans["bound"].values[row])
    pairs = (("", float(study.score[row]), "-"), (", bound", bound, "--"))
    for what, score, dashes in pairs:
        if np.isfinite(score):
            value = float(study.value(score))
            style = {**look("milp"), "linestyle": dashes, "linewidth": 1.2}
            style["label"] += what
            axes.axhline(value, **style)
            found.append(value)
    return found
