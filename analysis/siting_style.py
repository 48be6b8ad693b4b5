"""One style for the pictures of ``siting.py``."""

from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Style = dict[str, Any]
INK = "#222222"
GRID: Style = {"color": "#dddddd", "linewidth": 0.6}
LIMIT: Style = {"color": "#b3261e", "linestyle": "--", "linewidth": 1.0}
PAPER_LOOK: Style = {
    "colors": INK,
    "linestyles": ":",
    "linewidth": 1.4,
    "label": "paper, base (means)",
    "zorder": 3,
}
ROOM: Style = {"w_pad": 0.08, "h_pad": 0.06}
"""Between panels [in]."""
_LOOKS: dict[str, Style] = {
    "base": {"color": "#8a8a8a", "linewidth": 1.6, "label": "base"},
    "milp": {"color": "#1f4e79", "linewidth": 1.8, "label": "MILP"},
    "cheetah-text": {"color": "#d07c1f", "linewidth": 1.4, "label": "cheetah, text"},
    "cheetah-code": {"color": "#b3261e", "linewidth": 1.4, "label": "cheetah, code"},
    "ga": {"color": "#5b8c5a", "linewidth": 1.4, "label": "GA"},
    "de": {"color": "#7b5ea7", "linewidth": 1.4, "label": "DE"},
    "cmaes": {"color": "#4f9da6", "linewidth": 1.4, "label": "CMA-ES"},
}
KIND_COLOURS = {"pv": "#f2b134", "wind": "#6fb7c0", "battery": "#a68fca", "ev": "#8fbf8e"}
KIND_LABELS = {"pv": "PV", "wind": "wind", "battery": "battery", "ev": "EVs"}
_SPARE = ("#8c6d62", "#b0b0b0", "#222222", "#d07c1f")


def look(way: str) -> Style:
    """How a way is drawn."""
    return _LOOKS.get(way, {"color": _SPARE[0], "linewidth": 1.4, "label": way})


def spare_colour(k: int) -> str:
    """A colour for what has none."""
    return _SPARE[k % len(_SPARE)]


def legend_below(figure: Figure, panels: Iterable[Axes], *, columns: int) -> None:
    """One legend for all panels, each name once."""
    found: dict[str, Any] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        found.update(zip(labels, handles, strict=True))
    figure.legend(
        found.values(), found.keys(), loc="outside lower center", ncols=columns, frameon=False
    )
