"""Bilateral trades with a fee on each pair, and the retailer for the rest, as a coupling block.

A participant's position is what it sells to others and to the retailer less what it buys::

    p_e = sum_f (t_ef - t_fe) + sell_e - buy_e,   t_ef >= 0 flows from e to f at fee_ef

The cost of positions is ``max -price * p`` over prices between the retailer's two that differ
between any two participants by no more than the fee of the trade between them. Its proximal step is
therefore the nearest point of that polyhedron of prices, and the trades are its multipliers.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from peergrid.polyhedron import Nearest, columns_of, nearest

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
ROUNDING = 1e-7  # of a price, relative to the dearest


@dataclass(frozen=True, kw_only=True, eq=False)
class Trades:
    """Who trades with whom over T hours, ``flow_kw[e, f]`` from e to f, ``(N, N, T)``."""

    flow_kw: Floats
    bought_kw: Floats
    sold_kw: Floats

    @property
    def net_kw(self) -> Floats:
        """What each sells to others less what it buys from them, ``(N, T)``."""
        return np.asarray(self.flow_kw.sum(axis=1) - self.flow_kw.sum(axis=0))

    def completed(self, position_kw: Floats) -> "Trades":
        """The same trades; the retailer covers what positions ``(N, T)`` leave."""
        rest = position_kw - self.net_kw
        return replace(self, bought_kw=np.maximum(-rest, 0.0), sold_kw=np.maximum(rest, 0.0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Exchange:
    """Coupling rows: the positions of N participants.

    Parameters
    ----------
    rows, offset_kw
        ``(N, A)`` and ``(N, T)``.
    fee_eur_per_kwh
        ``(N, N)`` on a kWh from row to column, not negative.
    price_import_eur_per_kwh, price_feed_in_eur_per_kwh
        ``(T,)``, feed-in at most import.
    dt_h
        Step length [h].
    size_kw
        ``(N,)`` typical position, for scaling.
    """

    rows: Floats
    offset_kw: Floats
    fee_eur_per_kwh: Floats
    price_import_eur_per_kwh: Floats
    price_feed_in_eur_per_kwh: Floats
    dt_h: float
    size_kw: Floats

    @cached_property
    def _pairs(self) -> tuple[Indices, Indices]:
        """Sellers and buyers of all pairs."""
        sellers, buyers = np.nonzero(~np.eye(len(self.size_kw), dtype=bool))
        return sellers, buyers

    @cached_property
    def _difference(self) -> Floats:
        """Rows ``price of buyer - price of seller``, one for each pair."""
        sellers, buyers = self._pairs
        rows = np.zeros((1, len(sellers), len(self.size_kw)))
        pair = np.arange(len(sellers))
        rows[0, pair, buyers], rows[0, pair, sellers] = 1.0, -1.0
        return rows

    @property
    def first_price(self) -> Floats:
        """Price of the rows before anything is known: everybody at the import price, ``(T,)``."""
        return -self.price_import_eur_per_kwh

    @cached_property
    def _columns(self) -> Indices:
        return columns_of(self._difference)

    def propose(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Floats:
        """Positions that prices, fees and the target agree on, ``(N, T)``."""
        price = self._prices(target_kw, weight_eur_per_kw2).x
        return np.asarray(target_kw + self.dt_h * price / weight_eur_per_kw2[:, None])

    def trades(self, target_kw: Floats, weight_eur_per_kw2: Floats) -> Trades:
        """The trades behind :meth:`propose`."""
        found = self._prices(target_kw, weight_eur_per_kw2)
        count, hours = target_kw.shape
        flow = np.zeros((count, count, hours))
        flow[self._pairs] = found.multiplier / self.dt_h
        return Trades(
            flow_kw=flow,
            bought_kw=found.ceiling_multiplier / self.dt_h,
            sold_kw=found.floor_multiplier / self.dt_h,
        )

    def _prices(self, target_kw: Floats, weight: Floats) -> Nearest:
        shape = target_kw.shape
        sellers, buyers = self._pairs
        fees = np.repeat(self.fee_eur_per_kwh[sellers, buyers][:, None], shape[1], axis=1)
        return nearest(
            -weight[:, None] * target_kw / self.dt_h,
            self.dt_h**2 / weight,
            self._difference,
            fees,
            np.broadcast_to(self.price_feed_in_eur_per_kwh, shape),
            np.broadcast_to(self.price_import_eur_per_kwh, shape),
            self._columns,
        )

    def cost(self, position_kw: Floats, trades: Trades) -> float:
        """What positions cost if these trades are made and the retailer covers the rest [EUR]."""
        traded = trades.net_kw - position_kw
        bought = self.price_import_eur_per_kwh * np.maximum(traded, 0.0)
        sold = self.price_feed_in_eur_per_kwh * np.maximum(-traded, 0.0)
        fees = (self.fee_eur_per_kwh[:, :, None] * trades.flow_kw).sum()
        return float(self.dt_h * ((bought - sold).sum() + fees))

    def support(self, price_eur_per_kwh: Floats) -> float:
        """Zero for prices that no trade can profit from, else minus infinity.

        ``price`` is that of the rows: minus what a kWh is worth to the participant.
        """
        worth = -price_eur_per_kwh
        rounding = ROUNDING * float(np.abs(self.price_import_eur_per_kwh).max())
        gain = worth[None, :, :] - worth[:, None, :] - self.fee_eur_per_kwh[:, :, None]
        inside = (worth <= self.price_import_eur_per_kwh + rounding) & (
            worth >= self.price_feed_in_eur_per_kwh - rounding
        )
        return 0.0 if bool(inside.all() and (gain <= rounding).all()) else -np.inf
