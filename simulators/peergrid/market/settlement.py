"""Money: who pays what for one step, from cleared positions and metered injections.

Three layers, each budget-balanced by construction:

1. *Cleared positions*. What sellers and buyers of a pool have in common is traded between them at
   the local price; the rest goes to or comes from the retailer at its tariffs.
2. *Imbalance*. The pool's metered exchange differs from the cleared one; the retail bill changes
   by so and so much per kWh, and that single price is charged on every deviation.
3. *Losses and fees*. The extra retail bill for the losses is paid by the network operator or by
   the participants in proportion to the energy they moved; the network fee is charged on trades
   between neighbours, half to each side.

So the sum of all payments is the retailer's bill on realised meters plus the network fees.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Rule = Literal["mid-market", "marginal", "sdr"]
RULES: tuple[Rule, ...] = ("mid-market", "marginal", "sdr")


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The scenario's rules for money.

    Parameters
    ----------
    rule
        How the local price is set.
    losses_paid_by
        "operator" or "participants".
    network_fee_eur_per_kwh
        Fee on energy traded between neighbours.
    """

    rule: Rule = "mid-market"
    losses_paid_by: Literal["operator", "participants"] = "operator"
    network_fee_eur_per_kwh: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Hour:
    """What is to be settled, for N participants.

    Parameters
    ----------
    dt_h
        Step length [h].
    pool
        ``(N,)`` retail account of each participant.
    position_kw, metered_kw
        ``(N,)`` cleared and realised injection.
    theta_eur_per_kwh
        ``(G,)`` cleared marginal price of each pool.
    price_import_eur_per_kwh, price_feed_in_eur_per_kwh
        The retailer's tariffs.
    loss_kw
        Losses of the grid.
    trade_kw
        ``(N, N)`` cleared trades from row to column; None: pro rata of the positions.
    fee_eur_per_kwh
        ``(N, N)`` fee on each of them, on top of the network fee.
    fee_share
        What the network fee is for this good, relative to active power.
    """

    dt_h: float
    pool: Indices
    position_kw: Floats
    metered_kw: Floats
    theta_eur_per_kwh: Floats
    price_import_eur_per_kwh: float
    price_feed_in_eur_per_kwh: float
    loss_kw: float
    trade_kw: Floats | None = None
    fee_eur_per_kwh: Floats | None = None
    fee_share: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Settlement:
    """Result of settling one step; arrays are ``(N,)``, money in EUR, power in kW.

    ``cost_eur`` is what a participant pays (negative: receives); ``saving_eur`` how much less that
    is than with the same meter alone with the retailer (losses shared alike).
    """

    cost_eur: Floats
    saving_eur: Floats
    traded_kw: Floats
    trade_with_kw: Floats
    import_kw: Floats
    export_kw: Floats
    imbalance_kw: Floats
    p2p_price_eur_per_kwh: float
    traded_total_kw: float
    retailer_bill_eur: float
    network_fees_eur: float
    loss_cost_eur: float
    operator_cost_eur: float

    @property
    def off_balance_eur(self) -> float:
        """Payments less bill and fees: zero up to rounding."""
        paid = float(self.cost_eur.sum()) + self.operator_cost_eur
        return paid - self.retailer_bill_eur - self.network_fees_eur


def bill_eur(hour: Hour, import_kw: Floats | float) -> Floats:
    """Retail bill of an import: bought at the import price, sold at the feed-in tariff."""
    bought = hour.price_import_eur_per_kwh * np.maximum(import_kw, 0.0)
    sold = hour.price_feed_in_eur_per_kwh * np.maximum(-np.asarray(import_kw), 0.0)
    return np.asarray(hour.dt_h * (bought - sold))


def local_price(rule: Rule, hour: Hour, sold_kw: float, bought_kw: float, theta: float) -> float:
    """Price of trades between neighbours, always between feed-in tariff and import price.

    ``mid-market``: the mean of both tariffs. ``marginal``: the cleared marginal price. ``sdr``: the
    supply-demand ratio of Liu et al. 2017 (IEEE Trans. Power Systems 32(5), eq. 9): import price
    when nothing is offered, feed-in tariff from balance on.
    """
    high, low = hour.price_import_eur_per_kwh, hour.price_feed_in_eur_per_kwh
    if rule == "mid-market":
        return (high + low) / 2.0
    if rule == "marginal":
        return float(np.clip(theta, low, high))
    ratio = sold_kw / bought_kw if bought_kw > 0.0 else 1.0
    if ratio >= 1.0:
        return low
    if low <= 0.0:  # the published formula needs positive tariffs; its chord does not
        return high - (high - low) * ratio
    return low * high / ((high - low) * ratio + low)


def settle(hour: Hour, terms: Terms) -> Settlement:
    """Settle one step; see the module's text for the three layers."""
    count = len(hour.position_kw)
    cost = np.zeros(count)
    local = np.zeros(count)
    trade_with = np.zeros((count, count))
    retailer = float(bill_eur(hour, 0.0))
    price = np.nan
    for group in range(int(hour.pool.max(initial=-1)) + 1):
        members = np.flatnonzero(hour.pool == group)
        price = _settle_pool(hour, terms.rule, members, float(hour.theta_eur_per_kwh[group]), cost)
        local[members], trade_with[np.ix_(members, members)] = _traded(hour, members)
        retailer += _retail(hour, members, local[members])
    alone = bill_eur(hour, -hour.metered_kw)
    loss_cost = _loss_cost(hour)
    fees = _fees(hour, terms, local, trade_with)
    share = np.zeros(count)
    if terms.losses_paid_by == "participants":
        share = loss_cost * _moved_share(hour.metered_kw)
    cost = cost + fees + share
    traded_total = float(np.maximum(trade_with, 0.0).sum())
    return Settlement(
        cost_eur=cost,
        saving_eur=alone + share - cost,
        traded_kw=local,
        trade_with_kw=trade_with,
        import_kw=np.maximum(local - hour.metered_kw, 0.0),
        export_kw=np.maximum(hour.metered_kw - local, 0.0),
        imbalance_kw=hour.metered_kw - hour.position_kw,
        p2p_price_eur_per_kwh=price if traded_total > 0.0 else float("nan"),
        traded_total_kw=traded_total,
        retailer_bill_eur=retailer + loss_cost,
        network_fees_eur=float(fees.sum()),
        loss_cost_eur=loss_cost,
        operator_cost_eur=0.0 if share.any() else loss_cost,
    )


def _settle_pool(hour: Hour, rule: Rule, members: Indices, theta: float, cost: Floats) -> float:
    """Write what the members of one pool pay for positions and imbalance; return its price."""
    position, metered = hour.position_kw[members], hour.metered_kw[members]
    local, _ = _traded(hour, members)
    sold, bought = np.maximum(position, 0.0).sum(), np.maximum(-position, 0.0).sum()
    price = local_price(rule, hour, float(sold), float(bought), theta)
    rest = bill_eur(hour, local - position)
    imbalance = _imbalance_price(hour, -float(position.sum()), -float(metered.sum()))
    cost[members] = rest + hour.dt_h * (imbalance * (position - metered) - price * local)
    return price


def _retail(hour: Hour, members: Indices, local: Floats) -> float:
    """What the retailer is paid by a pool.

    For its metered exchange; with cleared trades, which may leave one member buying while another
    sells, for what each did not trade, and for the imbalance.
    """
    position, metered = hour.position_kw[members], hour.metered_kw[members]
    if hour.trade_kw is None:
        return float(bill_eur(hour, -metered.sum()))
    imbalance = _imbalance_price(hour, -float(position.sum()), -float(metered.sum()))
    untraded = float(bill_eur(hour, local - position).sum())
    return untraded + hour.dt_h * imbalance * float((position - metered).sum())


def _traded(hour: Hour, members: Indices) -> tuple[Floats, Floats]:
    """Local trade of each member of a pool (sold positive), and by partner."""
    if hour.trade_kw is None:
        return _trades(hour.position_kw[members])
    flow = hour.trade_kw[np.ix_(members, members)]
    by_partner = flow - flow.T
    return by_partner.sum(axis=1), by_partner


def _fees(hour: Hour, terms: Terms, local: Floats, trade_with: Floats) -> Floats:
    """Fees on trades between neighbours, half to each side."""
    fees = 0.5 * hour.fee_share * terms.network_fee_eur_per_kwh * hour.dt_h * np.abs(local)
    if hour.fee_eur_per_kwh is None:
        return np.asarray(fees)
    each = hour.fee_eur_per_kwh * np.maximum(trade_with, 0.0)
    return np.asarray(fees + 0.5 * hour.dt_h * (each.sum(axis=0) + each.sum(axis=1)))


def _trades(position_kw: Floats) -> tuple[Floats, Floats]:
    """Local trade of each participant (sold positive) and by partner, pro rata of positions."""
    sold, bought = np.maximum(position_kw, 0.0), np.maximum(-position_kw, 0.0)
    common = min(sold.sum(), bought.sum())
    if common <= 0.0:
        return np.zeros_like(position_kw), np.zeros((len(position_kw), len(position_kw)))
    sold, bought = sold * (common / sold.sum()), bought * (common / bought.sum())
    by_partner = (np.outer(sold, bought) - np.outer(bought, sold)) / common
    return sold - bought, by_partner


def _imbalance_price(hour: Hour, cleared_kw: float, realised_kw: float) -> float:
    """Change of the retail bill per kWh of deviation.

    It is the tariff at hand, or across zero the mean of both, weighted with the import and the
    export that the deviation spans.
    """
    bought = max(cleared_kw, realised_kw, 0.0)
    sold = max(-cleared_kw, -realised_kw, 0.0)
    if bought <= 0.0:
        return hour.price_feed_in_eur_per_kwh
    share = bought / (bought + sold)
    high, low = hour.price_import_eur_per_kwh, hour.price_feed_in_eur_per_kwh
    return share * high + (1.0 - share) * low


def _loss_cost(hour: Hour) -> float:
    """Extra retail bill caused by the losses; accounts of their own buy them at retail price."""
    if int(hour.pool.max(initial=0)) > 0:
        return float(bill_eur(hour, hour.loss_kw))
    exchange = -float(hour.metered_kw.sum())
    return float(bill_eur(hour, exchange + hour.loss_kw) - bill_eur(hour, exchange))


def _moved_share(metered_kw: Floats) -> Floats:
    moved = np.abs(metered_kw)
    total = moved.sum()
    return moved / total if total > 0.0 else np.full(len(moved), 1.0 / max(len(moved), 1))
