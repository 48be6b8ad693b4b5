"""A charge on losses that participants can act on: losses as a quadratic of what flows past them.

Branches with the same participants behind them form a *section*. With c the participants' active
injection behind it, the losses of the section are, up to a constant,

    R (c + b)^2,     R = sum_l r_l / (v_l^2 base)

and likewise with their reactive injection. In the simplest model b is what the feeder injects
itself behind the section. Here b is such that the slope ``2 R b`` is the exact one: what a kW (or
kvar) that flows in at the lower instead of the upper end of the section adds, by the adjoint of the
power flow without participants. So voltages and losses of losses count, and the model is exact to
first order there.
"""

import numpy as np
from numpy.typing import NDArray

from peergrid.envelopes.limits import Limits
from peergrid.market.trading import LossCharge
from peergrid.network.adjoint import adjoint, branch_state
from peergrid.units import kw_from_pu

Floats = NDArray[np.float64]


def loss_charge(limits: Limits, price_eur_per_kwh: float, *, reactive: bool = True) -> LossCharge:
    """The charge for N participants over T hours.

    Parameters
    ----------
    limits
        The operator's model of the feeder, with its load.
    price_eur_per_kwh
        What a kWh lost is charged.
    reactive
        Whether positions include reactive ones; if not, reactive power is nobody's business here.
    """
    feeder, volt = limits.feeder, limits.base.vm_pu[1:]
    patterns, member = sections(limits)
    resistance = feeder.r_pu[1:, None] / (volt**2 * kw_from_pu(1.0, feeder.base_mva))
    loss_per_kw = member @ resistance
    safe = np.where(loss_per_kw > 0.0, loss_per_kw, 1.0)
    slopes = [slope[1:] - slope[feeder.parent[1:]] for slope in loss_slopes(limits)]
    offsets = [member @ slope / (2.0 * safe) for slope in slopes]
    nothing = np.zeros_like(patterns)
    goods = 2 if reactive else 1
    return LossCharge(
        rows=np.block([[patterns, nothing], [nothing, patterns]]) if reactive else patterns,
        offset=np.concatenate(offsets[:goods]),
        loss_per_kw=np.concatenate([loss_per_kw] * goods),
        price_eur_per_kwh=price_eur_per_kwh,
    )


def sections(limits: Limits) -> tuple[Floats, Floats]:
    """Participants behind each section ``(S, N)``, and its branches ``(S, n - 1)``; 0 or 1."""
    behind = limits.model.D[1:, limits.at]
    patterns, section = np.unique(behind, axis=0, return_inverse=True)
    member = (section.reshape(-1)[None, :] == np.arange(len(patterns))[:, None]).astype(np.float64)
    used = patterns.any(axis=1)
    return patterns[used], member[used]


def loss_slopes(limits: Limits) -> tuple[Floats, Floats]:
    """What a kW and a kvar injected at each bus adds to the losses without participants, (n, T)."""
    found = adjoint(branch_state(limits.base), np.ones(limits.hours))
    slope, slope_q = 1.0 + found.p, found.q.copy()
    slope[0], slope_q[0] = 0.0, 0.0
    return slope, slope_q


def charged_loss_kw(charge: LossCharge, positions: Floats) -> Floats:
    """Losses ``(T,)`` that positions ``(X, T)`` add to those without participants [kW]."""
    flow = charge.rows @ positions + charge.offset
    return np.asarray((charge.loss_per_kw * (flow**2 - charge.offset**2)).sum(axis=0))


def charge_eur(charge: LossCharge, positions: Floats, dt_h: float) -> float:
    """What the market charges for positions ``(X, T)``, the constant part included [EUR]."""
    flow = charge.rows @ positions + charge.offset
    return float(dt_h * charge.price_eur_per_kwh * (charge.loss_per_kw * flow**2).sum())
