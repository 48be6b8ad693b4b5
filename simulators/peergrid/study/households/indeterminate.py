"""How much neighbours may trade at one and the same cost: without a fee that is not determined."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from peergrid.market.stochastic import model_of
from peergrid.market.stochastic_costs import COSTS, TRIFLE_EUR_PER_KWH, nothing_twice
from peergrid.market.stochastic_network import COSTS as NETWORK_COSTS
from peergrid.market.stochastic_plan import Plan
from peergrid.milp.algebra import Algebra, Constraint, Expression
from peergrid.milp.model import Limits, Model, Variables
from peergrid.milp.solve import solve

SAME_EUR = 1e-6
LIMITS = Limits(gap=0.02, time_limit_s=60.0)


def traded_range_kwh(plan: Plan, limits: Limits = LIMITS) -> tuple[float, float]:
    """Least and most expected energy traded between neighbours at the cost of a plan.

    The first stage is kept, all powers may change, nobody buys and sells at once. The trifle by
    which a plan prefers the least is no cost. Both ends are plans that the solver found, so the
    true range is at least as wide.

    Parameters
    ----------
    plan
        Whose day, first stage and cost count.
    limits
        Of the two programmes.
    """
    model = model_of(plan.day, exclusive=True).fixed(plan.first_stage)
    trifle = TRIFLE_EUR_PER_KWH * plan.day.dt_h * plan.day.probability
    sold = (plan.sell_kw + plan.buy_local_kw).sum(axis=(0, 2))
    capped = partial(_costs_no_more, plan, plan.cost_eur - float(trifle @ sold) + SAME_EUR)
    least, most = (
        solve(
            Model(
                blocks=model.blocks,
                terms=[*model.terms, capped],
                costs=[partial(_traded_kwh, plan, sign)],
            ),
            limits,
        ).objective_eur
        for sign in (1.0, -1.0)
    )
    return least, -most


def _costs_no_more(plan: Plan, most_eur: float, x: Variables, of: Algebra) -> list[Constraint]:
    """The costs of a day, the trifle left out, are at most an amount."""
    costs = [cost for cost in (*COSTS, *NETWORK_COSTS) if cost is not nothing_twice]
    return [_summed([cost(plan.day, x, of) for cost in costs], of) <= most_eur]


def _traded_kwh(plan: Plan, sign: float, x: Variables, of: Algebra) -> Expression:
    """Expected energy bought from neighbours, as a cost."""
    weight = np.tile(sign * plan.day.weight_h, (plan.day.shape[0], 1))
    return of.weigh(weight, x["buy_local"])


def _summed(tables: Sequence[Expression], of: Algebra) -> Expression:
    """Sum of all entries of all tables, ``(1, 1)``."""
    sums = []
    for table in tables:
        rows, columns = table.shape
        if rows:
            sums.append(np.ones((1, rows * columns)) @ of.reshape(table, (rows * columns, 1)))
    total = sums[0]
    for one in sums[1:]:
        total = total + one
    return total
