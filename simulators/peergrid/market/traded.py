"""What an iterate says about trades: who trades what with whom, and what it costs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.market import admm
from peergrid.market.blocks.balance import RetailBalance
from peergrid.market.blocks.exchange import Exchange, Trades
from peergrid.market.setup import Setup

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Traded:
    """Costs and trades of an iterate.

    Parameters
    ----------
    cost_eur
        Retail bills, fees and the charge on losses; without the balance where the network is.
    active, reactive
        Trades where they have a fee; None where nobody asks who trades with whom.
    worth_of_rows
        ``(J, T)`` multipliers of the operator's rows [EUR/h per unit of the row], None without.
    excess_kw
        By how much what is cleared needs more than the negotiated extents, at most.
    """

    cost_eur: float
    active: Trades | None
    reactive: Trades | None
    worth_of_rows: Floats | None
    excess_kw: float = 0.0


def traded(setup: Setup, state: admm.State, proposal: Floats) -> Traded:
    """Trades and costs at the agents' last proposals ``(A, T)``."""
    cost, found = 0.0, []
    for good in (setup.balance if setup.network is None else None, setup.reactive):
        trades = None
        if isinstance(good, Exchange):
            position = good.rows @ proposal + good.offset_kw
            trades = good.trades(*_asked(setup, state, good)).completed(position)
            cost += good.cost(position, trades)
        elif isinstance(good, RetailBalance):
            cost += good.cost(good.rows @ proposal + good.offset_kw)
        found.append(trades)
    if setup.losses is not None:
        cost += setup.losses.cost(setup.losses.rows @ proposal + setup.losses.offset_kw)
    worth, excess = None, 0.0
    if setup.agreement is not None:
        target, weight = _asked(setup, state, setup.agreement)
        met = setup.agreement.met(setup.agreement.wanted(target), weight)
        worth = met.multiplier / setup.problem.dt_h
        caused = setup.agreement.rows @ proposal + setup.agreement.offset_kw
        over = setup.agreement.wanted(caused) - met.x
        excess = float(np.maximum(over, 0.0).max(initial=0.0))
    return Traded(
        cost_eur=cost, active=found[0], reactive=found[1], worth_of_rows=worth, excess_kw=excess
    )


def _asked(setup: Setup, state: admm.State, block: object) -> tuple[Floats, Floats]:
    """What a block was asked last, and its weights."""
    rows = setup.rows_of(block)  # type: ignore[arg-type]
    return state.asked[rows], setup.coupling.weight[rows]
