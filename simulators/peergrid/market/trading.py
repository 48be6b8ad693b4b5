"""What a problem may say beyond balance and boxes: reactive trade, an agreement, a loss charge.

All of it is over *positions*, the participants' injections: the active ones of all N, and where
reactive power is traded too, the reactive ones after them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReactiveTrade:
    """Reactive power as a second good, traded and priced like the active one.

    Parameters
    ----------
    firm_kvar
        ``(N, T)`` reactive injection that nobody can change.
    price_import_eur_per_kvarh, price_feed_in_eur_per_kvarh
        ``(T,)`` what the network operator takes and pays, feed-in at most import.
    box_min_kvar, box_max_kvar
        ``(N, T)`` envelopes; infinite where there is none.
    fee_share
        Fee on a kvarh traded, relative to the one on a kWh.
    """

    firm_kvar: Floats
    price_import_eur_per_kvarh: Floats
    price_feed_in_eur_per_kvarh: Floats
    box_min_kvar: Floats
    box_max_kvar: Floats
    fee_share: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class PqLimits:
    """Envelopes over active and reactive power together: a convex polygon each.

    Parameters
    ----------
    p_kw, q_kvar
        ``(N, K, T)`` corners, counter-clockwise; corners may coincide.
    """

    p_kw: Floats
    q_kvar: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreement:
    """Envelopes that are agreed with the operator while the market clears (joint DFE).

    Whatever is cleared, with its margins, must fit into boxes whose extents (p_max, -p_min and
    with reactive trade q_max, -q_min, of all participants) keep the operator's rows.

    Parameters
    ----------
    demand
        ``(T, J, 2 X)`` rows over extents, not negative, X positions.
    limit
        ``(J, T)``.
    margin
        ``(2 X, T)`` by how much what happens may exceed what is cleared, to each side.
    least, most
        ``(2 X, T)`` extents granted in any case (negative: a commitment), and those of contracts.
    """

    demand: Floats
    limit: Floats
    margin: Floats
    least: Floats
    most: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class LossCharge:
    """Losses as the operator charges them: quadratic in the flows through S sections of the tree.

    Parameters
    ----------
    rows, offset
        ``(S, X)`` and ``(S, T)``: flow through each section [kW or kvar].
    loss_per_kw
        ``(S, T)`` losses per squared flow [kW/kW2].
    price_eur_per_kwh
        What a kWh lost is charged.
    """

    rows: Floats
    offset: Floats
    loss_per_kw: Floats
    price_eur_per_kwh: float
