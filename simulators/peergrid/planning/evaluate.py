"""What plans are worth, thousands at once: decoding, 24 power flows and the objective, compiled.

The score of a plan that keeps the limits of the network is its objective (EUR, or minus the kWh
traded); that of one that breaks them is worse than any of those, and grows with the sum of what
voltages [pu] and loadings [1] exceed in all buses and steps. So a search needs no weights, and
feasible beats infeasible (K. Deb, "An efficient constraint handling method for genetic
algorithms", Comput. Methods Appl. Mech. Eng. 186, 2000, doi 10.1016/S0045-7825(99)00389-8).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from peergrid.compiled import compiled, vectorised
from peergrid.errors import DataError
from peergrid.network.feeder import Feeder
from peergrid.network.magnitudes import (
    MAX_SWEEPS,
    TOL_V_SQ,
    Branches,
    Ladder,
    branches_of,
    ladder_of,
    sweep_all,
)
from peergrid.planning.genes import Decoded, Genome, decode_all, decoded, genome_of, n_genes
from peergrid.planning.problem import Problem, Storage
from peergrid.units import kw_from_pu, pu_from_kw

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
CACHED = 8000
"""Bus hours that are solved at once."""
ROUNDING = 1e-7
"""Violation that counts as none."""
NO_FLOW = 1e6
"""Violation of a plan whose power flow has no solution."""


class Limits(NamedTuple):
    """Limits as the compiled code takes them, per unit at the root, ``(n,)`` each.

    Largest loading [1]; squared voltages; squared currents at that loading at both ends of the
    branch that feeds each bus, and the branch's own shunts there; and the squared ratio that turns
    a squared voltage into the bus's own.
    """

    max_loading: float
    v_min: Floats
    v_max: Floats
    rating_parent: Floats
    rating_child: Floats
    g_parent: Floats
    b_parent: Floats
    g_child: Floats
    b_child: Floats
    n_sq: Floats


class Account(NamedTuple):
    """Prices, costs and loads as the compiled code takes them."""

    price_import: Floats
    price_feed_in: Floats
    cost: Floats
    wear: Floats
    p: Floats
    q: Floats
    kw: float
    worst: float
    traded: bool


class Flow(NamedTuple):
    """Power flows of many plans: loads ``(C, n, T)`` [pu], states, and which converged."""

    p: Floats
    states: Ladder
    converged: Bools


class Evaluator:
    """Scores of points of the unit cube.

    Parameters
    ----------
    problem
        What is planned.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.n_genes = n_genes(problem)
        self._tables = (
            genome_of(problem),
            branches_of(problem.feeder),
            limits_of(problem),
            _account_of(problem),
        )
        n, steps = problem.p_inj_kw.shape
        self._at_once = max(1, CACHED // (n * steps))
        self._found = decoded(self._at_once, len(self._tables[0].gene), steps)
        self._states = ladder_of(self._at_once, n, steps)
        self._p = np.empty((self._at_once, n, steps))

    def __call__(self, genes: Floats) -> Floats:
        """Scores ``(C,)`` of points ``(C, D)``."""
        points = np.ascontiguousarray(np.atleast_2d(genes), dtype=np.float64)
        if points.shape[1] != self.n_genes:
            allowed = f"shape (C, {self.n_genes})"
            raise DataError(self.problem.name, "points", f"shape {points.shape}", allowed)
        starts = range(0, len(points), self._at_once)
        parts = [self._part(points[first : first + self._at_once]) for first in starts]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _part(self, points: Floats) -> Floats:
        """Scores of as many points as the processor's cache holds."""
        genome, branches, limits, account = self._tables
        rows, sizes, powers = self._found
        found = Decoded(rows[: len(points)], sizes[: len(points)], powers[: len(points)])
        states = Ladder(*(room[: len(points)] for room in self._states))
        p = self._p[: len(points)]
        decode_all(genome, points, found)
        _load_all(account, found, p)
        converged = sweep_all(branches, p, account.q, states, TOL_V_SQ, MAX_SWEEPS)
        flow = Flow(p, states, converged)
        return _judge(genome, branches, limits, account, found, flow)

    def violation(self, score: float) -> float:
        """What a score says of broken limits; 0 where all are kept."""
        account = self._tables[3]
        return max(score - account.worst, 0.0) / max(abs(account.worst), 1.0)


def limits_of(problem: Problem) -> Limits:
    """Limits of the network."""
    f = problem.feeder
    n_sq = np.abs(f.transformation) ** 2
    up = np.maximum(f.parent, 0)
    loading = problem.max_loading
    child = loading * f.i_max_ka / f.i_base_ka / np.sqrt(n_sq)
    parent = loading * f.i_max_parent_ka / f.i_base_ka[up] / np.sqrt(n_sq[up])
    return Limits(
        max_loading=loading,
        v_min=problem.v_min_pu**2 * n_sq,
        v_max=problem.v_max_pu**2 * n_sq,
        rating_parent=parent**2,
        rating_child=child**2,
        g_parent=f.y_parent_pu.real / n_sq[up],
        b_parent=f.y_parent_pu.imag / n_sq[up],
        g_child=f.y_child_pu.real / n_sq,
        b_child=f.y_child_pu.imag / n_sq,
        n_sq=n_sq,
    )


def _account_of(problem: Problem) -> Account:
    traded = problem.objective == "traded"
    scale = problem.dt_h
    wear = [t.wear_eur_per_kwh if isinstance(t, Storage) else 0.0 for t in problem.technologies]
    return Account(
        price_import=problem.price_import_eur_per_kwh * scale,
        price_feed_in=problem.price_feed_in_eur_per_kwh * scale,
        cost=np.array([t.cost_eur for t in problem.technologies], dtype=np.float64),
        wear=np.array(wear, dtype=np.float64) * scale,
        p=_load_pu(problem.feeder, problem.p_inj_kw),
        q=_load_pu(problem.feeder, problem.q_inj_kvar),
        kw=kw_from_pu(1.0, problem.feeder.base_mva),
        worst=0.0 if traded else problem.worst_cost_eur,
        traded=traded,
    )


def _load_pu(feeder: Feeder, injection: Floats) -> Floats:
    return np.ascontiguousarray(-pu_from_kw(injection, feeder.base_mva))


@compiled
def _load_all(account: Account, found: Decoded, p: Floats) -> None:
    """Loads ``(C, n, T)`` [pu] under the plans of all points."""
    for c in range(len(p)):
        p[c] = account.p
        for u in range(found.row.shape[1]):
            row = found.row[c, u]
            for t in range(p.shape[2]):
                p[c, row, t] -= found.p_kw[c, u, t] / account.kw


@compiled
def _judge(
    genome: Genome, branches: Branches, limits: Limits, account: Account, found: Decoded, flow: Flow
) -> Floats:
    """Scores of all points from their power flows."""
    scores = np.empty(len(flow.converged))
    for c in range(len(scores)):
        state = Ladder(flow.states.p[c], flow.states.q[c], flow.states.l[c], flow.states.v[c])
        broken = NO_FLOW
        if flow.converged[c]:
            broken = _violation(branches, limits, state)
        if broken > ROUNDING:
            scores[c] = account.worst + max(abs(account.worst), 1.0) * (1e-9 + broken)
        elif account.traded:
            scores[c] = -_traded_kw(flow.p[c]) * account.kw * genome.dt_h
        else:
            plan = Decoded(found.row[c], found.size[c], found.p_kw[c])
            scores[c] = _cost(genome, account, plan, state.p[0])
    return scores


@vectorised
def _violation(branches: Branches, limits: Limits, state: Ladder) -> float:
    """Sum of what voltages [pu] and loadings [1] exceed."""
    n, steps = state.v.shape
    total = 0.0
    for i in range(1, n):
        worst_v, worst_i = 0.0, 0.0
        up, r, x = branches.parent[i], branches.r[i], branches.x[i]
        at_parent, at_child = 1.0 / limits.rating_parent[i], 1.0 / limits.rating_child[i]
        gp, bp, gc, bc = (
            limits.g_parent[i],
            limits.b_parent[i],
            limits.g_child[i],
            limits.b_child[i],
        )
        low, high = limits.v_min[i], limits.v_max[i]
        for t in range(steps):
            v, v_up, l = state.v[i, t], state.v[up, t], state.l[i, t]  # noqa: E741
            worst_v = max(worst_v, max(low - v, v - high))
            p_parent = state.p[i, t] + gp * v_up
            q_parent = state.q[i, t] - bp * v_up
            p_child = state.p[i, t] - r * l - gc * v
            q_child = state.q[i, t] - x * l + bc * v
            parent = (p_parent**2 + q_parent**2) / v_up * at_parent
            child = (p_child**2 + q_child**2) / v * at_child
            worst_i = max(worst_i, max(parent, child))
        if worst_v > 0.0 or worst_i > 1.0:
            total += _exceeded(branches, limits, state, i)
    return total


@compiled
def _exceeded(branches: Branches, limits: Limits, state: Ladder, i: int) -> float:
    """What one bus and its branch exceed in all steps."""
    up, r, x = branches.parent[i], branches.r[i], branches.x[i]
    total, ratio = 0.0, np.sqrt(limits.n_sq[i])
    for t in range(state.v.shape[1]):
        v, v_up, l = state.v[i, t], state.v[up, t], state.l[i, t]  # noqa: E741
        total += max(np.sqrt(limits.v_min[i]) - np.sqrt(v), 0.0) / ratio
        total += max(np.sqrt(v) - np.sqrt(limits.v_max[i]), 0.0) / ratio
        p_parent = state.p[i, t] + limits.g_parent[i] * v_up
        q_parent = state.q[i, t] - limits.b_parent[i] * v_up
        p_child = state.p[i, t] - r * l - limits.g_child[i] * v
        q_child = state.q[i, t] - x * l + limits.b_child[i] * v
        parent = (p_parent**2 + q_parent**2) / v_up / limits.rating_parent[i]
        child = (p_child**2 + q_child**2) / v / limits.rating_child[i]
        total += max(np.sqrt(max(parent, child)) - 1.0, 0.0) * limits.max_loading
    return total


@vectorised
def _cost(genome: Genome, account: Account, found: Decoded, head: Floats) -> float:
    """Energy at the feeder head, losses included, wear and fixed shares [EUR]."""
    total = 0.0
    for t in range(len(head)):
        flow = head[t] * account.kw
        total += flow * (account.price_import[t] if flow > 0.0 else account.price_feed_in[t])
    for k in range(len(genome.stores)):
        for u in range(genome.slot[k], genome.slot[k + 1]):
            total += found.size[u] * account.cost[k]
            if account.wear[k] > 0.0:
                moved = 0.0
                for t in range(len(head)):
                    moved += abs(found.p_kw[u, t])
                total += moved * account.wear[k]
    return total


@vectorised
def _traded_kw(p: Floats) -> float:
    """Sum over the steps of the smaller of what buses with a surplus sell and others buy [pu]."""
    n, steps = p.shape
    total = 0.0
    for t in range(steps):
        sold, bought = 0.0, 0.0
        for i in range(n):
            bought += max(p[i, t], 0.0)
            sold += max(-p[i, t], 0.0)
        total += min(sold, bought)
    return total
