"""The agents' private problems, written out for the central programme."""

from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from peergrid.market.agents import Agents

Floats = NDArray[np.float64]


def private_problems(agents: Agents, p: Any) -> tuple[Any, list[Any]]:
    """Costs and limits of all resources."""
    cost = cp.sum(cp.multiply(agents.linear_eur_per_kwh, p))
    for weight, away in (
        (agents.quadratic_eur_per_kw2h, p),
        (agents.discomfort_eur_per_kw2h, p - agents.p_ref_kw),
    ):
        bent = np.flatnonzero(weight)
        if len(bent):
            cost += cp.sum(cp.multiply(weight[bent, None], cp.square(away[bent])))
    cost = agents.dt_h * cost
    free = np.setdiff1d(np.arange(agents.shape[0]), agents.cycling)
    constraints = []
    if len(free):
        constraints = [p[free] >= agents.p_min_kw[free], p[free] <= agents.p_max_kw[free]]
    for index, resource in enumerate(agents.cycling):
        constraints += _cycles(agents, index, p[resource])
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


def _cycles(agents: Agents, index: int, p: Any) -> list[Any]:
    """Relaxed starts of one resource's cycles: the hull of the whole ones."""
    tables = agents.cycles
    constraints, drawn = [], 0
    for k in range(tables.first[index], tables.first[index + 1]):
        length = int(tables.length[k])
        first, last = int(tables.earliest[k]), int(tables.latest[k]) - length
        starts = cp.Variable(last - first + 1, nonneg=True)
        power, running = (np.zeros((tables.steps, last - first + 1)) for _ in range(2))
        for column in range(last - first + 1):
            hours = slice(first + column, first + column + length)
            power[hours, column], running[hours, column] = tables.p_kw[k, :length], 1.0
        drawn = drawn + power @ starts
        constraints += [cp.sum(starts) == int(tables.count[k]), running @ starts <= 1]
    return [*constraints, p == -drawn]


def reactive_capability(agents: Agents, p: Any, q: Any) -> list[Any]:
    """Reactive capability; the power factor of a resource that draws and injects as its hull."""
    own = agents.reactive
    constraints = [q >= own.q_min_kvar, q <= own.q_max_kvar]
    for row in own.joint:
        active, slope = p[own.resource[row]], own.tan_phi[row]
        if np.isfinite(own.apparent_kva[row]):
            most = np.full(agents.shape[1], own.apparent_kva[row])
            constraints.append(cp.SOC(most, cp.vstack([active, q[row]]), axis=0))
        if np.isfinite(slope):
            constraints += _power_factor(
                own.p_min_kw[row], own.p_max_kw[row], slope, active, q[row]
            )
    return constraints


def _power_factor(low: Floats, high: Floats, slope: float, p: Any, q: Any) -> list[Any]:
    """``|q|`` below the chord of ``slope |p|`` over the range of p: exact where p has one sign."""
    span = np.where(high > low, high - low, 1.0)
    rise = slope * (np.abs(high) - np.abs(low)) / span
    most = slope * np.abs(low) + cp.multiply(rise, p - low)
    return [q <= most, -q <= most]
