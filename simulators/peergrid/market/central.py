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
from peergrid.market.agents import opened
from peergrid.market.blocks.balance import RetailBalance
from peergrid.market.blocks.exchange import Exchange
from peergrid.market.by_admm import clear_by_admm
from peergrid.market.central_agents import private_problems, reactive_capability
from peergrid.market.central_goods import (
    agreed,
    balanced,
    loss_charge,
    price_of,
    reactive_cost,
)
from peergrid.market.checks import check
from peergrid.market.goods import (
    envelope_boxes,
    exchange,
    pq_limits,
    reactive_exchange,
    retail_balance,
)
from peergrid.market.problem import Problem
from peergrid.market.report import NodalPrices, grid_state, nodal_prices
from peergrid.market.result import Clearing, GridState, Relaxation, Warm
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
    good: RetailBalance | Exchange
    balance: Any
    reactive: RetailBalance | Exchange | None
    reactive_balance: Any
    boxes: tuple[Any, Any] | None
    polygons: list[Any]
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
    agents = opened(problem.agents)
    if problem.grid is None and problem.reactive is None:
        agents = agents.without_reactive()
        problem = replace(problem, agents=agents)
    resources, steps = agents.shape
    p = cp.Variable((resources, steps))
    q = (
        cp.Variable((len(agents.reactive.resource), steps))
        if len(agents.reactive.resource)
        else None
    )
    cost, constraints = private_problems(agents, p)
    constraints += [] if q is None else reactive_capability(agents, p, q)
    cost += 0.0 if q is None else reactive_cost(problem, q)
    rows = p if q is None else cp.vstack([p, q])
    good, reactive = exchange(problem) or retail_balance(problem), reactive_exchange(problem)
    flow = None
    if problem.grid is None:
        bill, balance, kept = balanced(good, rows)
    else:
        imports, flow = _imports(problem, p, q)
        bill, balance, kept = _retail(problem, imports)
    reactive_balance = None
    if reactive is not None:
        more, reactive_balance, also = balanced(reactive, rows)
        bill, kept = bill + more, kept + also
    place, firm = problem.positions
    position = place @ rows + firm
    boxes = _boxes(problem, rows)
    constraints += [*kept, *(boxes or ()), *([] if flow is None else flow.constraints)]
    constraints += agreed(problem, position)
    polygons = _polygons(problem, rows)
    constraints += polygons
    return Programme(
        problem=cp.Problem(cp.Minimize(cost + bill + loss_charge(problem, position)), constraints),
        p_kw=p,
        q_kvar=q,
        good=good,
        balance=balance,
        reactive=reactive,
        reactive_balance=reactive_balance,
        boxes=boxes,
        polygons=polygons,
        flow=flow,
    )


def _retail(problem: Problem, imports: Any) -> tuple[Any, Any, list[Any]]:
    """Retail bill of the import at the feeder head."""
    bought, sold = cp.Variable(imports.shape, nonneg=True), cp.Variable(imports.shape, nonneg=True)
    balance = imports == bought - sold
    bill = problem.dt_h * cp.sum(
        bought @ problem.price_import_eur_per_kwh - sold @ problem.price_feed_in_eur_per_kwh
    )
    return bill, balance, [balance]


def _imports(problem: Problem, p: Any, q: Any) -> tuple[Any, RelaxedFlow | None]:
    """Import at the feeder head, ``(1, T)``, on the relaxed branch flow model."""
    grid = problem.grid
    if grid is None:
        raise SolverError("no grid")
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


def _boxes(problem: Problem, rows: Any) -> tuple[Any, Any] | None:
    """Envelopes of the participants; ``rows`` are all the agents' rows."""
    boxes = envelope_boxes(problem)
    if len(boxes.rows) == 0:
        return None
    totals = boxes.rows @ rows + boxes.offset_kw
    return (
        totals <= np.minimum(boxes.p_max_kw, UNLIMITED_KW),
        totals >= np.maximum(boxes.p_min_kw, -UNLIMITED_KW),
    )


def _polygons(problem: Problem, rows: Any) -> list[Any]:
    """Half-planes of the envelopes over active and reactive power, one after the other."""
    block = pq_limits(problem)
    if block is None or len(block.rows) == 0:
        return []
    totals, count = block.rows @ rows + block.offset_kw, len(block.participant)
    return [
        cp.multiply(a, totals[:count]) + cp.multiply(b, totals[count:]) <= limit
        for a, b, limit in zip(*(part.swapaxes(0, 1) for part in block.planes), strict=True)
    ]


def _read(problem: Problem, programme: Programme) -> Clearing:
    """The solution in market words."""
    optimum = float(programme.problem.value)
    schedule = np.asarray(programme.p_kw.value, dtype=np.float64)
    reactive = _reactive_schedule(problem, programme, schedule)
    theta = price_of(programme.good, programme.balance)
    position = problem.positions_kw(schedule)
    position_kvar = problem.reactive_positions(reactive, schedule)
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
        theta_eur_per_kwh=theta if len(theta) == problem.pools else theta.mean(0, keepdims=True),
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
        worth = nothing.copy()
        if programme.reactive is not None:
            worth = price_of(programme.reactive, programme.reactive_balance)
            worth = worth if isinstance(programme.reactive, Exchange) else worth[problem.pool]
        flat = NodalPrices(
            energy=theta if isinstance(programme.good, Exchange) else theta[problem.pool],
            loss=nothing,
            congestion=nothing.copy(),
            reactive=worth,
        )
        drawn = np.zeros((problem.pools, p_kw.shape[1]))
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
    block = pq_limits(problem)
    if block is not None:
        for k, limit in enumerate(programme.polygons):
            pressed = limit.dual_value / problem.dt_h
            prices.congestion[block.participant] -= block.planes[0][:, k] * pressed
            prices.reactive[block.participant] -= block.planes[1][:, k] * pressed
    if programme.boxes is None:
        return
    upper, lower = programme.boxes
    boxes = envelope_boxes(problem)
    worth = (upper.dual_value - lower.dual_value) / problem.dt_h
    count = len(problem.pool)
    active = boxes.position < count
    np.subtract.at(prices.congestion, boxes.position[active], worth[active])
    np.subtract.at(prices.reactive, boxes.position[~active] - count, worth[~active])
