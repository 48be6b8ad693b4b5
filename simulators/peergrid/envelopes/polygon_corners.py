"""Where polygons are at their worst, under the exact power flow.

For a row, every participant stands at the corner of its polygon that takes most of it. Upper
voltages cannot be worse than their tangents say (the squared voltage is concave). Lower voltages
and currents can, so from there everybody follows the exact gradient to another corner, and again.
There are several such ends: both of every edge that is full, and others in all directions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.certify import TOLERANCE_LOADING, TOLERANCE_PU
from peergrid.envelopes.corners import (
    NEAR_LOADING,
    corners,
    current_tangents,
    voltage_tangents,
)
from peergrid.envelopes.limits import Limits
from peergrid.envelopes.rows import Rows, current_rows, voltage_rows
from peergrid.network.adjoint import adjoint, branch_state
from peergrid.network.power_flow import PowerFlow

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Planar = tuple[Floats, Floats]
NEAR = 0.7  # of a row's limit: a row of which contracts take as much counts
NEARLY_FULL = 0.1  # room of a row, relative to its limit: with less it is looked at
NEAR_PU = 2e-2  # from its lower limit: a voltage is followed further down
TRIES = 6  # starts for each branch that is near its rating, half as many for a voltage
STEPS = 3  # along the exact gradient
SIDES = 32  # directions in which everybody goes together, whatever the rows say

TURNS = (0.0, 0.005, -0.005, 0.05, -0.05)  # of the normals of rows [rad]


@dataclass(frozen=True, kw_only=True, eq=False)
class Stand:
    """C times somewhere: hours ``(C,)``, injections ``(C, N)`` and the exact power flow there."""

    hour: Indices
    p_kw: Floats
    q_kvar: Floats
    flow: PowerFlow
    below_pu: Floats
    above_pu: Floats
    loading: Floats

    @property
    def violation_pu(self) -> Floats:
        """By how much a voltage leaves its limits at most, ``(C,)``; infinite without solution."""
        outside = np.maximum(self.below_pu, self.above_pu).max(axis=0, initial=0.0)
        return np.where(self.flow.converged, outside, np.inf)

    @property
    def overload(self) -> Floats:
        """By how much a loading exceeds its limit at most, relative, ``(C,)``."""
        over = np.maximum(self.loading.max(axis=0, initial=0.0) - 1.0, 0.0)
        return np.where(self.flow.converged, over, np.inf)


def hours_of(rows: Rows, hours: Indices) -> Rows:
    """Some hours of rows."""
    return Rows(
        a=rows.a[:, :, hours],
        b=rows.b[:, :, hours],
        limit=rows.limit[:, hours],
        at=rows.at,
        kind=rows.kind,
    )


def near(rows: Rows, most: Floats) -> Rows:
    """Rows of whose limit contracts with extents ``(4 N, T)`` take much in some hour."""
    much = rows.used(most) > rows.limit - (1.0 - NEAR) * np.abs(rows.limit)
    return rows.where(np.flatnonzero(much.any(axis=1)))


def tangents(limits: Limits, boxes: Boxes, most: Floats) -> Rows:
    """Tangents at the boxes' corners of all voltages and currents that contracts might break.

    More than boxes need: a row that follows from others for all boxes need not for polygons.
    """
    seen, linear = corners(limits, boxes), near(voltage_rows(limits), most)
    upper, lower = (linear.at[linear.kind == kind] for kind in ("upper", "lower"))
    rows = voltage_tangents(limits, seen, upper, lower)
    if not limits.rated:
        return rows
    others = near(current_rows(limits), most)
    others = others.where(~np.isin(others.at, seen.currents.at))
    return rows.and_(current_tangents(limits, seen)).and_(others)


def taken(rows: Rows, points: Planar) -> Floats:
    """Left-hand sides ``(J, T)`` where each of the polygons ``(N, K, T)`` takes most of a row."""
    worst = np.empty_like(rows.limit)
    for j, (a, b) in enumerate(zip(rows.a, rows.b, strict=True)):
        worst[j] = (a[:, None] * points[0] + b[:, None] * points[1]).max(axis=1).sum(axis=0)
    return worst


def worst_in(limits: Limits, rows: Rows, points: Planar) -> tuple[Floats, Floats]:
    """What polygons with corners ``(N, K, T)`` break at most: voltage [pu] and overload, ``(T,)``.

    Parameters
    ----------
    limits
        What to keep in those T hours.
    rows
        Tangents that say where to look.
    """
    used, limit = taken(rows, points), rows.limit
    with np.errstate(invalid="ignore"):
        full = np.isfinite(limit) & (used > limit - NEARLY_FULL * np.abs(limit))
    row, hour = np.nonzero(full & (rows.kind != "upper")[:, None])
    turned = _turned(rows.a[row, :, hour], rows.b[row, :, hour])
    angle = np.repeat(np.arange(SIDES) * 2.0 * np.pi / SIDES, limits.hours)[:, None]
    alike = np.ones((1, len(limits.at)))
    normal = (
        np.concatenate([turned[0], np.cos(angle) * alike]),
        np.concatenate([turned[1], np.sin(angle) * alike]),
    )
    everywhere = np.tile(np.arange(limits.hours), SIDES)
    stand = _stand(limits, points, normal, np.concatenate([np.tile(hour, len(TURNS)), everywhere]))
    violation, overload = np.zeros(limits.hours), np.zeros(limits.hours)
    for step in range(STEPS + 1):
        np.maximum.at(violation, stand.hour, stand.violation_pu)
        np.maximum.at(overload, stand.hour, stand.overload)
        if step < STEPS and len(stand.hour):
            stand = _further(limits, points, stand)
    return violation, overload


def is_kept(broken: tuple[Floats, Floats]) -> NDArray[np.bool_]:
    """Hours ``(T,)`` in which nothing is broken beyond the tolerances of certified boxes."""
    return np.asarray((broken[0] <= TOLERANCE_PU) & (broken[1] <= TOLERANCE_LOADING))


def _turned(a: Floats, b: Floats) -> Planar:
    """Normals ``(C, N)`` turned a little to both sides: to either end of an edge that is full."""
    return (
        np.concatenate([np.cos(turn) * a - np.sin(turn) * b for turn in TURNS]),
        np.concatenate([np.sin(turn) * a + np.cos(turn) * b for turn in TURNS]),
    )


def _stand(limits: Limits, points: Planar, normal: Planar, hour: Indices) -> Stand:
    """Everybody at its corner that lies farthest along normals ``(C, N)``."""
    there = points[0][:, :, hour], points[1][:, :, hour]
    along = normal[0].T[:, None] * there[0] + normal[1].T[:, None] * there[1]
    chosen = np.argmax(along, axis=1)[:, None]
    p_kw, q_kvar = (np.take_along_axis(part, chosen, axis=1)[:, 0] for part in there)
    many = limits.only(hour)
    flow = many.flow(p_kw, q_kvar)
    vm, unsure = flow.vm_pu[1:], limits.uncertainty_pu(flow)
    lowest = np.minimum(many.v_min_pu + unsure, many.lowest_pu)[1:]
    highest = np.maximum(many.v_max_pu - unsure, many.highest_pu)[1:]
    return Stand(
        hour=hour,
        p_kw=p_kw.T,
        q_kvar=q_kvar.T,
        flow=flow,
        below_pu=np.nan_to_num(lowest - vm),
        above_pu=np.nan_to_num(vm - highest),
        loading=np.nan_to_num(flow.loading[1:] / many.loading_max[1:]),
    )


def _further(limits: Limits, points: Planar, found: Stand) -> Stand:
    """From low voltages down their gradients, and from loaded branches up theirs."""
    low = _worst_of(found.below_pu, found.hour, -NEAR_PU, TRIES // 2)
    loaded = _worst_of(found.loading, found.hour, NEAR_LOADING, TRIES)
    start = np.concatenate([low[1], loaded[1]])
    mu, kappa = (np.zeros((len(found.flow.v_pu), len(start))) for _ in range(2))
    mu[1 + low[0], np.arange(len(low[1]))] = -1.0
    kappa[1 + loaded[0], len(low[1]) + np.arange(len(loaded[1]))] = 1.0
    state = branch_state(found.flow).columns(start)
    slope = adjoint(state, np.zeros(len(start)), mu, kappa)
    normal = np.nan_to_num(slope.p[limits.at].T), np.nan_to_num(slope.q[limits.at].T)
    return _stand(limits, points, normal, found.hour[start])


def _worst_of(value: Floats, hour: Indices, least: float, count: int) -> tuple[Indices, Indices]:
    """Rows of ``(R, C)`` above ``least``, and the ``count`` columns of each hour with most."""
    none = np.empty(0, dtype=np.int64)
    rows, columns = [none], [none]
    for one in np.unique(hour):
        own = np.flatnonzero(hour == one)
        best = np.argsort(-value[:, own], axis=1)[:, :count]
        row, rank = np.nonzero(np.take_along_axis(value[:, own], best, axis=1) > least)
        rows.append(row)
        columns.append(own[best[row, rank]])
    return np.concatenate(rows), np.concatenate(columns)
