"""The costs of the households' programme, one function each; they add up.

Each is a table of costs [EUR], weighed with the probability of its scenario. Numbers in brackets
are equations of the paper named in :mod:`peergrid.market.stochastic_terms`.
"""

from collections.abc import Callable

import numpy as np

from peergrid.market.stochastic_problem import Households
from peergrid.market.stochastic_terms import cycle_power
from peergrid.milp.algebra import Algebra, Expression
from peergrid.milp.model import Variables

CostOf = Callable[[Households, Variables, Algebra], Expression]
# a cent per MWh; times probability and step it must be above the solver's tolerance of 1e-7
TRIFLE_EUR_PER_KWH = 1e-5


def retail(day: Households, x: Variables, of: Algebra) -> Expression:
    """What the community pays its retailer: (1). Local trade is a transfer between neighbours."""
    weight = np.tile(day.weight_h, (day.shape[0], 1))
    buying, selling = (
        weight * prices.reshape(1, -1)
        for prices in (day.price_import_eur_per_kwh, day.price_feed_in_eur_per_kwh)
    )
    return of.weigh(buying, x["buy"]) - of.weigh(selling, x["sell"])


def network_fee(day: Households, x: Variables, of: Algebra) -> Expression:
    """Fee on what neighbours trade; without it how much they trade is not determined."""
    fee = np.tile(day.fee_eur_per_kwh * day.weight_h, (day.shape[0], 1))
    return of.weigh(fee, x["buy_local"])


def nothing_twice(day: Households, x: Variables, of: Algebra) -> Expression:
    """A trifle on what is sold and on local trade, so that no tie is broken by doing both."""
    weight = np.tile(TRIFLE_EUR_PER_KWH * day.weight_h, (day.shape[0], 1))
    return of.weigh(weight, x["sell"]) + of.weigh(weight, x["buy_local"])


def running(day: Households, x: Variables, of: Algebra) -> Expression:
    """Fuel of plants."""
    return of.weigh(day.plants.linear_eur_per_kwh[:, day.step] * day.weight_h, x["plant"])


def cycling(day: Households, x: Variables, of: Algebra) -> Expression:
    """What appliances ask for drawing in an hour, or would give."""
    asked = day.appliances.linear_eur_per_kwh
    if asked is None or not asked.any():
        return of.weigh(np.zeros(x["buy"].shape), x["buy"])
    return of.weigh(-asked[:, day.step] * day.weight_h, cycle_power(day, x, of))


def storing(day: Households, x: Variables, of: Algebra) -> Expression:
    """Wear of stores, and what their owner asks for."""
    stores = day.stores
    wear, linear = stores.wear_eur_per_kwh[:, None], stores.linear_eur_per_kwh[:, day.step]
    into, out = (wear - linear) * day.weight_h, (wear + linear) * day.weight_h
    return of.weigh(into, x["charge"]) + of.weigh(out, x["discharge"])


def growing(day: Households, x: Variables, of: Algebra) -> Expression:
    """What grows with the power: wear at a high C-rate, discomfort, fuel."""
    if day.curves is None:
        return of.weigh(np.zeros(x["buy"].shape), x["buy"])
    weight = np.tile(day.weight_h, (len(day.curves.slope_eur_per_kwh), 1))
    return of.weigh(weight, x["curved"])


def shortfall(day: Households, x: Variables, of: Algebra) -> Expression:
    """Price of falling short of a promised energy; high enough that only need makes it happen."""
    weight = np.tile(day.weight_h / day.dt_h, (len(day.stores.names), 1))
    return of.weigh(day.shortfall_eur_per_kwh * weight, x["short"])


COSTS: tuple[CostOf, ...] = (
    retail,
    network_fee,
    nothing_twice,
    running,
    cycling,
    storing,
    growing,
    shortfall,
)
