"""The last iterate in market words: schedule, prices and their parts, bound, state of the grid.

The schedule is what the agents proposed themselves, so each can follow it; the retailer covers
the rest.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.market import admm
from peergrid.market.blocks.ac_network import Seen
from peergrid.market.blocks.balance import RetailBalance
from peergrid.market.blocks.envelope import EnvelopeBoxes
from peergrid.market.blocks.exchange import Exchange
from peergrid.market.blocks.polygon import EnvelopePolygons
from peergrid.market.certificate import NetworkDual, network_dual
from peergrid.market.problem import Grid
from peergrid.market.result import Clearing, GridState, Relaxation
from peergrid.market.setup import Setup
from peergrid.market.traded import traded
from peergrid.market.warm import warm_of
from peergrid.network.adjoint import BranchState, adjoint
from peergrid.network.power_flow import PowerFlow

Floats = NDArray[np.float64]
EXACT_GAP = 1e-4
KEPT_PU = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class NodalPrices:
    """Marginal price of each participant's injection and its parts, all ``(N, T)`` [EUR/kWh]."""

    energy: Floats
    loss: Floats
    congestion: Floats
    reactive: Floats

    @property
    def total(self) -> Floats:
        """What one more kWh injected by the participant is worth."""
        return self.energy + self.loss + self.congestion


def report(setup: Setup, state: admm.State, status: admm.Status) -> Clearing:
    """Result of the iteration as it stands."""
    problem = setup.problem
    price = admm.prices(state, setup.coupling, problem.dt_h)
    agents, resources = setup.coupling.agents, len(problem.owner)
    proposal = state.proposal[:agents]
    schedule, reactive = proposal[:resources], problem.agents.reactive_kvar(proposal)
    seen = _seen_with(setup, state.seen, schedule, reactive)
    theta, slots = _theta(setup, price), price[setup.balance_rows.stop :]
    imports, grid, dual = _network(setup, proposal, seen, theta, slots)
    prices = _prices(setup, seen, price)
    goods = traded(setup, state, proposal)
    own = problem.agents.cost(schedule).sum() + problem.agents.reactive_cost(reactive).sum()
    objective = float(own) + goods.cost_eur
    if setup.network is not None and isinstance(setup.balance, RetailBalance):
        objective += setup.balance.cost(imports)
    bound = _bound(setup, state, price, dual) if setup.certify else float("nan")
    beyond = max(_beyond_kw(block, proposal) for block in (setup.boxes, setup.polygons))
    return Clearing(
        schedule_kw=schedule,
        schedule_kvar=reactive,
        position_kw=problem.positions_kw(schedule),
        position_kvar=problem.reactive_positions(reactive, schedule),
        import_kw=imports,
        theta_eur_per_kwh=theta,
        price_eur_per_kwh=prices.total,
        loss_price_eur_per_kwh=prices.loss,
        congestion_eur_per_kwh=prices.congestion,
        price_eur_per_kvarh=prices.reactive,
        status=status,
        iterations=state.iteration,
        primal_kw=state.primal_kw,
        dual_eur_per_kwh=state.dual_eur_per_kwh,
        history=tuple(primal for primal, _ in state.history),
        dual_history=tuple(change for _, change in state.history),
        objective_eur=objective,
        lower_bound_eur=bound,
        box_violation_kw=max(beyond, goods.excess_kw),
        trades=goods.active,
        reactive_trades=goods.reactive,
        worth_of_rows=goods.worth_of_rows,
        warm=warm_of(setup, proposal, price),
        grid=grid,
        relaxation=_verdict(objective, bound, dual, grid),
    )


def _beyond_kw(block: EnvelopeBoxes | EnvelopePolygons | None, proposal: Floats) -> float:
    """By how much proposals leave envelopes at most."""
    if block is None:
        return 0.0
    return block.violation_kw(block.rows @ proposal + block.offset_kw)


def nodal_prices(
    grid: Grid, state: BranchState, theta: Floats, mu: Floats, kappa: Floats
) -> NodalPrices:
    """Prices at the participants from the exact gradients of import and limits.

    Parameters
    ----------
    grid, state
        The grid and its state.
    theta
        ``(T,)`` price of the import [EUR/kWh].
    mu, kappa
        ``(n, T)`` multipliers of squared voltages and currents [EUR/h per pu^2].
    """
    whole, limits = adjoint(state, theta, mu, kappa), adjoint(state, 0.0 * theta, mu, kappa)
    energy = np.broadcast_to(theta, (len(grid.at), len(theta)))
    congestion = -limits.p[grid.at]
    return NodalPrices(
        energy=energy,
        loss=-whole.p[grid.at] - energy - congestion,
        congestion=congestion,
        reactive=-whole.q[grid.at],
    )


def grid_state(grid: Grid, flow: PowerFlow) -> GridState:
    """Voltages, losses and broken limits of a power flow."""
    i_sq = np.abs(flow.j_pu) ** 2
    i_sq[0] = 0.0
    with np.errstate(invalid="ignore"):
        share = np.sqrt(i_sq / grid.i_max_sq[:, None])
    return GridState(
        vm_pu=flow.vm_pu,
        loss_kw=flow.loss_kw,
        violation_pu=grid.violation_pu(flow.vm_pu),
        overload=np.maximum(share.max(axis=0) - 1.0, 0.0),
    )


def _verdict(
    objective: float, bound: float, dual: NetworkDual | None, grid: GridState | None
) -> Relaxation | None:
    """Whether the relaxed branch flow model is exact, judged by its bound on the AC objective."""
    if dual is None or grid is None:
        return None
    gap = (objective - bound) / max(abs(objective), 1.0) if np.isfinite(bound) else float("inf")
    if grid.worst > KEPT_PU:
        words = f"unknown: the schedule still breaks a limit by {grid.worst:.1e}"
        return Relaxation(is_exact=False, gap=gap, verdict=words)
    if gap <= EXACT_GAP:
        words = f"exact: its bound meets the AC objective to {max(gap, 0.0):.1e}"
        return Relaxation(is_exact=True, gap=gap, verdict=words)
    if not np.isfinite(bound):
        words = "inexact: no bound, for an hour's price rewards losses that nothing limits"
    elif dual.is_tight.all():
        words = f"not proven exact: {100.0 * gap:.3g} % between this schedule and its bound"
    else:
        words = f"inexact: its bound lies {100.0 * gap:.3g} % below the AC objective, for a limit"
        words += " or a price rewards losses"
    return Relaxation(is_exact=False, gap=gap, verdict=words)


def _seen_with(setup: Setup, seen: Seen, schedule: Floats, reactive: Floats) -> Seen:
    """The state of the grid with reactive powers exactly inside the resources' capability."""
    if setup.network is None or len(setup.inverters.rows) == 0:
        return seen
    own = setup.problem.agents.row_resource[len(schedule) :]
    return setup.network.observe(np.vstack([schedule, reactive[own]]), seen)


def _network(
    setup: Setup, proposal: Floats, seen: Seen, theta: Floats, slots: Floats
) -> tuple[Floats, GridState | None, NetworkDual | None]:
    """Imports of the pools; with a network, its state and its side of the bound."""
    if setup.network is None:
        own = setup.balance.rows @ proposal + setup.balance.offset_kw
        net = -own.sum(axis=0, keepdims=True) if isinstance(setup.balance, Exchange) else own
        return net, None, None
    dual = network_dual(setup.network, seen, theta[0], slots) if setup.certify else None
    return seen.values_kw[:1], grid_state(setup.network.grid, seen.flow), dual


def _theta(setup: Setup, price: Floats) -> Floats:
    """Marginal price of each pool ``(G, T)``; the mean of those at the participants with fees."""
    own = price[setup.balance_rows]
    return -own.mean(axis=0, keepdims=True) if isinstance(setup.balance, Exchange) else own


def _prices(setup: Setup, seen: Seen, price: Floats) -> NodalPrices:
    """Prices at the participants, those of envelopes included in the congestion part."""
    problem = setup.problem
    if setup.network is None:
        nothing = np.zeros_like(problem.firm_kw)
        good = setup.reactive
        prices = NodalPrices(
            energy=_worth(setup, setup.balance, price),
            loss=nothing,
            congestion=nothing.copy(),
            reactive=nothing.copy() if good is None else _worth(setup, good, price),
        )
    else:
        mu, kappa = setup.network.multipliers(price[setup.balance_rows.stop :])
        theta = price[setup.balance_rows]
        prices = nodal_prices(setup.network.grid, seen.state, theta[0], mu, kappa)
    return _with_envelopes(setup, price, prices)


def _worth(setup: Setup, good: RetailBalance | Exchange, price: Floats) -> Floats:
    """What a unit of a good is worth to each participant, ``(N, T)``."""
    own = price[setup.rows_of(good)]
    return -own if isinstance(good, Exchange) else own[setup.problem.pool]


def _with_envelopes(setup: Setup, price: Floats, prices: NodalPrices) -> NodalPrices:
    """Add what envelopes, agreed or given, and the charge on losses add to the prices."""
    count = len(setup.problem.pool)
    extra = np.zeros((2 * count, prices.energy.shape[1]))
    np.subtract.at(extra, setup.boxes.position, price[setup.rows_of(setup.boxes)])
    if setup.polygons is not None:
        who = setup.polygons.participant
        extra[np.concatenate([who, count + who])] -= price[setup.rows_of(setup.polygons)]
    if setup.agreement is not None:
        own = -price[setup.rows_of(setup.agreement)]
        for first in range(0, len(own), 2 * count):
            good = first // 2
            extra[good : good + count] += own[first : first + count]
            extra[good : good + count] += own[first + count : first + 2 * count]
    losses = np.zeros_like(extra)
    if setup.losses is not None and setup.problem.losses is not None:
        paid = -setup.problem.losses.rows.T @ price[setup.rows_of(setup.losses)]
        losses[: len(paid)] = paid
    return NodalPrices(
        energy=prices.energy,
        loss=prices.loss + losses[:count],
        congestion=prices.congestion + extra[:count],
        reactive=prices.reactive + losses[count:] + extra[count:],
    )


def _bound(setup: Setup, state: admm.State, price: Floats, dual: NetworkDual | None) -> float:
    """Dual value of the whole problem; see :mod:`peergrid.market.certificate`."""
    problem, dt_h = setup.problem, setup.problem.dt_h
    linear = price[setup.coupling.agents : setup.coupling.agents + len(setup.coupling.rows)]
    paid = -setup.coupling.rows.T @ linear
    value = float((linear * setup.coupling.offset_kw).sum())
    limits = (setup.boxes, setup.inverters, setup.polygons)
    for block in (*limits, setup.losses, setup.reactive, setup.balance):
        if block is not None:
            value += block.support(price[setup.rows_of(block)])
    if setup.agreement is not None:
        rows = setup.rows_of(setup.agreement)
        value += setup.agreement.support(price[rows], state.proposal[rows])
    if dual is None:
        return float(problem.agents.best_value(paid).sum()) + dt_h * value
    paid = paid + dual.paid_eur_per_kwh
    return float(problem.agents.best_value(paid).sum()) + dt_h * value + dual.value_eur
