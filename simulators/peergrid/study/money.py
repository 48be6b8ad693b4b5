"""Who pays what in a day of trades with fees: retail bills, trades, fees, own costs.

A trade settles half way between what a kWh is worth to its two sides at the margin; each pays half
the fee. So nobody is worse off with a trade than without it, and payments for trades cancel.
Reactive trades, worth little, settle in the middle of the operator's two prices.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.market.agents import opened
from peergrid.market.blocks.exchange import Trades
from peergrid.market.problem import Problem
from peergrid.market.result import Clearing

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Money:
    """What each of N communities pays over the day, each ``(N,)`` [EUR].

    Parameters
    ----------
    own_eur
        Costs of its own resources.
    retail_eur
        Bills of the retailer, for both goods.
    trades_eur
        For what it buys from others, less what it gets for what it sells; adds up to zero.
    fees_eur
        Its halves of the fees.
    """

    own_eur: Floats
    retail_eur: Floats
    trades_eur: Floats
    fees_eur: Floats

    @property
    def paid_eur(self) -> Floats:
        """Payments to retailer, other communities and operator."""
        return np.asarray(self.retail_eur + self.trades_eur + self.fees_eur)

    @property
    def total_eur(self) -> Floats:
        """Payments and own costs."""
        return np.asarray(self.own_eur + self.paid_eur)


def money(problem: Problem, found: Clearing) -> Money:
    """Split the cost of a clearing."""
    agents = opened(problem.agents)
    own = np.zeros(len(problem.pool))
    costs = agents.cost(found.schedule_kw) + agents.reactive_cost(found.schedule_kvar)
    np.add.at(own, problem.owner, costs)
    energy = found.price_eur_per_kwh - found.loss_price_eur_per_kwh - found.congestion_eur_per_kwh
    tariffs = problem.price_import_eur_per_kwh, problem.price_feed_in_eur_per_kwh
    fee = problem.fee_eur_per_kwh
    parts = [_good(found.position_kw, found.trades, tariffs, energy, fee)]
    trade = problem.reactive
    if trade is not None:
        tariffs = trade.price_import_eur_per_kvarh, trade.price_feed_in_eur_per_kvarh
        middle = np.broadcast_to((tariffs[0] + tariffs[1]) / 2.0, found.position_kvar.shape)
        fee = None if fee is None else trade.fee_share * fee
        parts.append(_good(found.position_kvar, found.reactive_trades, tariffs, middle, fee))
    retail, traded, fees = (problem.dt_h * sum(part) for part in zip(*parts, strict=True))
    return Money(own_eur=own, retail_eur=retail, trades_eur=traded, fees_eur=fees)


def rest_kw(position: Floats, trades: Trades | None) -> Floats:
    """What the retailer supplies beyond trades, ``(N, T)``: bought positive [kW or kvar]."""
    if trades is None:
        return -position
    return np.asarray(trades.flow_kw.sum(axis=1) - trades.flow_kw.sum(axis=0) - position)


def _good(
    position: Floats,
    trades: Trades | None,
    tariffs: tuple[Floats, Floats],
    worth: Floats,
    fee: Floats | None,
) -> tuple[Floats, Floats, Floats]:
    """Retail bill, payments for trades and fees of one good, each ``(N,)`` [EUR/h]."""
    rest = rest_kw(position, trades)
    bill = (tariffs[0] * np.maximum(rest, 0.0) - tariffs[1] * np.maximum(-rest, 0.0)).sum(axis=1)
    nothing = np.zeros(len(position))
    if trades is None or fee is None:
        return bill, nothing, nothing
    price = (worth[:, None, :] + worth[None, :, :]) / 2.0
    value = (price * trades.flow_kw).sum(axis=2)
    charged = (fee[:, :, None] * trades.flow_kw).sum(axis=2)
    fees = (charged.sum(axis=0) + charged.sum(axis=1)) / 2.0
    return bill, value.sum(axis=0) - value.sum(axis=1), fees
