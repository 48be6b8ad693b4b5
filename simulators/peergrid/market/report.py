"""The last iterate in market words: schedule, prices and their parts, bound, state of the grid.

The schedule is what the agents proposed themselves, so each can follow it; the retailer covers
the rest.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.market import admm
from peergrid.market.blocks.ac_network import Seen
from peergrid.market.certificate import NetworkDual, network_dual
from peergrid.market.problem import Grid, Problem
from peergrid.market.result import Clearing, GridState, Relaxation, Warm
from peergrid.market.setup import Setup, rho_of
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
    theta, slots = price[setup.balance_rows], price[setup.balance_rows.stop :]
    imports, grid, dual = _network(setup, proposal, seen, theta, slots)
    prices = _prices(setup, seen, price)
    objective = float(problem.agents.cost(schedule).sum()) + setup.balance.cost(imports)
    bound = _bound(setup, price, dual) if setup.certify else float("nan")
    inside = setup.boxes.rows @ proposal + setup.boxes.offset_kw
    return Clearing(
        schedule_kw=schedule,
        schedule_kvar=reactive,
        position_kw=problem.positions_kw(schedule),
        position_kvar=_reactive_positions(problem, reactive),
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
        box_violation_kw=setup.boxes.violation_kw(inside),
        warm=_warm(setup, proposal, price[: setup.balance_rows.stop], slots),
        grid=grid,
        relaxation=_verdict(objective, bound, dual, grid),
    )


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
        return setup.balance.rows @ proposal + setup.balance.offset_kw, None, None
    dual = network_dual(setup.network, seen, theta[0], slots) if setup.certify else None
    return seen.values_kw[:1], grid_state(setup.network.grid, seen.flow), dual


def _prices(setup: Setup, seen: Seen, price: Floats) -> NodalPrices:
    """Prices at the participants, those of their boxes included in the congestion part."""
    problem, theta = setup.problem, price[setup.balance_rows]
    if setup.network is None:
        nothing = np.zeros_like(problem.firm_kw)
        prices = NodalPrices(
            energy=theta[problem.pool], loss=nothing, congestion=nothing.copy(), reactive=nothing
        )
    else:
        mu, kappa = setup.network.multipliers(price[setup.balance_rows.stop :])
        prices = nodal_prices(setup.network.grid, seen.state, theta[0], mu, kappa)
    if len(setup.boxes.rows):
        owner = problem.owner[np.argmax(setup.boxes.rows[:, : len(problem.owner)], axis=1)]
        prices.congestion[owner] -= price[setup.box_rows]
    return prices


def _bound(setup: Setup, price: Floats, dual: NetworkDual | None) -> float:
    """Dual value of the whole problem; see :mod:`peergrid.market.certificate`."""
    problem, dt_h = setup.problem, setup.problem.dt_h
    linear = price[setup.coupling.agents : setup.coupling.agents + len(setup.coupling.rows)]
    paid = -setup.coupling.rows.T @ linear
    value = float((linear * setup.coupling.offset_kw).sum())
    value += setup.boxes.support(price[setup.box_rows])
    value += setup.inverters.support(price[setup.inverter_rows])
    value += setup.balance.support(price[setup.balance_rows])
    if dual is None:
        return float(problem.agents.best_value(paid).sum()) + dt_h * value
    paid = paid + dual.paid_eur_per_kwh
    return float(problem.agents.best_value(paid).sum()) + dt_h * value + dual.value_eur


def _reactive_positions(problem: Problem, reactive: Floats) -> Floats:
    """Reactive injection of each participant, ``(N, T)``."""
    firm = np.zeros_like(problem.firm_kw) if problem.grid is None else problem.grid.firm_kvar
    total = firm.copy()
    np.add.at(total, problem.owner, reactive)
    return total


def _warm(setup: Setup, proposal: Floats, price: Floats, slots: Floats) -> Warm:
    warm = Warm(
        schedule_kw=proposal,
        price_eur_per_kwh=price,
        rho=rho_of(setup.settings, setup.network),
    )
    if setup.network is None:
        return warm
    mu, kappa = setup.network.multipliers(slots)
    return replace(warm, mu_eur_per_pu2=mu, kappa_eur_per_pu2=kappa)
