"""The published clearing by neighbours: what comes in, and its result in market words."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import SolverError
from peergrid.market.admm import Status
from peergrid.market.agents import opened
from peergrid.market.by_neighbours.iteration import (
    NeighbourSettings,
    Run,
    Setup,
    State,
    iterate,
    set_up,
)
from peergrid.market.checks import check
from peergrid.market.goods import retail_balance
from peergrid.market.problem import Problem
from peergrid.market.report import grid_state
from peergrid.market.result import Clearing, Warm
from peergrid.network.power_flow import PowerFlow, solve

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class NeighbourReport:
    """What only this clearing has to tell.

    Parameters
    ----------
    stop_iteration, seed_stop_iteration
        Iteration at which our rule and the published one held first; None: never.
    seed_objective_eur
        What the schedule of ``seed_stop_iteration`` costs on the exact power flow; NaN if never.
    voltage_error_pu
        Largest distance of the agents' own voltages from the exact ones of their schedule.
    trade_kw
        ``(n, T)`` what each bus bought from others.
    mismatch_kw
        Largest difference of two copies of a flow.
    rho
        Penalty at the end.
    seconds
        Time of all iterations, without setting up.
    """

    stop_iteration: int | None
    seed_stop_iteration: int | None
    seed_objective_eur: float
    voltage_error_pu: float
    trade_kw: Floats
    mismatch_kw: float
    rho: float
    seconds: float


@dataclass(frozen=True, kw_only=True, eq=False)
class NeighbourClearing(Clearing):
    """A clearing with the report of how the neighbours found it."""

    neighbours: NeighbourReport


def clear_by_neighbours(
    problem: Problem,
    settings: NeighbourSettings | None = None,
    *,
    progress: Callable[[int, float], None] | None = None,
) -> NeighbourClearing:
    """Clear the market by the published ADMM between neighbouring buses.

    Parameters
    ----------
    problem
        What is to be cleared, with a grid of lines.
    settings
        Of the iteration.
    progress
        Called after each iteration with its number and the primal residual [kW].

    Returns
    -------
    NeighbourClearing
        ``objective_eur`` is the cost of the agents' schedules on the exact power flow; prices are
        the multipliers of the agents' own balances, theta and all the rest as loss part.

    Raises
    ------
    ModelError
        If the published model has no equation for something in the problem.
    SolverError
        If an agent's problem or the power flow has no solution.
    """
    check(problem)
    setup = set_up(problem, settings or NeighbourSettings())
    return _report(setup, iterate(setup, progress))


def _report(setup: Setup, run: Run) -> NeighbourClearing:
    """The last iterate in market words, on the exact power flow of its schedule."""
    problem, state = setup.problem, run.state
    schedule = schedule_kw(setup, state)
    flow = _flow(setup, schedule)
    theta, prices, reactive_prices = _prices(setup, state)
    position, nothing = problem.positions_kw(schedule), np.zeros_like(schedule)
    return NeighbourClearing(
        schedule_kw=schedule,
        schedule_kvar=nothing,
        position_kw=position,
        position_kvar=setup.grid.firm_kvar.copy(),
        import_kw=flow.head_p_kw[None, :],
        theta_eur_per_kwh=theta,
        price_eur_per_kwh=prices,
        loss_price_eur_per_kwh=prices - theta,
        congestion_eur_per_kwh=np.zeros_like(prices),
        price_eur_per_kvarh=reactive_prices,
        status=Status.ITERATION_LIMIT if run.stop is None else Status.CONVERGED,
        iterations=state.iteration,
        primal_kw=state.primal_kw,
        dual_eur_per_kwh=state.dual_eur_per_kwh,
        history=tuple(primal for primal, _ in state.history),
        dual_history=tuple(dual for _, dual in state.history),
        objective_eur=_objective_eur(setup, schedule, flow),
        lower_bound_eur=float("nan"),
        box_violation_kw=_box_violation_kw(problem, position),
        warm=Warm(schedule_kw=schedule, price_eur_per_kwh=np.empty((0, 0))),
        grid=grid_state(setup.grid, flow),
        neighbours=_neighbour_report(setup, run, flow),
    )


def schedule_kw(setup: Setup, state: State) -> Floats:
    """Injection of each resource ``(R, T)``, inside its limits."""
    agents = opened(setup.problem.agents)
    schedule = np.zeros(agents.shape)
    for agent, answer in zip(setup.agents, state.answers, strict=True):
        schedule[agent.bus.plants] = answer.plants
        schedule[agent.bus.stores] = answer.stores
    return np.clip(schedule * setup.units.power_kw, agents.p_min_kw, agents.p_max_kw)


def _flow(setup: Setup, schedule: Floats) -> PowerFlow:
    """Exact power flow of a schedule."""
    grid = setup.grid
    p_kw, q_kvar = grid.firm_injections(setup.problem.firm_kw)
    np.add.at(p_kw, grid.at[setup.problem.owner], schedule)
    flow = solve(grid.feeder, p_kw, q_kvar)
    if not flow.converged.all():
        steps = np.flatnonzero(~flow.converged).tolist()
        raise SolverError(f"the neighbours' schedule has no power flow solution in steps {steps}")
    return flow


def _objective_eur(setup: Setup, schedule: Floats, flow: PowerFlow) -> float:
    """Cost of a schedule and retail bill of the import that it causes."""
    bill = retail_balance(setup.problem).cost(flow.head_p_kw[None, :])
    return float(opened(setup.problem.agents).cost(schedule).sum()) + bill


def _prices(setup: Setup, state: State) -> tuple[Floats, Floats, Floats]:
    """theta ``(1, T)``, and prices of active and reactive injection at participants ``(N, T)``."""
    unit, at = setup.units.price_eur_per_kwh, setup.grid.at
    theta = state.multiplier[setup.rows.trade[:1]]
    active = np.vstack([answer.price for answer in state.answers])
    reactive = np.vstack([answer.reactive_price for answer in state.answers])
    return unit * theta, unit * active[at], unit * reactive[at]


def _box_violation_kw(problem: Problem, position: Floats) -> float:
    """By how much participants with resources leave their envelopes at most."""
    beyond = np.maximum(position - problem.box_max_kw, problem.box_min_kw - position)
    return max(float(beyond[np.unique(problem.owner)].max(initial=0.0)), 0.0)


def _neighbour_report(setup: Setup, run: Run, flow: PowerFlow) -> NeighbourReport:
    """What the neighbours think, against the exact power flow."""
    state, seed, unit_kw = run.state, run.seed_stop, setup.units.power_kw
    seed_objective = float("nan")
    if seed is not None:
        schedule = schedule_kw(setup, seed)
        seed_objective = _objective_eur(setup, schedule, _flow(setup, schedule))
    return NeighbourReport(
        stop_iteration=run.stop,
        seed_stop_iteration=None if seed is None else seed.iteration,
        seed_objective_eur=seed_objective,
        voltage_error_pu=float(np.abs(np.sqrt(state.voltage) - flow.vm_pu).max()),
        trade_kw=unit_kw * state.shared[setup.rows.trade],
        mismatch_kw=unit_kw * float(np.abs(setup.rows.mismatch(state.shared)).max(initial=0.0)),
        rho=state.rho,
        seconds=run.seconds,
    )
