"""Energies that stores can have, scenario by scenario."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.market.stochastic_problem import Households, Stores

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reach:
    """Energies of B stores at the end of each step, ``(B, S, T)`` each [kWh].

    Parameters
    ----------
    most, least
        What each store can hold, alone and knowing the scenario.
    lower, upper
        Bounds that can always be kept: zero and the store's most, wider only where demand or
        forced power leave no choice (a tour for which a late vehicle lacks the energy).
    """

    most: Floats
    least: Floats
    lower: Floats
    upper: Floats


def reach(day: Households) -> Reach:
    """Follow each store at its fullest and at its emptiest."""
    stores = day.stores
    found = np.empty((4, *stores.e_min_kwh.shape))
    most = least = np.repeat(stores.e_now_kwh[:, None], stores.e_min_kwh.shape[1], axis=1)
    for t in range(stores.e_min_kwh.shape[2]):
        rise, fall = _change(stores, t, day.dt_h)
        most, least = stores.keep[:, None] * most + rise, stores.keep[:, None] * least + fall
        lower = np.minimum(np.minimum(stores.e_min_kwh[..., t], 0.0), most)
        upper = np.maximum(stores.e_max_kwh[..., t], least)
        most, least = np.minimum(most, upper), np.maximum(least, lower)
        found[..., t] = most, least, lower, upper
    return Reach(most=found[0], least=found[1], lower=found[2], upper=found[3])


def _change(stores: Stores, t: int, dt_h: float) -> tuple[Floats, Floats]:
    """Largest and smallest change of energy in a step, ``(B, S)`` each."""
    into = dt_h * stores.eta_charge[:, t, None] * stores.charge_kw[..., t]
    out = dt_h / stores.eta_discharge[:, t, None] * stores.discharge_kw[..., t]
    demand = stores.demand_kwh[..., t]
    return into[1] - out[0] - demand, into[0] - out[1] - demand
