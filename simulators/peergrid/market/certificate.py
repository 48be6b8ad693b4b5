"""A lower bound on the cost of any schedule, from prices and dual values alone.

For prices theta of the balances and mu of the boxes, minimising the Lagrangian splits into the
agents' own problems at the price ``theta - mu`` they are paid, the retail tariffs and the boxes;
the sum of the minima bounds the cost from below (weak duality), however far the iteration got.
No private data is needed: agents report one number each.
"""

import numpy as np
from numpy.typing import NDArray

from peergrid.market.blocks.balance import RetailBalance
from peergrid.market.blocks.envelope import EnvelopeBoxes
from peergrid.market.participant import Agents

Floats = NDArray[np.float64]


def lower_bound_eur(
    agents: Agents,
    balance: RetailBalance,
    boxes: EnvelopeBoxes,
    theta: Floats,
    mu: Floats,
    dt_h: float,
) -> float:
    """Dual value of the clearing [EUR].

    Parameters
    ----------
    agents, balance, boxes
        The parts of the problem.
    theta
        ``(G, T)`` price of each pool's balance [EUR/kWh].
    mu
        ``(E, T)`` multiplier of each box; the sign tells the side [EUR/kWh].
    dt_h
        Step length [h].
    """
    paid = -(balance.rows.T @ theta) - boxes.rows.T @ mu
    value = float(agents.best_value(paid).sum())
    value += dt_h * balance.support(theta)
    value += dt_h * boxes.support(mu)
    value += dt_h * float((theta * balance.offset_kw).sum() + (mu * boxes.offset_kw).sum())
    return value
