"""From a problem to the iteration: coupling blocks, first iterate, limits to watch."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import ModelError
from peergrid.market import admm
from peergrid.market.blocks.ac_network import AcNetwork, no_watch
from peergrid.market.blocks.agreement import EnvelopeAgreement
from peergrid.market.blocks.balance import RetailBalance
from peergrid.market.blocks.envelope import EnvelopeBoxes
from peergrid.market.blocks.exchange import Exchange
from peergrid.market.blocks.inverter import Inverters
from peergrid.market.blocks.losses import ChargedLosses
from peergrid.market.blocks.polygon import EnvelopePolygons
from peergrid.market.coupling import Block, Coupling, Penalty, build
from peergrid.market.goods import (
    charged_losses,
    envelope_agreement,
    envelope_boxes,
    exchange,
    pq_limits,
    reactive_exchange,
    retail_balance,
)
from peergrid.market.problem import Problem

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
RHO_LINEAR = 0.45
RHO_CURVED = 0.017


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """A problem in the form that the iteration works on.

    Rows of the coupling: those of the agents, of ``blocks`` in their order, the balance's, and what
    the network watches.

    Parameters
    ----------
    problem, settings
        What is cleared, and how.
    balance
        Whom the community trades with: the retailer, and each other where trades have a fee.
    boxes, inverters
        Envelopes, and second proposals of resources with joint capability.
    polygons
        Envelopes over active and reactive power together; None where there are none.
    reactive, agreement, losses
        Reactive trade, negotiated envelopes, the charge on losses; None where there is none.
    network
        The exact network; None where the grid is not asked.
    coupling
        All of it stacked.
    certify
        Whether the lower bound is asked for.
    """

    problem: Problem
    settings: admm.Settings
    balance: RetailBalance | Exchange
    boxes: EnvelopeBoxes
    inverters: Inverters
    polygons: EnvelopePolygons | None
    reactive: RetailBalance | Exchange | None
    agreement: EnvelopeAgreement | None
    losses: ChargedLosses | None
    network: AcNetwork | None
    coupling: Coupling
    certify: bool

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Linear blocks in the order of their rows, the balance excepted."""
        found = (self.boxes, self.inverters, self.polygons)
        goods = (self.agreement, self.losses, self.reactive)
        return tuple(block for block in (*found, *goods) if block is not None)

    def rows_of(self, block: Block) -> slice:
        """Rows of a block."""
        first = self.coupling.agents
        for found in (*self.blocks, self.balance):
            if found is block:
                break
            first += len(found.rows)
        return slice(first, first + len(block.rows))

    @property
    def balance_rows(self) -> slice:
        """Rows of the balance; what the network watches comes after them."""
        return self.rows_of(self.balance)


def set_up(problem: Problem, settings: admm.Settings, *, certify: bool) -> Setup:
    """Coupling blocks and metric of a problem."""
    balance = exchange(problem) or retail_balance(problem)
    boxes, inverters = envelope_boxes(problem), problem.agents.inverters()
    polygons = pq_limits(problem)
    more = (envelope_agreement(problem), charged_losses(problem), reactive_exchange(problem))
    network = None if problem.grid is None else _network(problem, balance)
    found = (boxes, inverters, polygons, *more, balance if network is None else None)
    blocks = tuple(block for block in found if block is not None)
    settings = scaled(settings, balance)
    return Setup(
        problem=problem,
        settings=settings,
        balance=balance,
        boxes=boxes,
        inverters=inverters,
        polygons=polygons,
        agreement=more[0],
        losses=more[1],
        reactive=more[2],
        network=network,
        coupling=couple(problem, settings, blocks, network),
        certify=certify,
    )


def scaled(settings: admm.Settings, balance: RetailBalance | Exchange) -> admm.Settings:
    """The settings with what is relative to the community and its prices filled in."""
    dearest = float(np.abs(balance.price_import_eur_per_kwh).max()) or 1.0
    unit = settings.price_unit_eur_per_kwh or dearest
    sizes = balance.size_kw
    size_kw = float(sizes.max() if isinstance(balance, RetailBalance) else sizes.sum())
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


def couple(
    problem: Problem,
    settings: admm.Settings,
    blocks: tuple[Block, ...],
    network: AcNetwork | None,
) -> Coupling:
    unit = rho_of(settings, network) * settings.price_unit_eur_per_kwh * problem.dt_h
    penalty = Penalty(unit_eur_per_kw=unit, share=settings.coupling_share)
    return build(problem.agents.row_size_kw, blocks, penalty, network)


def _network(problem: Problem, balance: RetailBalance | Exchange) -> AcNetwork:
    """The exact network under a problem, nothing watched yet."""
    grid, agents = problem.grid, problem.agents
    if grid is None or isinstance(balance, Exchange):
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


def rebalance(setup: Setup, state: admm.State) -> tuple[Setup, admm.State]:
    """Residual balancing: other penalties where one residual lags far behind the other."""
    factor = admm.balance_factor(state, setup.settings)
    if factor == 1.0:
        return setup, state
    rho = factor * rho_of(setup.settings, setup.network)
    settings = replace(setup.settings, rho=rho)
    coupled = couple(setup.problem, settings, setup.coupling.blocks, setup.network)
    changed = replace(setup, settings=settings, coupling=coupled)
    return changed, admm.rebalanced(state, factor)
