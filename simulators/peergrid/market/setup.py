"""From a problem to the iteration: coupling blocks, first iterate, limits to watch."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import ModelError
from peergrid.market import admm
from peergrid.market.blocks.ac_network import AcNetwork, Seen, near_limits, no_watch, watch_of
from peergrid.market.blocks.balance import RetailBalance
from peergrid.market.blocks.envelope import EnvelopeBoxes
from peergrid.market.blocks.inverter import Inverters
from peergrid.market.coupling import Block, Coupling, Penalty, build
from peergrid.market.problem import Problem
from peergrid.market.result import Warm

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
RHO_LINEAR = 0.45
RHO_CURVED = 0.017


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """A problem in the form that the iteration works on.

    ``network`` is None where the grid is not asked; ``certify`` says whether the lower bound is.
    """

    problem: Problem
    settings: admm.Settings
    balance: RetailBalance
    boxes: EnvelopeBoxes
    inverters: Inverters
    network: AcNetwork | None
    coupling: Coupling
    certify: bool

    @property
    def box_rows(self) -> slice:
        """Rows of the envelopes, after those of the agents."""
        return slice(self.coupling.agents, self.coupling.agents + len(self.boxes.rows))

    @property
    def inverter_rows(self) -> slice:
        """Rows of the second proposals."""
        return slice(self.box_rows.stop, self.box_rows.stop + len(self.inverters.rows))

    @property
    def balance_rows(self) -> slice:
        """Rows of the pools' imports; what the network watches comes after them."""
        first = self.inverter_rows.stop
        return slice(first, first + len(self.balance.rows))


def retail_balance(problem: Problem) -> RetailBalance:
    """Balance of each pool."""
    rows, members = len(problem.agents.row_size_kw), np.arange(len(problem.owner))
    participants = len(problem.pool)
    member = np.zeros((participants, rows))
    member[problem.owner, members] = 1.0
    of_pool = np.zeros((problem.pools, participants))
    of_pool[problem.pool, np.arange(participants)] = 1.0
    firm_size = np.abs(problem.firm_kw).max(axis=1, initial=0.0)
    return RetailBalance(
        rows=-of_pool @ member,
        offset_kw=-of_pool @ problem.firm_kw,
        price_import_eur_per_kwh=problem.price_import_eur_per_kwh,
        price_feed_in_eur_per_kwh=problem.price_feed_in_eur_per_kwh,
        dt_h=problem.dt_h,
        size_kw=np.maximum(of_pool @ (member @ problem.agents.row_size_kw + firm_size), 0.1),
    )


def envelope_boxes(problem: Problem) -> EnvelopeBoxes:
    """Boxes of the participants that have flexible resources and a limit."""
    size = problem.agents.row_size_kw
    member = np.zeros((len(problem.pool), len(size)))
    member[problem.owner, np.arange(len(problem.owner))] = 1.0
    limited = np.isfinite(problem.box_min_kw) | np.isfinite(problem.box_max_kw)
    chosen = (member.sum(axis=1) > 0) & limited.any(axis=1)
    return EnvelopeBoxes(
        rows=member[chosen],
        offset_kw=problem.firm_kw[chosen],
        p_min_kw=problem.box_min_kw[chosen],
        p_max_kw=problem.box_max_kw[chosen],
        size_kw=np.maximum((member @ size)[chosen], 0.1),
    )


def set_up(problem: Problem, settings: admm.Settings, *, certify: bool) -> Setup:
    """Coupling blocks and metric of a problem."""
    balance, boxes = retail_balance(problem), envelope_boxes(problem)
    inverters = problem.agents.inverters()
    network = None if problem.grid is None else _network(problem, balance)
    blocks = (boxes, inverters, balance) if network is None else (boxes, inverters)
    settings = scaled(settings, balance)
    return Setup(
        problem=problem,
        settings=settings,
        balance=balance,
        boxes=boxes,
        inverters=inverters,
        network=network,
        coupling=_couple(problem, settings, blocks, network),
        certify=certify,
    )


def scaled(settings: admm.Settings, balance: RetailBalance) -> admm.Settings:
    """The settings with what is relative to the community and its prices filled in."""
    dearest = float(np.abs(balance.price_import_eur_per_kwh).max()) or 1.0
    unit = settings.price_unit_eur_per_kwh or dearest
    size_kw = float(balance.size_kw.max())
    return replace(
        settings,
        price_unit_eur_per_kwh=unit,
        tolerance_kw=settings.tolerance_kw or settings.tolerance_share * size_kw,
        tolerance_eur_per_kwh=settings.tolerance_eur_per_kwh
        or settings.tolerance_price_share * unit,
    )


def rho_of(settings: admm.Settings, network: AcNetwork | None) -> float:
    """The penalty as set, or the default for the kind of coupling."""
    if settings.rho is not None:
        return settings.rho
    return RHO_LINEAR if network is None else RHO_CURVED


def _couple(
    problem: Problem,
    settings: admm.Settings,
    blocks: tuple[Block, ...],
    network: AcNetwork | None,
) -> Coupling:
    unit = rho_of(settings, network) * settings.price_unit_eur_per_kwh * problem.dt_h
    penalty = Penalty(unit_eur_per_kw=unit, share=settings.coupling_share)
    return build(problem.agents.row_size_kw, blocks, penalty, network)


def _network(problem: Problem, balance: RetailBalance) -> AcNetwork:
    """The exact network under a problem, nothing watched yet."""
    grid, agents = problem.grid, problem.agents
    if grid is None:
        raise ModelError("a clearing on the AC network needs a grid")
    if problem.pools > 1:
        raise ModelError("the AC network is cleared for one community: one pool, not several")
    rows, steps = len(agents.row_size_kw), problem.firm_kw.shape[1]
    spots = grid.at[problem.owner[agents.row_resource]]
    firm_kw, firm_kvar = grid.firm_injections(problem.firm_kw)
    return AcNetwork(
        grid=grid,
        balance=balance,
        spots=spots,
        is_reactive=np.arange(rows) >= len(problem.owner),
        firm_kw=firm_kw,
        firm_kvar=firm_kvar,
        flexible_kw=agents.row_size_kw,
        watch=no_watch(steps),
        scale=np.empty((0, steps)),
        slopes=np.empty((steps, 0, rows)),
    )


def start(setup: Setup, warm: Warm | None) -> tuple[Setup, admm.State]:
    """Warm start, or the reference schedule with everyone priced at the import price."""
    problem, steps = setup.problem, setup.problem.firm_kw.shape[1]
    rows = setup.balance_rows.stop
    y, price = problem.agents.reference_kw(), np.zeros((rows, steps))
    price[: len(problem.owner)] = price[setup.balance_rows] = problem.price_import_eur_per_kwh
    fits = warm is not None and _fits(warm, y.shape, price.shape)
    if warm is not None and fits:
        y, price = warm.schedule_kw, warm.price_eur_per_kwh
    if setup.network is None:
        values = np.vstack([y, setup.coupling.rows_at(y)])
        return setup, admm.start(setup.coupling, values, price, problem.dt_h)
    seen = setup.network.observe(y, None)
    keys = near_limits(setup.network.grid, seen.state)
    mu, kappa = np.zeros_like(seen.state.v), np.zeros_like(seen.state.v)
    if warm is not None and fits and warm.mu_eur_per_pu2.shape == mu.shape:
        mu, kappa = warm.mu_eur_per_pu2, warm.kappa_eur_per_pu2
        keys |= _bound(mu, is_current=False) | _bound(kappa, is_current=True)
    at = np.vstack([y, setup.coupling.rows_at(y), seen.values_kw[:1]])
    return _watching(setup, at, price, seen, keys, (mu, kappa))


def _fits(warm: Warm, schedule: tuple[int, ...], price: tuple[int, ...]) -> bool:
    """Whether a warm start has these shapes and holds numbers."""
    parts = (warm.schedule_kw, warm.price_eur_per_kwh)
    return [part.shape for part in parts] == [schedule, price] and bool(
        all(np.isfinite(part).all() for part in parts)
    )


def _bound(multiplier: Floats, *, is_current: bool) -> set[tuple[bool, int, int]]:
    rows, hours = np.nonzero(multiplier)
    return {(is_current, r, h) for r, h in zip(rows.tolist(), hours.tolist(), strict=True)}


def _watching(
    setup: Setup,
    rows_kw: Floats,
    price: Floats,
    seen: Seen,
    keys: set[tuple[bool, int, int]],
    multipliers: tuple[Floats, Floats],
) -> tuple[Setup, admm.State]:
    """The iteration with these limits watched, started where its other rows stand."""
    if setup.network is None:
        raise ModelError("only an AC network watches limits")
    problem = setup.problem
    watch = watch_of(setup.network.grid, keys, problem.firm_kw.shape[1])
    network = setup.network.watching(watch, seen.state)
    coupled = _couple(problem, setup.settings, setup.coupling.blocks, network)
    values = np.vstack([rows_kw, network.watched_kw(seen.state)])
    prices = np.vstack([price, network.slot_prices(*multipliers)])
    state = admm.start(coupled, values, prices, problem.dt_h)
    return replace(setup, network=network, coupling=coupled), replace(state, seen=seen)


def watch_more(setup: Setup, state: admm.State) -> tuple[Setup, admm.State]:
    """Also watch limits that are broken and not watched; renew slopes that are out of date."""
    network = setup.network
    if network is None:
        return setup, state
    watched = network.watch.keys()
    keys = set(watched)
    if state.violation_pu > setup.settings.tolerance_pu:
        keys |= near_limits(network.grid, state.seen.state)
    if keys == watched and not network.is_stale(state.seen.state):
        return setup, state
    rows = setup.balance_rows.stop
    price = admm.prices(state, setup.coupling, setup.problem.dt_h)
    multipliers = network.multipliers(price[rows:])
    at = state.projection[:rows]
    setup, begun = _watching(setup, at, price[:rows], state.seen, keys, multipliers)
    return setup, replace(begun, iteration=state.iteration, history=state.history)


def rebalance(setup: Setup, state: admm.State) -> tuple[Setup, admm.State]:
    """Residual balancing: other penalties where one residual lags far behind the other."""
    factor = admm.balance_factor(state, setup.settings)
    if factor == 1.0:
        return setup, state
    rho = factor * rho_of(setup.settings, setup.network)
    settings = replace(setup.settings, rho=rho)
    coupled = _couple(setup.problem, settings, setup.coupling.blocks, setup.network)
    changed = replace(setup, settings=settings, coupling=coupled)
    return changed, admm.rebalanced(state, factor)
