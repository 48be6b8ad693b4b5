"""The same clearing solved at once, by someone who knows everything: the reference.

A linear or quadratic programme in cvxpy. Solver: Clarabel (cvxpy's QP default conic path), ECOS on
request where it is installed.
"""

from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from peergrid.errors import SolverError
from peergrid.market.clearing import Problem, coupling_blocks
from peergrid.market.participant import Agents

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class CentralResult:
    """Optimum found centrally: schedule ``(R, T)`` [kW], cost [EUR], solver status."""

    schedule_kw: Floats
    objective_eur: float
    status: str


def solve_central(problem: Problem, solver: str = "CLARABEL") -> CentralResult:
    """Least-cost schedule by a general-purpose solver.

    Raises
    ------
    SolverError
        If the solver does not return an optimum.
    """
    agents = problem.agents
    resources, steps = agents.shape
    p = cp.Variable((resources, steps))
    balance, boxes = coupling_blocks(problem)
    imports = balance.rows @ p + balance.offset_kw
    retail = problem.dt_h * cp.sum(
        cp.maximum(
            cp.multiply(imports, balance.price_import_eur_per_kwh[None, :]),
            cp.multiply(imports, balance.price_feed_in_eur_per_kwh[None, :]),
        )
    )
    cost, constraints = _agents(agents, p)
    if len(boxes.rows):
        totals = boxes.rows @ p + boxes.offset_kw
        constraints += [
            totals <= np.minimum(boxes.p_max_kw, 1e6),
            totals >= np.maximum(boxes.p_min_kw, -1e6),
        ]
    programme = cp.Problem(cp.Minimize(cost + retail), constraints)
    programme.solve(solver=solver)
    if programme.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        raise SolverError(f"central clearing: {solver} ended with {programme.status}")
    return CentralResult(
        schedule_kw=np.asarray(p.value),
        objective_eur=float(programme.value),
        status=programme.status,
    )


def _agents(agents: Agents, p: Any) -> tuple[Any, list[Any]]:
    """Costs and limits of all resources."""
    linear = cp.sum(cp.multiply(agents.linear_eur_per_kwh, p))
    bent = cp.sum(cp.multiply(agents.quadratic_eur_per_kw2h[:, None], cp.square(p)))
    away = cp.sum(
        cp.multiply(agents.discomfort_eur_per_kw2h[:, None], cp.square(p - agents.p_ref_kw))
    )
    cost = agents.dt_h * (linear + bent + away)
    constraints = [p >= agents.p_min_kw, p <= agents.p_max_kw]
    if len(agents.stores):
        wear, limits = _storages(agents, p)
        return cost + wear, constraints + limits
    return cost, constraints


def _storages(agents: Agents, p: Any) -> tuple[Any, list[Any]]:
    """Energy recursion and wear of all storages."""
    box, eta_c, eta_d, keep, demand, e_now, e_lo, e_hi = agents.storage
    shape = eta_c.shape
    charge, discharge, energy = cp.Variable(shape), cp.Variable(shape), cp.Variable(shape)
    before = cp.hstack([e_now[:, None], energy[:, :-1]]) if shape[1] > 1 else e_now[:, None]
    stored = cp.multiply(eta_c, charge) - cp.multiply(1.0 / eta_d, discharge)
    constraints = [
        p[agents.stores] == discharge - charge,
        charge >= box[0],
        charge <= box[1],
        discharge >= box[2],
        discharge <= box[3],
        energy == cp.multiply(keep[:, None], before) + agents.dt_h * stored - demand,
        energy >= e_lo,
        energy <= e_hi,
    ]
    wear = agents.wear_eur_per_kwh[agents.stores][:, None]
    return agents.dt_h * cp.sum(cp.multiply(wear, charge + discharge)), constraints
