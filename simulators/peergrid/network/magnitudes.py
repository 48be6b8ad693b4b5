"""Voltage magnitudes, flows and losses of many hours, without angles: the fast exact power flow.

The branch flow equations of M. Farivar and S. Low, "Branch flow model: relaxations and
convexification", IEEE Trans. Power Systems 28(3), 2013, doi 10.1109/TPWRS.2013.2255317, hold
exactly on a tree, and no angle occurs in them. They are iterated as a ladder: sending-end flows
``P, Q`` of the branch that feeds bus i from the leaves to the root with the squared currents ``l``
of the last sweep, then squared voltages ``v`` and currents from the root to the leaves::

    P_i = p_i + g_i v_i + r_i l_i + sum of P over the children of i
    Q_i = q_i - b_i v_i + x_i l_i + sum of Q over the children of i
    l_i = (P_i^2 + Q_i^2) / v_parent
    v_i = v_parent - 2 (r_i P_i + x_i Q_i) + (r_i^2 + x_i^2) l_i

with ``p, q`` the load of the bus. Half the numbers and a third of the operations of the sweep over
complex currents (:mod:`peergrid.network.power_flow`), to the same solution; ideal transformers are
removed in the same way, so everything here is referred to the root.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from peergrid.compiled import vectorised
from peergrid.network.feeder import Bools, Feeder, Floats, Ints
from peergrid.units import kw_from_pu, pu_from_kw

TOL_V_SQ = 1e-9
MAX_SWEEPS = 80
DIVERGED = 1e9


class Branches(NamedTuple):
    """Columns of a feeder as the compiled sweep takes them, ``(n,)`` each, per unit at the root.

    ``g, b`` are the shunts of the buses, ``v_root`` the squared voltage of the root.
    """

    parent: Ints
    r: Floats
    x: Floats
    g: Floats
    b: Floats
    v_root: float


class Ladder(NamedTuple):
    """State of the sweep, ``(n, T)`` each, per unit at the root; row 0 of P, Q is the import."""

    p: Floats
    q: Floats
    l: Floats  # noqa: E741 - the symbol of the equations
    v: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Magnitudes:
    """Solved hours.

    Parameters
    ----------
    vm_pu
        Voltage magnitudes [pu], ``(n, T)``; NaN in hours that did not converge.
    loss_kw, head_p_kw
        Active losses, shunts included, and import at the feeder head [kW], ``(T,)``.
    converged
        Whether each hour converged, ``(T,)``.
    """

    vm_pu: Floats
    loss_kw: Floats
    head_p_kw: Floats
    converged: Bools


def branches_of(feeder: Feeder) -> Branches:
    """The columns of a feeder, ideal transformers removed."""
    n_sq = np.abs(feeder.transformation) ** 2
    r, x = feeder.r_pu * n_sq, feeder.x_pu * n_sq
    r[0] = x[0] = 0.0  # row 0 is no branch
    return Branches(
        parent=np.asarray(feeder.parent),
        r=r,
        x=x,
        g=feeder.g_sh_pu / n_sq,
        b=feeder.b_sh_pu / n_sq,
        v_root=feeder.slack_vm_pu**2,
    )


def ladder_of(*shape: int) -> Ladder:
    """Room for a state, ``(n, T)`` or ``(C, n, T)``."""
    return Ladder(p=np.empty(shape), q=np.empty(shape), l=np.empty(shape), v=np.empty(shape))


def magnitudes(feeder: Feeder, p_inj_kw: Floats, q_inj_kvar: Floats) -> Magnitudes:
    """Solve the AC power flow of every hour, hour by hour, without angles.

    Parameters
    ----------
    feeder
        The feeder, with the voltage of its root.
    p_inj_kw, q_inj_kvar
        Net injection of each bus, export positive [kW, kvar], ``(n, T)``.

    Returns
    -------
    Magnitudes
        Hours that diverge are NaN and ``converged`` False.
    """
    branches, n_sq = branches_of(feeder), np.abs(feeder.transformation) ** 2
    p = -pu_from_kw(np.asarray(p_inj_kw, dtype=np.float64), feeder.base_mva)
    q = -pu_from_kw(np.asarray(q_inj_kvar, dtype=np.float64), feeder.base_mva)
    n, n_hours = p.shape
    vm, head = np.full((n, n_hours), np.nan), np.full(n_hours, np.nan)
    converged = np.zeros(n_hours, dtype=np.bool_)
    for t in range(n_hours):
        state = ladder_of(n, 1)
        columns = p[:, t : t + 1].copy(), q[:, t : t + 1].copy()
        converged[t] = sweep(branches, *columns, state, TOL_V_SQ, MAX_SWEEPS)
        if converged[t]:
            vm[:, t] = np.sqrt(state.v[:, 0] / n_sq)
            head[t] = kw_from_pu(float(state.p[0, 0]), feeder.base_mva)
    loss = head + np.sum(p_inj_kw, axis=0)
    return Magnitudes(vm_pu=vm, loss_kw=loss, head_p_kw=head, converged=converged)


@vectorised
def sweep_all(
    branches: Branches, p: Floats, q: Floats, states: Ladder, tol: float, most: int
) -> Bools:
    """Sweep the loads of many cases; see :func:`sweep`.

    ``p`` and the states have shape ``(C, n, T)``, ``q`` is the same for all ``(n, T)``.
    """
    converged = np.zeros(len(p), dtype=np.bool_)
    for c in range(len(p)):
        state = Ladder(states.p[c], states.q[c], states.l[c], states.v[c])
        converged[c] = sweep(branches, p[c], q, state, tol, most)
    return converged


@vectorised
def sweep(branches: Branches, p: Floats, q: Floats, state: Ladder, tol: float, most: int) -> bool:
    """Sweep loads ``p, q`` ``(n, T)`` [pu] from no current to convergence, in place.

    Returns whether the largest change of a squared voltage fell below ``tol`` within ``most``
    sweeps; False as well where a number is not finite.
    """
    state.l[:] = 0.0
    state.v[:] = branches.v_root
    for _ in range(most):
        _flows(branches, p, q, state)
        change = _drops(branches, state)
        if change <= tol:
            return True
        if not change < DIVERGED:
            return False
    return False


@vectorised
def _flows(branches: Branches, p: Floats, q: Floats, state: Ladder) -> None:
    """Sending-end flows from currents and voltages, leaves to root."""
    n, hours = p.shape
    flow_p, flow_q, l, v = state  # noqa: E741
    for i in range(n):
        g, b = branches.g[i], branches.b[i]
        for t in range(hours):
            flow_p[i, t] = p[i, t] + g * v[i, t]
            flow_q[i, t] = q[i, t] - b * v[i, t]
    for i in range(n - 1, 0, -1):
        up, r, x = branches.parent[i], branches.r[i], branches.x[i]
        for t in range(hours):
            flow_p[i, t] += r * l[i, t]
            flow_q[i, t] += x * l[i, t]
            flow_p[up, t] += flow_p[i, t]
            flow_q[up, t] += flow_q[i, t]


@vectorised
def _drops(branches: Branches, state: Ladder) -> float:
    """Voltages and currents from flows, root to leaves; largest sum of changes of a bus."""
    n, hours = state.v.shape
    flow_p, flow_q, l, v = state  # noqa: E741
    largest, head = 0.0, 0.0
    for t in range(hours):
        head += abs(flow_p[0, t]) + abs(flow_q[0, t])
    if not head < DIVERGED:  # NaN too
        return np.inf
    for i in range(1, n):
        up, r, x = branches.parent[i], branches.r[i], branches.x[i]
        z_sq = r * r + x * x
        change = 0.0
        for t in range(hours):
            current = (flow_p[i, t] ** 2 + flow_q[i, t] ** 2) / v[up, t]
            new = v[up, t] - 2.0 * (r * flow_p[i, t] + x * flow_q[i, t]) + z_sq * current
            change += abs(new - v[i, t])
            v[i, t] = new
            l[i, t] = current
        if not change < DIVERGED:
            return np.inf
        largest = max(largest, change)
    return largest
