"""The community's balance with its retailer: what neighbours do not cover is bought or sold.

A pool is a set of participants behind one retail account: the whole community when neighbours
trade, every participant alone when they do not. The pool's import is
``g = -(sum of its injections)``; it costs the import price when positive and earns the feed-in
tariff when negative.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RetailBalance:
    """Coupling rows ``g = rows @ p + offset``, one per pool.

    Parameters
    ----------
    rows
        ``(G, R)``: -1 where a resource belongs to the pool.
    offset_kw
        ``(G, T)``: import that the pool's fixed loads and generation cause.
    price_import_eur_per_kwh, price_feed_in_eur_per_kwh
        ``(T,)``, feed-in at most import.
    dt_h
        Step length [h].
    size_kw
        ``(G,)`` typical import, for scaling.
    """

    rows: Floats
    offset_kw: Floats
    price_import_eur_per_kwh: Floats
    price_feed_in_eur_per_kwh: Floats
    dt_h: float
    size_kw: Floats

    @property
    def first_price(self) -> Floats:
        """Price of the rows before anything is known: everybody at the import price, ``(T,)``."""
        return self.price_import_eur_per_kwh

    def propose(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Floats:
        """Import that the retailer's two prices and the target agree on, ``(G, T)``.

        Least of ``dt_h (import g+ - feed_in g-) + weight / 2 (g - target)^2``.
        """
        weight = weight_eur_per_kw2[:, None]
        buying = target_kw - self.dt_h * self.price_import_eur_per_kwh / weight
        selling = target_kw - self.dt_h * self.price_feed_in_eur_per_kwh / weight
        return np.maximum(buying, 0.0) + np.minimum(selling, 0.0)

    def cost(self, import_kw: Floats) -> float:
        """Retail bill of an import ``(G, T)`` [EUR]."""
        bought = self.price_import_eur_per_kwh * np.maximum(import_kw, 0.0)
        sold = self.price_feed_in_eur_per_kwh * np.maximum(-import_kw, 0.0)
        return float(self.dt_h * (bought - sold).sum())

    def support(self, price_eur_per_kwh: Floats) -> float:
        """Least of the retail bill minus ``price * g``: zero for prices between the tariffs."""
        rounding = 1e-9 * float(np.abs(self.price_import_eur_per_kwh).max())
        inside = (price_eur_per_kwh <= self.price_import_eur_per_kwh + rounding) & (
            price_eur_per_kwh >= self.price_feed_in_eur_per_kwh - rounding
        )
        return 0.0 if bool(inside.all()) else -np.inf
