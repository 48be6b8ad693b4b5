"""A charge on losses as a coupling block: quadratic in the flows through sections of the tree."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ChargedLosses:
    """Coupling rows: the flow through each section.

    Parameters
    ----------
    rows, offset_kw
        ``(S, A)`` and ``(S, T)``.
    size_kw
        ``(S,)`` typical flow, for scaling.
    cost_eur_per_kw2h
        ``(S, T)`` charge per squared flow and hour.
    dt_h
        Step length [h].
    """

    rows: Floats
    offset_kw: Floats
    size_kw: Floats
    cost_eur_per_kw2h: Floats
    dt_h: float

    def propose(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Floats:
        """Flow that target and charge agree on."""
        weight = weight_eur_per_kw2[:, None]
        return np.asarray(weight * target_kw / (weight + 2.0 * self.dt_h * self.cost_eur_per_kw2h))

    def cost(self, flow_kw: Floats) -> float:
        """Charge on flows ``(S, T)`` [EUR]."""
        return float(self.dt_h * (self.cost_eur_per_kw2h * flow_kw**2).sum())

    def support(self, price_eur_per_kwh: Floats) -> float:
        """Least of charge minus ``price * flow`` [EUR/h]."""
        bend = self.cost_eur_per_kw2h
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.where(price_eur_per_kwh == 0.0, 0.0, price_eur_per_kwh**2 / (4.0 * bend))
        return -float(value.sum())
