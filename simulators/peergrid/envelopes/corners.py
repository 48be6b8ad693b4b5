"""Where an envelope is at its worst, under the exact power flow, and tangents of its limits there.

On a radial feeder the voltage rises with every injection: with everyone at the upper corner it is
highest, at the lower one lowest. A current is convex in the injections; the corner at which it is
worst mixes active and reactive power, and is found branch by branch: start from the four sign
corners of (P, Q), and let every participant stand where the current's gradient puts it.

Tangents come from the adjoint of the branch flow equations, exactly, for all rows in two sweeps.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.limits import Limits
from peergrid.envelopes.rows import Rows
from peergrid.network.adjoint import Adjoint, BranchState, adjoint, branch_state
from peergrid.network.power_flow import PowerFlow

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
NEAR_LOADING = 0.8  # of the limit: a branch so near is looked at in its own corner
WATCHED_LOADING = 0.3  # the same for a branch that is watched
HALVINGS = 6
NOBODY = np.empty(0, dtype=np.int64)
SIGNS = ((1, 1), (-1, -1), (1, -1), (-1, 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Currents:
    """C branch currents, each at its own worst corner.

    Parameters
    ----------
    at, hour
        ``(C,)`` branch and hour.
    loading
        ``(C,)`` its loading there.
    current_pu
        ``(C,)`` its series current there.
    gradient_p, gradient_q
        ``(C, N)`` of the squared series current [pu^2/kW, pu^2/kvar].
    p_kw, q_kvar
        ``(C, N)`` the corner.
    """

    at: Indices
    hour: Indices
    loading: Floats
    current_pu: Floats
    gradient_p: Floats
    gradient_q: Floats
    p_kw: Floats
    q_kvar: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Corners:
    """Exact states at the corners of envelopes over T hours.

    Parameters
    ----------
    boxes
        The boxes that were looked at; drawn in towards the least boxes where there was no solution.
    solved
        ``(T,)`` whether the corners as published have a power flow solution.
    high, low
        Power flow with everyone at the upper, and at the lower corner.
    mixed
        The same where active power is at its upper and reactive at its lower end, and vice versa.
    v_max_pu, v_min_pu
        ``(n, T)`` limits there, narrowed by the uncertainty of the model.
    currents
        Branches near their rating.
    """

    boxes: Boxes
    solved: NDArray[np.bool_]
    high: PowerFlow
    low: PowerFlow
    mixed: tuple[PowerFlow, ...]
    v_max_pu: Floats
    v_min_pu: Floats
    currents: Currents

    def voltage_violation_pu(self) -> Floats:
        """By how much a voltage leaves its limits at most, ``(T,)``; infinite without solution."""
        # Where reactance dominates, heavy export can also pull a voltage down: all against both.
        flows = (self.high, self.low, *self.mixed)
        seen = np.stack([flow.vm_pu for flow in flows])[:, 1:]
        outside = np.maximum(seen - self.v_max_pu[1:], self.v_min_pu[1:] - seen)
        worst = np.maximum(outside.max(axis=(0, 1), initial=0.0), 0.0)
        return np.where(self.solved, worst, np.inf)

    def overload(self, loading_max: Floats) -> Floats:
        """By how much a loading exceeds its limit at most, relative, ``(T,)``."""
        worst = np.zeros(len(self.solved))
        found = self.currents
        over = found.loading / loading_max[found.at, found.hour] - 1.0
        np.maximum.at(worst, found.hour, over)
        return worst


def corners(limits: Limits, boxes: Boxes, watched: Indices = NOBODY) -> Corners:
    """Exact power flow at the corners of envelopes ``(N, T)``.

    Currents of ``watched`` branches are looked at even where they are far from their rating.
    """
    looked, solved, flows = _solvable(limits, boxes)
    high, low = flows[0], flows[1]
    currents = _currents(limits, looked, flows, watched) if limits.rated else _no_currents(limits)
    room = limits.uncertainty_pu
    return Corners(
        boxes=looked,
        solved=solved,
        high=high,
        low=low,
        mixed=flows[2:],
        v_max_pu=np.maximum(limits.v_max_pu - room(high), limits.highest_pu),
        v_min_pu=np.minimum(limits.v_min_pu + room(low), limits.lowest_pu),
        currents=currents,
    )


def worst_loading(limits: Limits, boxes: Boxes) -> Floats:
    """Largest loading ``(n, T)`` in boxes of the branches that are near their rating there.

    NaN in all others, and in hours without a power flow solution.
    """
    worst = np.full_like(limits.loading_max, np.nan)
    if limits.rated:
        found = _currents(limits, boxes, tuple(limits.flow(*_corner(boxes, s)) for s in SIGNS))
        solved = np.isfinite(found.loading)
        where = found.at[solved], found.hour[solved]
        worst[where] = 0.0
        np.maximum.at(worst, where, found.loading[solved])
    return worst


def voltage_tangents(limits: Limits, found: Corners, upper: Indices, lower: Indices) -> Rows:
    """Voltage rows of these buses as tangents of the squared voltage at their corner.

    The squared voltage is concave in the injections (losses grow), so a tangent of an upper limit
    is on the safe side everywhere, that of a lower limit at its corner.
    """
    boxes, hours = found.boxes, limits.hours
    corner = {
        "upper": (boxes.p_max_kw, boxes.q_max_kvar),
        "lower": (boxes.p_min_kw, boxes.q_min_kvar),
    }
    parts = []
    for kind, flow, rows in (("upper", found.high, upper), ("lower", found.low, lower)):
        sign = 1.0 if kind == "upper" else -1.0
        limit = found.v_max_pu if kind == "upper" else found.v_min_pu
        slope = _voltage_slopes(branch_state(flow), limits, rows)
        p_kw, q_kvar = corner[kind]
        at_corner = np.einsum("jnt,nt->jt", slope[0], p_kw)
        at_corner += np.einsum("jnt,nt->jt", slope[1], q_kvar)
        room = sign * (limit[rows] ** 2 - flow.vm_pu[rows] ** 2 + at_corner)
        parts.append(
            Rows(
                a=sign * slope[0],
                b=sign * slope[1],
                limit=room.reshape(len(rows), hours),
                at=rows,
                kind=np.full(len(rows), kind),
            )
        )
    return parts[0].and_(parts[1])


def current_tangents(limits: Limits, found: Corners) -> Rows:
    """Rows of the branches that are near their rating, each as a tangent at its own corner.

    A branch may have several; a slot (row) holds one in each hour.
    """
    near = found.currents
    slot = np.zeros(len(near.at), dtype=np.int64)
    seen: dict[tuple[int, int], int] = {}
    keys: dict[tuple[int, int], int] = {}
    for c, (branch, hour) in enumerate(zip(near.at.tolist(), near.hour.tolist(), strict=True)):
        turn = seen.get((branch, hour), 0)
        seen[branch, hour] = turn + 1
        slot[c] = keys.setdefault((branch, turn), len(keys))
    shape = (len(keys), len(limits.at), limits.hours)
    a, b, limit = np.zeros(shape), np.zeros(shape), np.full((shape[0], shape[2]), np.inf)
    # the limit is on the loading at the worse end, which a shunt lifts above the series current
    most = near.current_pu * limits.loading_max[near.at, near.hour] / near.loading
    at_corner = (near.gradient_p * near.p_kw + near.gradient_q * near.q_kvar).sum(axis=1)
    a[slot, :, near.hour], b[slot, :, near.hour] = near.gradient_p, near.gradient_q
    room = most**2 - near.current_pu**2 + at_corner
    limit[slot, near.hour] = np.where(np.isfinite(room), room, np.inf)
    return Rows(
        a=a,
        b=b,
        limit=limit,
        at=np.array([branch for branch, _ in keys], dtype=np.int64),
        kind=np.full(shape[0], "current"),
    )


def _solvable(
    limits: Limits, boxes: Boxes
) -> tuple[Boxes, NDArray[np.bool_], tuple[PowerFlow, ...]]:
    """Flows at the sign corners; hours without a solution are drawn in until there is one."""
    least, extent = limits.least.extent, boxes.extent
    solved: NDArray[np.bool_] | None = None
    for _ in range(HALVINGS + 1):
        looked = Boxes.of_extent(extent)
        flows = tuple(limits.flow(*_corner(looked, sign)) for sign in SIGNS)
        good = np.all([flow.converged for flow in flows], axis=0)
        solved = good if solved is None else solved
        if good.all():
            break
        extent = np.where(good, extent, (extent + least) / 2.0)
    return looked, np.asarray(solved), flows


def _corner(boxes: Boxes, sign: tuple[int, int]) -> tuple[Floats, Floats]:
    p_kw = boxes.p_max_kw if sign[0] > 0 else boxes.p_min_kw
    q_kvar = boxes.q_max_kvar if sign[1] > 0 else boxes.q_min_kvar
    return p_kw, q_kvar


def _voltage_slopes(state: BranchState, limits: Limits, rows: Indices) -> tuple[Floats, Floats]:
    """Slopes of squared voltages ``(J, N, T)`` per kW and kvar of the participants."""
    count, hours = len(rows), limits.hours
    if count == 0:
        empty = np.empty((0, len(limits.at), hours))
        return empty, empty
    hour = np.tile(np.arange(hours), count)
    mu = np.zeros((len(state.v), count * hours))
    mu[np.repeat(rows, hours), np.arange(count * hours)] = 1.0
    found = adjoint(state.columns(hour), np.zeros(count * hours), mu)
    shape = (len(limits.at), count, hours)
    return (
        found.p[limits.at].reshape(shape).transpose(1, 0, 2),
        found.q[limits.at].reshape(shape).transpose(1, 0, 2),
    )


def _no_currents(limits: Limits) -> Currents:
    none, nothing = np.empty(0, dtype=np.int64), np.empty(0)
    empty = np.empty((0, len(limits.at)))
    return Currents(
        at=none, hour=none, loading=nothing, current_pu=nothing,
        gradient_p=empty, gradient_q=empty, p_kw=empty, q_kvar=empty,
    )  # fmt: skip


def _currents(
    limits: Limits, boxes: Boxes, flows: tuple[PowerFlow, ...], watched: Indices = NOBODY
) -> Currents:
    """Branches near their rating, each moved to the corner that its own gradient points to."""
    at: list[Indices] = []
    hour: list[Indices] = []
    p_kw: list[Floats] = []
    q_kvar: list[Floats] = []
    share = np.stack([np.nan_to_num(flow.loading) / limits.loading_max for flow in flows])
    near = share > NEAR_LOADING
    near[:, watched] |= share[:, watched] > WATCHED_LOADING
    for sign, looked in zip(SIGNS, near, strict=True):
        rows, hours = np.nonzero(looked[1:])
        at.append(rows + 1)
        hour.append(hours)
        for kept, power in zip((p_kw, q_kvar), _corner(boxes, sign), strict=True):
            kept.append(power[:, hours].T)
    branch, when = np.concatenate(at), np.concatenate(hour)
    if len(branch) == 0:
        return _no_currents(limits)
    corner = np.concatenate(p_kw), np.concatenate(q_kvar)
    found = _at(limits, branch, when, corner)
    corner = _steepest(boxes, when, found)
    found = _at(limits, branch, when, corner)
    return _distinct(found)


def _at(limits: Limits, at: Indices, hour: Indices, corner: tuple[Floats, Floats]) -> Currents:
    """Currents and their gradients at corners ``(C, N)`` of single hours."""
    flow = limits.only(hour).flow(corner[0].T, corner[1].T)
    kappa = np.zeros(flow.v_pu.shape)
    chosen = at, np.arange(len(at))
    kappa[chosen] = 1.0
    slope: Adjoint = adjoint(branch_state(flow), np.zeros(len(at)), None, kappa)
    return Currents(
        at=at,
        hour=hour,
        loading=np.nan_to_num(flow.loading[chosen], nan=np.inf),
        current_pu=np.abs(flow.j_pu[chosen]),
        gradient_p=np.nan_to_num(slope.p[limits.at].T),
        gradient_q=np.nan_to_num(slope.q[limits.at].T),
        p_kw=corner[0],
        q_kvar=corner[1],
    )


def _steepest(boxes: Boxes, hour: Indices, found: Currents) -> tuple[Floats, Floats]:
    """Where each participant stands if it follows the gradient of the current."""
    p_kw = np.where(found.gradient_p > 0.0, boxes.p_max_kw[:, hour].T, boxes.p_min_kw[:, hour].T)
    q_kvar = np.where(
        found.gradient_q > 0.0, boxes.q_max_kvar[:, hour].T, boxes.q_min_kvar[:, hour].T
    )
    return p_kw, q_kvar


def _distinct(found: Currents) -> Currents:
    """Without corners that several starts led to."""
    marks = np.concatenate([found.at[:, None], found.hour[:, None], found.p_kw, found.q_kvar], 1)
    _, first = np.unique(marks.round(6), axis=0, return_index=True)
    keep = np.sort(first)
    return Currents(**{name: values[keep] for name, values in vars(found).items()})
