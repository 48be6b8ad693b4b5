"""The iteration of the clearing by neighbours: settings, iterates, stop rules.

Equation numbers and what of them is mended: :mod:`peergrid.market.by_neighbours`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.market.agents import opened
from peergrid.market.by_neighbours.agent import Agent, Answer
from peergrid.market.by_neighbours.bus import Rows, Units, buses, grid_of
from peergrid.market.problem import Grid, Problem
from peergrid.units import mw_from_kw

Floats = NDArray[np.float64]
LEAST_V_SQ = 0.5  # below it a leaf's load may be more than its line can carry


@dataclass(frozen=True, kw_only=True)
class NeighbourSettings:
    """Parameters of the clearing by neighbours.

    Parameters
    ----------
    rho
        Penalty at the start: price units per power unit.
    balance_until, balance_every
        Last iteration at which residual balancing may change the penalty, and how often it looks;
        0 keeps the penalty.
    balance_ratio, balance_factor
        Ratio of the residuals' norms above which it acts, and by how much (Boyd et al. 2011,
        section 3.4.1).
    tolerance_kw, tolerance_eur_per_kwh, tolerance_pu
        Our rule: largest sum of trades or difference of two copies, largest change of what they
        agree on times the penalty, largest change of a squared voltage.
    tolerance_seed
        The published rule: (23) [EUR], (24) [MW] and (25) [Mvar].
    wait_for_seed
        Go on until the published rule has fired too.
    max_iterations, limit_s
        Where the iteration gives up.
    power_unit_kw
        Power unit; None: the largest firm power of the community in an hour.
    price_unit_eur_per_kwh
        Price unit.
    solver
        Of the agents, a name that cvxpy knows; where it gives up another one takes over.
    """

    rho: float = 0.15
    balance_until: int = 0
    balance_every: int = 10
    balance_ratio: float = 10.0
    balance_factor: float = 2.0
    tolerance_kw: float = 0.1
    tolerance_eur_per_kwh: float = 2e-5
    tolerance_pu: float = 5e-5
    tolerance_seed: float = 1e-4
    wait_for_seed: bool = False
    max_iterations: int = 3000
    limit_s: float = np.inf
    power_unit_kw: float | None = None
    price_unit_eur_per_kwh: float = 0.1
    solver: str = "CLARABEL"


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """Agents, who shares what with whom, and the tariffs ``(T,)`` that bound theta, in units."""

    problem: Problem
    grid: Grid
    settings: NeighbourSettings
    units: Units
    agents: tuple[Agent, ...]
    rows: Rows
    feed_in: Floats
    supply: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """One iterate in units.

    Parameters
    ----------
    agreed, multiplier
        ``(M, T)`` what the shared rows agree on, and theta (of trades), lambda and delta.
    voltage
        ``(n, T)`` squared voltages [pu^2].
    rho
        Penalty.
    shared, answers
        ``(M, T)`` what the agents proposed, and all they said.
    cost_eur
        Sum of their costs (1).
    iteration, primal_kw, dual_eur_per_kwh, voltage_change, seed_residual, history
        Where the iteration stands; ``seed_residual`` is the largest left side of (23)-(25).
    """

    agreed: Floats
    multiplier: Floats
    voltage: Floats
    rho: float
    shared: Floats
    answers: tuple[Answer, ...] = ()
    cost_eur: float = np.inf
    iteration: int = 0
    primal_kw: float = np.inf
    dual_eur_per_kwh: float = np.inf
    voltage_change: float = np.inf
    seed_residual: float = np.inf
    history: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """The last iterate, and when which rule held first."""

    state: State
    stop: int | None = None
    seed_stop: State | None = None
    seconds: float = 0.0


def set_up(problem: Problem, settings: NeighbourSettings) -> Setup:
    """Agents with their compiled problems."""
    grid = grid_of(problem)
    peak_kw = float(np.abs(problem.firm_kw.sum(axis=0)).max())
    unit_kw = settings.power_unit_kw or max(
        peak_kw, float(opened(problem.agents).size_kw.max(initial=1.0))
    )
    units = Units(power_kw=unit_kw, price_eur_per_kwh=settings.price_unit_eur_per_kwh)
    found = buses(problem, grid, units)
    return Setup(
        problem=problem,
        grid=grid,
        settings=settings,
        units=units,
        agents=tuple(Agent(problem, bus, units, settings.solver) for bus in found),
        rows=Rows.of_buses(found),
        feed_in=problem.price_feed_in_eur_per_kwh / units.price_eur_per_kwh,
        supply=problem.price_import_eur_per_kwh / units.price_eur_per_kwh,
    )


def start(setup: Setup) -> State:
    """Nothing flows, nobody trades, theta is the import price, all voltages are the root's."""
    steps = setup.problem.firm_kw.shape[1]
    nothing = np.zeros((setup.rows.count, steps))
    multiplier = nothing.copy()
    multiplier[setup.rows.trade] = setup.supply
    feeder = setup.grid.feeder
    return State(
        agreed=nothing,
        multiplier=multiplier,
        voltage=np.full((feeder.n_bus, steps), feeder.slack_vm_pu**2),
        rho=setup.settings.rho,
        shared=nothing,
    )


def step(setup: Setup, state: State) -> State:
    """One iteration: (17) of every agent, agreement, multipliers (18)-(21), residuals."""
    rows, unit_kw = setup.rows, setup.units.power_kw
    answers = ask(setup, state)
    shared = np.vstack([answer.shared for answer in answers])
    voltage = np.vstack([answer.voltage for answer in answers])
    agreed = rows.agreed(shared)
    multiplier = state.multiplier + state.rho * (shared - agreed)
    multiplier[rows.trade] = np.clip(multiplier[rows.trade], setup.feed_in, setup.supply)
    apart, change = shared - agreed, state.rho * (agreed - state.agreed)
    mismatch_kw = unit_kw * float(np.abs(rows.mismatch(shared)).max(initial=0.0))
    primal = max(mismatch_kw, unit_kw * float(np.abs(rows.trade_sum(shared)).max()))
    dual = setup.units.price_eur_per_kwh * float(np.abs(change).max())
    cost = sum(a.cost for a in answers) * setup.units.cost_eur * setup.problem.dt_h
    return State(
        agreed=agreed,
        multiplier=multiplier,
        voltage=voltage,
        rho=state.rho * balance(setup.settings, state.iteration + 1, apart, change),
        shared=shared,
        answers=answers,
        cost_eur=cost,
        iteration=state.iteration + 1,
        primal_kw=primal,
        dual_eur_per_kwh=dual,
        voltage_change=float(np.abs(voltage - state.voltage).max()),
        seed_residual=max(abs(cost - state.cost_eur), mw_from_kw(mismatch_kw)),
        history=(*state.history, (primal, dual)),
    )


def ask(setup: Setup, state: State) -> tuple[Answer, ...]:
    """Answers of all agents, each seeing only its own rows and its parent's voltage (22)."""
    parent = np.maximum(setup.grid.feeder.parent, 0)
    known = np.maximum(state.voltage, LEAST_V_SQ)
    pull = state.multiplier - state.rho * state.agreed
    return tuple(
        agent.answer(pull[own], state.rho, known[parent[agent.bus.row]])
        for agent, own in zip(setup.agents, setup.rows.of, strict=True)
    )


def balance(settings: NeighbourSettings, iteration: int, apart: Floats, change: Floats) -> float:
    """Factor on the penalty that brings the norms of both residuals nearer to each other."""
    if iteration > settings.balance_until or iteration % settings.balance_every:
        return 1.0
    primal, dual = float(np.linalg.norm(apart)), float(np.linalg.norm(change))
    if primal > settings.balance_ratio * dual:
        return settings.balance_factor
    return 1.0 / settings.balance_factor if dual > settings.balance_ratio * primal else 1.0


def holds(state: State, settings: NeighbourSettings) -> bool:
    """Our stop rule."""
    return (
        state.primal_kw <= settings.tolerance_kw
        and state.dual_eur_per_kwh <= settings.tolerance_eur_per_kwh
        and state.voltage_change <= settings.tolerance_pu
    )


def iterate(setup: Setup, progress: Callable[[int, float], None] | None = None) -> Run:
    """Iterate until our rule holds, or a limit is reached; at least once."""
    settings, began = setup.settings, time.monotonic()
    run = Run(state=start(setup))
    while not run.state.iteration or not _ends(run, settings):
        run = _recorded(run, step(setup, run.state), settings, time.monotonic() - began)
        if progress is not None:
            progress(run.state.iteration, run.state.primal_kw)
    return run


def _recorded(run: Run, state: State, settings: NeighbourSettings, seconds: float) -> Run:
    """The next iterate, and whether one of the rules holds for the first time."""
    stop, seed_stop = run.stop, run.seed_stop
    if stop is None and holds(state, settings):
        stop = state.iteration
    if seed_stop is None and state.seed_residual <= settings.tolerance_seed:
        seed_stop = state
    return Run(state=state, stop=stop, seed_stop=seed_stop, seconds=seconds)


def _ends(run: Run, settings: NeighbourSettings) -> bool:
    if run.state.iteration >= settings.max_iterations or run.seconds >= settings.limit_s:
        return True
    return run.stop is not None and (run.seed_stop is not None or not settings.wait_for_seed)
