"""The feeder in a linear programme: flows, tangents of losses, voltages, ratings, and trade."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import SolverError
from peergrid.milp.affine import Block
from peergrid.milp.algebra import Algebra, Constraint
from peergrid.milp.model import Term, Variables
from peergrid.network.linear import downstream
from peergrid.network.magnitudes import MAX_SWEEPS, TOL_V_SQ, branches_of, ladder_of, sweep
from peergrid.planning.evaluate import limits_of
from peergrid.planning.milp_terms import power_of
from peergrid.planning.plan import Plan
from peergrid.planning.problem import Problem, reach_kw
from peergrid.units import kw_from_pu, pu_from_kw

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
INFLATED, INFLATED_KW = 0.02, 0.01
LOSS_ROOM = 0.1
POINTS = 5
"""Tangents of each loss at first, evenly over the flows that plans can cause."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """The exact state that flows and voltages are written around, ``(n, T)`` each.

    Parameters
    ----------
    v_parent
        Squared voltage at the parent end of each branch [pu at the root].
    q_kvar
        Reactive flow into each branch.
    shunt_kw
        Drawn by the shunts of each bus.
    loss_kw
        Loss of each branch.
    tangents
        Flows [kW] at which losses have tangents; the last ones are those of the state.
    reach
        Least and largest flows that plans can cause [kW].
    tight
        Whether losses lie on the tangent of the state, where they would else be inflated.
    """

    problem: Problem
    v_parent: Floats
    q_kvar: Floats
    shunt_kw: Floats
    loss_kw: Floats
    tangents: tuple[Floats, ...]
    reach: tuple[Floats, Floats]
    tight: bool = False

    def corrected(self, plan: Plan) -> "Reference":
        """Around the exact state of a plan, with its flows as more tangents."""
        found = _state_of(plan)
        tangents = (*self.tangents, *found.tangents)
        return replace(found, tangents=tangents, reach=self.reach, tight=self.tight)

    def kept_tight(self, tight: bool) -> "Reference":
        """With losses on the tangent of the state, from now on, or as before."""
        return replace(self, tight=self.tight or tight)

    def touching(self, flow_kw: Floats) -> "Reference":
        """With tangents at more flows ``(n, T)``."""
        return replace(self, tangents=(*self.tangents, flow_kw))

    def true_loss_kw(self, flow_kw: Floats) -> Floats:
        """Losses of flows ``(n, T)`` that the tangents approach from below."""
        return np.asarray(self._slope * (flow_kw**2 + self.q_kvar**2))

    def inflates(self, flow_kw: Floats, loss_kw: Floats) -> bool:
        """Whether losses are more than flows ``(n, T)`` cause, so that power is burnt in lines."""
        true = self.true_loss_kw(flow_kw)
        return bool(np.any(loss_kw > true + INFLATED_KW + INFLATED * true))

    def chord(self) -> tuple[Floats, Floats]:
        """Slope and value at zero of the line that losses stay below within the reach."""
        low, high = self.reach
        return self._slope * (low + high), self._slope * (self.q_kvar**2 - low * high)

    def tangent(self, at_kw: Floats) -> tuple[Floats, Floats]:
        """Slope and value at zero of the losses' tangents at flows ``(n, T)``."""
        return 2.0 * self._slope * at_kw, self._slope * (self.q_kvar**2 - at_kw**2)

    @property
    def _slope(self) -> Floats:
        """``r / v`` [kW per kW^2]."""
        branches = branches_of(self.problem.feeder)
        kw = kw_from_pu(1.0, self.problem.feeder.base_mva)
        return np.asarray(branches.r[:, None] / self.v_parent / kw)


def reference_of(problem: Problem, plan: Plan) -> Reference:
    """Around the exact state of a plan, with tangents over all flows that plans can cause."""
    found = _state_of(plan)
    paths = downstream(problem.feeder)
    paths[0] = 0.0
    up, down = np.zeros_like(found.q_kvar), np.zeros_like(found.q_kvar)
    for technology in problem.technologies:
        given, taken = reach_kw(technology)
        for way, power in ((up, given), (down, taken)):
            at = np.zeros(problem.feeder.n_bus)
            at[technology.rows] = technology.max_per_site
            through = np.minimum(paths @ at, technology.largest_total)
            way += through[:, None] * power
    base = found.tangents[-1]
    low, high = base - up, base + down
    high = high + LOSS_ROOM * np.maximum(np.abs(low), np.abs(high))  # flows carry losses, too
    grid = [low + share * (high - low) for share in np.linspace(0.0, 1.0, POINTS)]
    return replace(found, tangents=(*grid, base), reach=(low, high))


def network_blocks(problem: Problem, reference: Reference) -> dict[str, Block]:
    """Flows, losses, voltages, exchange with the external grid, and trade."""
    n, steps = problem.feeder.n_bus, problem.steps
    limits = limits_of(problem)
    rating = kw_from_pu(1.0, problem.feeder.base_mva) ** 2 * reference.v_parent
    room = np.minimum(limits.rating_parent, limits.rating_child)[:, None] * rating
    room[0] = np.inf
    reach = np.sqrt(np.maximum(room - reference.q_kvar**2, 0.0))
    low = np.repeat(limits.v_min[:, None], steps, axis=1)
    high = np.repeat(limits.v_max[:, None], steps, axis=1)
    low[0] = high[0] = problem.feeder.slack_vm_pu**2
    blocks = {
        "flow": Block.of((n, steps), reach, lower=-reach),
        "loss": _loss_block(problem, reference),
        "v": Block.of((n, steps), high, lower=low),
        "import": Block.of((1, steps)),
        "export": Block.of((1, steps)),
    }
    if problem.objective == "traded":
        blocks["sold"] = Block.of((n, steps))
        blocks["bought"] = Block.of((n, steps))
        blocks["traded"] = Block.of((1, steps))
        blocks["sells"] = Block.of((n, steps), _may_sell(problem)[:, None], integer=True)
    return blocks


def network_terms(problem: Problem, reference: Reference) -> list[Term]:
    """Rows of the network."""
    terms = [
        _balance(problem, reference),
        _losses(problem, reference),
        _voltages(problem, reference),
    ]
    return [*terms, _trade(problem)] if problem.objective == "traded" else terms


def _state_of(plan: Plan) -> Reference:
    """Exact state of a plan; its flows are the only tangents."""
    problem, feeder = plan.problem, plan.problem.feeder
    branches = branches_of(feeder)
    p = -pu_from_kw(plan.p_inj_kw, feeder.base_mva)
    q = -pu_from_kw(problem.q_inj_kvar, feeder.base_mva)
    state = ladder_of(feeder.n_bus, problem.steps)
    if not sweep(branches, p, q, state, TOL_V_SQ, MAX_SWEEPS):
        text = f"{problem.name}: the power flow has no solution under the loads that are given"
        raise SolverError(text)
    up = np.maximum(feeder.parent, 0)
    v_parent = state.v[up]
    kw = kw_from_pu(1.0, feeder.base_mva)
    return Reference(
        problem=problem,
        v_parent=v_parent,
        q_kvar=state.q * kw,
        shunt_kw=branches.g[:, None] * state.v * kw,
        loss_kw=branches.r[:, None] * state.l * kw,
        tangents=(state.p * kw,),
        reach=(state.p * kw, state.p * kw),
    )


def _loss_block(problem: Problem, reference: Reference) -> Block:
    """Losses on their tangents where they cost something; where not, those of the reference."""
    if problem.objective == "cost":
        most = np.where(np.arange(problem.feeder.n_bus) > 0, np.inf, 0.0)[:, None]
        least = -most if reference.tight else np.zeros_like(most)
        return Block.of(reference.loss_kw.shape, most, lower=least)
    return Block.of(reference.loss_kw.shape, reference.loss_kw, lower=reference.loss_kw)


def _may_sell(problem: Problem) -> Floats:
    """1 at buses that can ever have a surplus, ``(n,)``."""
    may: Bools = np.any(problem.p_inj_kw > 0.0, axis=1)
    for technology in problem.technologies:
        may[technology.rows] = True
    return np.asarray(may, dtype=np.float64)


def _balance(problem: Problem, reference: Reference) -> Term:
    """What goes into a branch: load, shunt, its own loss, and the branches behind it."""
    feeder = problem.feeder
    n = feeder.n_bus
    tree = np.eye(n)
    for i in range(1, n):
        tree[feeder.parent[i], i] -= 1.0
    fixed = reference.shunt_kw - problem.p_inj_kw

    def term(x: Variables, of: Algebra) -> Sequence[Constraint]:
        drawn = tree @ x["flow"] - x["loss"]
        for technology in problem.technologies:
            at = np.zeros((n, len(technology.rows)))
            at[technology.rows, np.arange(len(technology.rows))] = 1.0
            drawn = drawn + at @ power_of(technology, x, of)
        head = x["flow"][np.array([0])]
        return [drawn == fixed, head - x["import"] + x["export"] == 0.0]

    return term


def _losses(problem: Problem, reference: Reference) -> Term:
    """``loss >= r / v (2 P0 P - P0^2 + Q^2)`` for every tangent P0.

    Where power is paid for being taken nothing presses losses down, so there they stay below the
    chord. Where a limit would like more losses than there are, they are ``tight``.
    """
    paid = np.flatnonzero(problem.price_import_eur_per_kwh < 0.0)

    def term(x: Variables, of: Algebra) -> Sequence[Constraint]:
        if problem.objective != "cost":
            return []
        lines = [reference.tangent(at) for at in reference.tangents]
        if reference.tight:
            slope, value = lines[-1]
            return [x["loss"] - of.weigh(slope, x["flow"]) == value]
        rows = [x["loss"] - of.weigh(slope, x["flow"]) >= value for slope, value in lines]
        if len(paid):
            slope, value = reference.chord()
            above = x["loss"] - of.weigh(slope, x["flow"])
            rows.append(above[:, paid] <= value[:, paid])
        return rows

    return term


def _voltages(problem: Problem, reference: Reference) -> Term:
    """``v = v_parent - 2 (r P + x Q) + |z|^2 l``, with ``l = loss / r``."""
    feeder = problem.feeder
    branches = branches_of(feeder)
    n, kw = feeder.n_bus, kw_from_pu(1.0, feeder.base_mva)
    up = np.eye(n)
    for i in range(1, n):
        up[i, feeder.parent[i]] -= 1.0
    inner = np.eye(n)[1:]
    r, x_ohm = branches.r[1:, None] / kw, branches.x[1:, None] / kw
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.where(r > 0.0, (r**2 + x_ohm**2) / r, 0.0) * kw
    reactive = 2.0 * x_ohm * reference.q_kvar[1:]

    def term(x: Variables, of: Algebra) -> Sequence[Constraint]:
        flow, loss = inner @ x["flow"], inner @ x["loss"]
        drop = of.weigh(2.0 * r, flow) - of.weigh(gain / kw, loss)
        return [(inner @ up) @ x["v"] + drop == -reactive]

    return term


def _trade(problem: Problem) -> Term:
    """Every bus sells its surplus or buys its deficit; traded is the smaller of both sums."""
    n = problem.feeder.n_bus
    given = problem.p_inj_kw
    most_sold, most_bought = np.maximum(given, 0.0), np.maximum(-given, 0.0)
    for technology in problem.technologies:
        up, down = reach_kw(technology)
        size = min(technology.max_per_site, technology.largest_total)
        most_sold[technology.rows] += size * up
        most_bought[technology.rows] += size * down
    everybody = np.ones((1, n))

    def term(x: Variables, of: Algebra) -> Sequence[Constraint]:
        net = x["sold"] - x["bought"]
        for technology in problem.technologies:
            at = np.zeros((n, len(technology.rows)))
            at[technology.rows, np.arange(len(technology.rows))] = 1.0
            net = net - at @ power_of(technology, x, of)
        return [
            net == given,
            x["sold"] - of.weigh(most_sold, x["sells"]) <= 0.0,
            x["bought"] + of.weigh(most_bought, x["sells"]) <= most_bought,
            x["traded"] - everybody @ x["sold"] <= 0.0,
            x["traded"] - everybody @ x["bought"] <= 0.0,
        ]

    return term
