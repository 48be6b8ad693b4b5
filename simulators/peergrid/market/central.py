"""The same clearing solved at once, by someone who knows everything: the reference.

A linear or quadratic programme, or with a grid a second-order cone programme on the relaxed branch
flow model, in cvxpy. Cones go to ECOS up to ``SMALL`` of them and to Clarabel above, or where ECOS
is not installed or gives up; the rest to Clarabel.
"""

from dataclasses import dataclass, replace
from typing import Any

import cvxpy as cp
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from peergrid.errors import DataError, ModelError, SolverError
from peergrid.market.admm import Settings, Status
from peergrid.market.by_admm import clear_by_admm
from peergrid.market.checks import check
from peergrid.market.participant import Agents, opened
from peergrid.market.problem import Problem
from peergrid.market.report import NodalPrices, grid_state, nodal_prices
from peergrid.market.result import Clearing, GridState, Relaxation, Warm
from peergrid.market.setup import envelope_boxes, retail_balance
from peergrid.network.adjoint import branch_state
from peergrid.network.branch_flow import RelaxedFlow, relaxed_branch_flow
from peergrid.network.power_flow import PowerFlow, solve

Floats = NDArray[np.float64]
SMALL = 20_000
EXACT_PU = 1e-5
EXACT_GAP = 1e-6
UNLIMITED_KW = 1e6


@dataclass(frozen=True, kw_only=True, eq=False)
class Programme:
    """The cvxpy problem and the pieces that are read off its solution."""

    problem: cp.Problem
    p_kw: Any
    q_kvar: Any
    balance: Any
    boxes: tuple[Any, Any] | None
    flow: RelaxedFlow | None


def clear_centrally(problem: Problem, solver: str | None = None) -> Clearing:
    """Least-cost schedule by a general-purpose solver.

    Parameters
    ----------
    problem
        What is to be cleared; with a grid, on the relaxed branch flow model.
    solver
        Name that cvxpy knows; chosen by size if absent.

    Returns
    -------
    Clearing
        ``lower_bound_eur`` is the optimum; ``objective_eur`` what the schedule costs on the exact
        power flow, equal where the relaxation is exact.

    Raises
    ------
    SolverError
        If no solver returns an optimum.
    """
    check(problem)
    if problem.grid is not None and problem.grid.feeder.n_bus == 1:
        raise ModelError("branch flow needs a branch: on one bus clear with network = envelope")
    if len(problem.owner) == 0:  # nothing to decide, and cvxpy knows no empty variables
        return replace(clear_by_admm(problem, Settings()), iterations=0)
    programme = build_programme(problem)
    run(programme.problem, solver, cones=programme.flow is not None)
    return _read(problem, programme)


def run(problem: cp.Problem, solver: str | None, *, cones: bool) -> None:
    """Solve in place, with a second solver where the first gives up."""
    names = [solver] if solver else _preferred(problem, cones=cones)
    failures = []
    for name in names:
        if name not in cp.installed_solvers():
            allowed = ", ".join(cp.installed_solvers())
            raise DataError("clear", "solver", name, f"one that is installed: {allowed}")
        try:
            problem.solve(solver=name)
        except cp.SolverError as error:
            failures.append(f"{name}: {error}")
            continue
        last = name == names[-1]
        if problem.status == cp.OPTIMAL or (last and problem.status == cp.OPTIMAL_INACCURATE):
            return
        failures.append(f"{name}: {problem.status}")
    raise SolverError(f"central clearing: no optimum ({'; '.join(failures)})")


def _preferred(problem: cp.Problem, *, cones: bool) -> list[str]:
    small = problem.size_metrics.num_scalar_variables <= SMALL
    if cones and small and "ECOS" in cp.installed_solvers():
        return ["ECOS", "CLARABEL"]
    return ["CLARABEL"]


def build_programme(problem: Problem) -> Programme:
    """The clearing as a cvxpy problem; the same constraints as the ADMM's, written out."""
    agents = (
        opened(problem.agents)
        if problem.grid is not None
        else opened(problem.agents).without_reactive()
    )
    resources, steps = agents.shape
    p = cp.Variable((resources, steps))
    q = (
        cp.Variable((len(agents.reactive.resource), steps))
        if len(agents.reactive.resource)
        else None
    )
    cost, constraints = _agents(agents, p)
    constraints += [] if q is None else _reactive(agents, p, q)
    imports, flow = _imports(problem, p, q)
    bought, sold = cp.Variable(imports.shape, nonneg=True), cp.Variable(imports.shape, nonneg=True)
    balance = imports == bought - sold
    retail = problem.dt_h * cp.sum(
        bought @ problem.price_import_eur_per_kwh - sold @ problem.price_feed_in_eur_per_kwh
    )
    boxes = _boxes(problem, p)
    constraints += [balance, *(boxes or ()), *([] if flow is None else flow.constraints)]
    return Programme(
        problem=cp.Problem(cp.Minimize(cost + retail), constraints),
        p_kw=p,
        q_kvar=q,
        balance=balance,
        boxes=boxes,
        flow=flow,
    )


def _imports(problem: Problem, p: Any, q: Any) -> tuple[Any, RelaxedFlow | None]:
    """Import of every pool, ``(G, T)``; with a grid, that at the feeder head."""
    grid, resources = problem.grid, len(problem.owner)
    if grid is None:
        balance = retail_balance(problem)
        return balance.rows[:, :resources] @ p + balance.offset_kw, None
    firm_kw, firm_kvar = grid.firm_injections(problem.firm_kw)
    active = _incidence(grid.at[problem.owner], grid.feeder.n_bus) @ p + firm_kw
    reactive: Any = firm_kvar
    if q is not None:
        at = grid.at[problem.owner[opened(problem.agents).reactive.resource]]
        reactive = _incidence(at, grid.feeder.n_bus) @ q + firm_kvar
    flow = relaxed_branch_flow(grid.feeder, active, reactive, grid.band_sq, grid.i_max_sq)
    return cp.reshape(flow.import_kw, (1, firm_kw.shape[1]), order="C"), flow


def _incidence(at: NDArray[np.int64], buses: int) -> Any:
    columns = np.arange(len(at))
    return scipy.sparse.csr_array((np.ones(len(at)), (at, columns)), shape=(buses, len(at)))


def _boxes(problem: Problem, p: Any) -> tuple[Any, Any] | None:
    """Envelopes of the participants."""
    boxes = envelope_boxes(problem)
    if len(boxes.rows) == 0:
        return None
    totals = boxes.rows[:, : len(problem.owner)] @ p + boxes.offset_kw
    return (
        totals <= np.minimum(boxes.p_max_kw, UNLIMITED_KW),
        totals >= np.maximum(boxes.p_min_kw, -UNLIMITED_KW),
    )


def _agents(agents: Agents, p: Any) -> tuple[Any, list[Any]]:
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


def _reactive(agents: Agents, p: Any, q: Any) -> list[Any]:
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


def _read(problem: Problem, programme: Programme) -> Clearing:
    """The solution in market words."""
    optimum, dt_h = float(programme.problem.value), problem.dt_h
    schedule = np.asarray(programme.p_kw.value, dtype=np.float64)
    reactive = _reactive_schedule(problem, programme, schedule)
    # the multiplier of "imports == bought - sold"
    theta = np.reshape(programme.balance.dual_value, (problem.pools, -1)) / dt_h
    position = problem.positions_kw(schedule)
    firm_kvar = np.zeros_like(position) if problem.grid is None else problem.grid.firm_kvar
    position_kvar = firm_kvar.copy()
    np.add.at(position_kvar, problem.owner, reactive)
    grid, prices, imports, relaxation = _grid(problem, programme, theta, position, position_kvar)
    _add_box_prices(problem, programme, prices)
    balance = retail_balance(problem)
    cost = float(opened(problem.agents).cost(schedule).sum())
    return Clearing(
        schedule_kw=schedule,
        schedule_kvar=reactive,
        position_kw=position,
        position_kvar=position_kvar,
        import_kw=imports,
        theta_eur_per_kwh=theta,
        price_eur_per_kwh=prices.total,
        loss_price_eur_per_kwh=prices.loss,
        congestion_eur_per_kwh=prices.congestion,
        price_eur_per_kvarh=prices.reactive,
        status=Status.CONVERGED,
        iterations=int(programme.problem.solver_stats.num_iters or 0),
        primal_kw=0.0,
        dual_eur_per_kwh=0.0,
        history=(),
        dual_history=(),
        objective_eur=optimum if problem.grid is None else cost + balance.cost(imports),
        lower_bound_eur=optimum,
        box_violation_kw=0.0,
        warm=Warm(schedule_kw=schedule, price_eur_per_kwh=np.empty((0, 0))),
        grid=grid,
        relaxation=relaxation,
    )


def _reactive_schedule(problem: Problem, programme: Programme, schedule: Floats) -> Floats:
    """Reactive injection ``(R, T)``, exactly inside the capability."""
    if programme.q_kvar is None:
        return np.zeros_like(schedule)
    proposal = np.vstack([schedule, programme.q_kvar.value])
    return opened(problem.agents).reactive_kvar(proposal)


def _grid(
    problem: Problem, programme: Programme, theta: Floats, p_kw: Floats, q_kvar: Floats
) -> tuple[GridState | None, NodalPrices, Floats, Relaxation | None]:
    """Exact power flow of the schedule, and how far the relaxed one is from it."""
    grid, relaxed = problem.grid, programme.flow
    if grid is None or relaxed is None:
        nothing = np.zeros_like(p_kw)
        energy = theta[problem.pool]
        flat = NodalPrices(energy=energy, loss=nothing, congestion=nothing.copy(), reactive=nothing)
        drawn = np.zeros_like(theta)
        np.add.at(drawn, problem.pool, -p_kw)
        return None, flat, drawn, None
    injections = grid.background_kw.copy(), grid.background_kvar.copy()
    np.add.at(injections[0], grid.at, p_kw)
    np.add.at(injections[1], grid.at, q_kvar)
    flow = solve(grid.feeder, *injections)
    if not flow.converged.all():
        hours = np.flatnonzero(~flow.converged).tolist()
        found = programme.problem.status
        raise SolverError(f"the relaxed schedule ({found}) has no power flow in the steps {hours}")
    multipliers = _limit_multipliers(problem, relaxed)
    prices = nodal_prices(grid, branch_state(flow), theta[0], *multipliers)
    state = grid_state(grid, flow)
    verdict = _verdict(problem, relaxed, flow, state)
    return state, prices, flow.head_p_kw[None, :], verdict


def _limit_multipliers(problem: Problem, relaxed: RelaxedFlow) -> tuple[Floats, Floats]:
    """Multipliers of squared voltages and currents ``(n, T)`` [EUR/h per pu^2]."""
    grid, dt_h = problem.grid, problem.dt_h
    if grid is None:
        raise SolverError("no grid")
    n_sq = np.abs(grid.feeder.transformation[1:, None]) ** 2
    mu, kappa = np.zeros_like(grid.background_kw), np.zeros_like(grid.background_kw)
    mu[1:] = n_sq * (relaxed.upper.dual_value - relaxed.lower.dual_value) / dt_h
    if relaxed.rated is not None:
        limited = np.flatnonzero(np.isfinite(grid.i_max_sq[1:]))
        kappa[limited + 1] = relaxed.rated.dual_value / n_sq[limited] / dt_h
    return mu, kappa


def _verdict(
    problem: Problem, relaxed: RelaxedFlow, flow: PowerFlow, state: GridState
) -> Relaxation:
    """Whether the relaxed voltages and import are those of the exact power flow."""
    n_sq = np.abs(flow.feeder.transformation[1:, None]) ** 2
    v_error = float(np.abs(np.sqrt(relaxed.v.value / n_sq) - flow.vm_pu[1:]).max(initial=0.0))
    balance = retail_balance(problem)
    believed, real = (
        balance.cost(np.reshape(value, (1, -1)))
        for value in (relaxed.import_kw.value, flow.head_p_kw)
    )
    gap = (real - believed) / max(abs(real), 1.0)
    broken = float(state.violation_pu.max(initial=0.0))
    exact = v_error <= EXACT_PU and abs(gap) <= EXACT_GAP
    words = f"voltages within {v_error:.1e} pu of the exact power flow"
    if not exact:
        words += f", import bill {100.0 * gap:.3g} % off, limits broken by {broken:.1e} pu"
    return Relaxation(
        is_exact=exact,
        gap=gap,
        verdict=f"{'' if exact else 'in'}exact: {words}",
        voltage_error_pu=v_error,
    )


def _add_box_prices(problem: Problem, programme: Programme, prices: NodalPrices) -> None:
    """Congestion prices of the envelopes, from their multipliers."""
    if programme.boxes is None:
        return
    upper, lower = programme.boxes
    boxes = envelope_boxes(problem)
    owner = problem.owner[np.argmax(boxes.rows[:, : len(problem.owner)], axis=1)]
    prices.congestion[owner] -= (upper.dual_value - lower.dual_value) / problem.dt_h
