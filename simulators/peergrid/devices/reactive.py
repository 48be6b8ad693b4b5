"""Reactive power on offer: inside the rating of an inverter or machine, or in a stated range."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ReactiveOffers:
    """What n devices offer, one entry each.

    Parameters
    ----------
    kva
        Apparent power: ``p^2 + q^2 <= kva^2``, unless a range is stated.
    q_min_kvar, q_max_kvar
        Range that is there whatever the active power, instead of the disc; NaN: none is stated.
    cost_eur_per_kvarh, cost_eur_per_kvar2h
        Cost of an hour at q kvar: ``cost_eur_per_kvarh |q| + cost_eur_per_kvar2h q^2``.
    """

    kva: Floats
    q_min_kvar: Floats
    q_max_kvar: Floats
    cost_eur_per_kvarh: Floats
    cost_eur_per_kvar2h: Floats

    @property
    def is_range(self) -> NDArray[np.bool_]:
        """Which devices state a range, ``(n,)``."""
        return ~np.isnan(self.q_min_kvar)

    def follow(self, q_set_kvar: Floats, p_kw: Floats) -> Floats:
        """Reactive injection nearest to the set-points (NaN: none is asked for), ``(n,)`` [kvar].

        >>> two = ReactiveOffers(
        ...     kva=np.full(2, 5.0), q_min_kvar=np.array([np.nan, -2.0]),
        ...     q_max_kvar=np.array([np.nan, 1.0]), cost_eur_per_kvarh=np.zeros(2),
        ...     cost_eur_per_kvar2h=np.zeros(2))
        >>> two.follow(np.array([9.0, -9.0]), np.array([3.0, 3.0])).tolist()
        [4.0, -2.0]
        """
        disc = in_disc(q_set_kvar, p_kw, self.kva)
        ranged = np.clip(np.nan_to_num(q_set_kvar), self.q_min_kvar, self.q_max_kvar)
        return np.where(self.is_range, ranged, disc)

    def on_wire(self) -> list[dict[str, object]]:
        """Part ``q`` of the messages."""
        rows = zip(
            self.is_range.tolist(),
            self.kva.tolist(),
            self.q_min_kvar.tolist(),
            self.q_max_kvar.tolist(),
            self.cost_eur_per_kvarh.tolist(),
            self.cost_eur_per_kvar2h.tolist(),
            strict=True,
        )
        return [
            ({"box": [low, high]} if is_range else {"disc_kva": kva})
            | {key: cost for key, cost in (("cost", linear), ("quadratic", square)) if cost}
            for is_range, kva, low, high, linear, square in rows
        ]


def in_disc(q_set_kvar: Floats, p_kw: Floats, kva: Floats) -> Floats:
    """Reactive injection ``|q| <= sqrt(kva^2 - p^2)`` nearest to the set-point, ``(n,)`` [kvar].

    NaN set-points mean unity power factor.

    >>> in_disc(np.array([9.0, np.nan]), np.array([3.0, 3.0]), np.array([5.0, 5.0])).tolist()
    [4.0, 0.0]
    """
    most = np.sqrt(np.maximum(kva**2 - p_kw**2, 0.0))
    return np.asarray(np.clip(np.nan_to_num(q_set_kvar), -most, most))
