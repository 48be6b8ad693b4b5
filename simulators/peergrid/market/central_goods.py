"""What couples positions in the central programme: trades with fees, agreements, loss charges."""

from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray

from peergrid.market.agents import opened
from peergrid.market.blocks.balance import RetailBalance
from peergrid.market.blocks.exchange import Exchange
from peergrid.market.problem import Problem

Floats = NDArray[np.float64]


def balanced(good: RetailBalance | Exchange, rows: Any) -> tuple[Any, Any, list[Any]]:
    """Cost of a good, the constraint whose multiplier is its price, and all constraints.

    ``rows`` is the programme's variable of all the agents' rows, ``(A, T)``.
    """
    caused = good.rows @ rows + good.offset_kw
    bought, sold = cp.Variable(caused.shape, nonneg=True), cp.Variable(caused.shape, nonneg=True)
    cost = good.dt_h * cp.sum(
        bought @ good.price_import_eur_per_kwh - sold @ good.price_feed_in_eur_per_kwh
    )
    if isinstance(good, RetailBalance):
        balance = caused == bought - sold
        return cost, balance, [balance]
    sellers, buyers = np.nonzero(~np.eye(caused.shape[0], dtype=bool))
    if len(sellers) == 0:
        balance = caused == sold - bought
        return cost, balance, [balance]
    trades = cp.Variable((len(sellers), caused.shape[1]), nonneg=True)
    ends = np.zeros((caused.shape[0], len(sellers)))
    ends[sellers, np.arange(len(sellers))] = 1.0
    ends[buyers, np.arange(len(sellers))] -= 1.0
    balance = caused == ends @ trades + sold - bought
    fees = good.dt_h * cp.sum(good.fee_eur_per_kwh[sellers, buyers] @ trades)
    return cost + fees, balance, [balance]


def price_of(good: RetailBalance | Exchange, balance: Any) -> Floats:
    """Multiplier of a good's balance as a price [EUR/kWh]."""
    value = np.reshape(balance.dual_value, (len(good.rows), -1)) / good.dt_h
    return -value if isinstance(good, Exchange) else value


def agreed(problem: Problem, position: Any) -> list[Any]:
    """Boxes around positions ``(X, T)`` with their margins, which keep the operator's rows."""
    terms = problem.agreement
    if terms is None:
        return []
    count, steps = len(problem.pool), problem.firm_kw.shape[1]
    extent = cp.Variable(terms.margin.shape)
    constraints: list[Any] = []
    for side in range(len(terms.margin) // count):
        good, sign = side // 2, 1.0 if side % 2 == 0 else -1.0
        own = slice(side * count, (side + 1) * count)
        part = position[good * count : (good + 1) * count]
        constraints.append(sign * part + terms.margin[own] <= extent[own])
    for value, sign in ((terms.least, 1.0), (terms.most, -1.0)):
        known = np.isfinite(value)
        limit = np.where(known, sign * value, 0.0)
        constraints.append(cp.multiply(sign * known, extent) >= limit)
    for hour in range(steps):
        rows = np.isfinite(terms.limit[:, hour])
        if rows.any():
            demand = terms.demand[min(hour, len(terms.demand) - 1)][rows]
            constraints.append(demand @ extent[:, hour] <= terms.limit[rows, hour])
    return constraints


def loss_charge(problem: Problem, position: Any) -> Any:
    """What the operator charges for losses."""
    charge = problem.losses
    if charge is None or charge.price_eur_per_kwh == 0.0 or len(charge.rows) == 0:
        return 0.0
    flow = charge.rows @ position + charge.offset
    weight = np.sqrt(charge.price_eur_per_kwh * charge.loss_per_kw)
    return problem.dt_h * cp.sum_squares(cp.multiply(weight, flow))


def reactive_cost(problem: Problem, q: Any) -> Any:
    """What providing reactive power costs its owners."""
    own = opened(problem.agents).reactive
    linear = cp.sum(cp.multiply(own.cost_eur_per_kvarh[:, None], cp.abs(q)))
    root = np.sqrt(own.quadratic_eur_per_kvar2h)[:, None]
    return problem.dt_h * (linear + cp.sum_squares(cp.multiply(root, q)))
