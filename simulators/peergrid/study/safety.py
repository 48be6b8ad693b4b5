"""Whether envelopes keep what they promise: random points of them under the exact power flow."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.limits import Limits

Floats = NDArray[np.float64]
BLOCK = 4096  # power flows at a time
INFINITE = float("inf")


@dataclass(frozen=True, kw_only=True)
class Safety:
    """The worst of all points that were looked at.

    Parameters
    ----------
    points
        How many, over all hours.
    worst_violation_pu
        By how much a voltage leaves its limits at most; infinite without a solution.
    worst_loading
        Highest loading of a branch relative to its limit; NaN where nothing is rated.
    worst_hour
        Hour of the worst voltage.
    """

    points: int
    worst_violation_pu: float
    worst_loading: float
    worst_hour: int


def look(limits: Limits, boxes: Boxes, count: int, rng: np.random.Generator) -> Safety:
    """Exact voltages and currents at random corners, and inside, of every hour's boxes.

    Parameters
    ----------
    limits
        What must hold; what firm load causes in any case is part of it.
    boxes
        ``(N, T)``, finite.
    count
        Points per hour: half corners (the two extreme ones among them), half anywhere inside.
    rng
        Draws the points.
    """
    sides = 2 * len(limits.at)
    share = rng.random((count, sides, limits.hours))
    corners = max((count + 1) // 2, 1)
    share[:corners] = np.round(share[:corners])
    share[0], share[min(1, count - 1)] = 1.0, 0.0
    low = np.concatenate([boxes.p_min_kw, boxes.q_min_kvar])
    high = np.concatenate([boxes.p_max_kw, boxes.q_max_kvar])
    points = (low + share * (high - low)).transpose(1, 0, 2).reshape(sides, -1)
    hour = np.tile(np.arange(limits.hours), count)
    worst = np.full(len(hour), INFINITE)
    loading = np.full(len(hour), np.nan)
    for first in range(0, len(hour), BLOCK):
        part = slice(first, first + BLOCK)
        worst[part], loading[part] = _at(limits.only(hour[part]), points[:, part])
    return Safety(
        points=len(hour),
        worst_violation_pu=float(worst.max(initial=0.0)),
        worst_loading=float(loading.max(initial=0.0)) if limits.rated else float("nan"),
        worst_hour=int(hour[np.argmax(worst)]),
    )


def _at(limits: Limits, points: Floats) -> tuple[Floats, Floats]:
    """Violation and relative loading of single points ``(2 N, K)``, one per hour of the limits."""
    p_kw, q_kvar = np.split(points, 2)
    flow = limits.flow(p_kw, q_kvar)
    outside = np.maximum(flow.vm_pu - limits.v_max_pu, limits.v_min_pu - flow.vm_pu)[1:]
    worst = np.where(flow.converged, np.maximum(outside.max(axis=0), 0.0), INFINITE)
    loading = (flow.loading[1:] / limits.loading_max[1:]).max(axis=0)
    return worst, np.where(flow.converged, loading, INFINITE)
