"""Envelopes as a coupling block: each participant's injections stay inside its box."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class EnvelopeBoxes:
    """Coupling rows ``total = rows @ p + offset``, one per position that resources move.

    Parameters
    ----------
    rows
        ``(E, R)``: 1 where a resource belongs to the participant.
    offset_kw
        ``(E, T)``: the participant's fixed injection.
    p_min_kw, p_max_kw
        ``(E, T)`` the envelope; infinite entries are no limit.
    size_kw
        ``(E,)`` typical injection, for scaling.
    position
        ``(E,)`` which position each row is: a participant, or with reactive trade N more.
    """

    rows: Floats
    offset_kw: Floats
    p_min_kw: Floats
    p_max_kw: Floats
    size_kw: Floats
    position: NDArray[np.int64]

    def propose(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Floats:
        """The nearest total inside the box; the weight does not matter."""
        return np.clip(target_kw, self.p_min_kw, self.p_max_kw)

    def violation_kw(self, total_kw: Floats) -> float:
        """By how much totals ``(E, T)`` leave their boxes at most."""
        outside = np.maximum(total_kw - self.p_max_kw, self.p_min_kw - total_kw)
        return float(max(outside.max(initial=0.0), 0.0))

    def support(self, price_eur_per_kwh: Floats) -> float:
        """Least of ``-price * total`` over the box [EUR per h]."""
        at_edge = np.where(price_eur_per_kwh > 0.0, self.p_max_kw, self.p_min_kw)
        with np.errstate(invalid="ignore"):
            priced = np.where(price_eur_per_kwh == 0.0, 0.0, price_eur_per_kwh * at_edge)
        return float(-priced.sum())
