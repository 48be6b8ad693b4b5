"""What a storage can still reach: bounds on its energy that some schedule always keeps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class EnergyBounds:
    """Bounds that a schedule exists for; entry 0 is now.

    Parameters
    ----------
    low_kwh
        ``(n, H+1)``: least energy from which every later wish can still be met by full charging.
    top_kwh
        ``(n, H+1)``: energy when charging as much as possible from now on.
    demand_kwh
        ``(n, H)``: what is drawn off; less than asked where even ``top_kwh`` does not hold it.
    """

    low_kwh: Floats
    top_kwh: Floats
    demand_kwh: Floats


def feasible_energy_bounds(
    e_now_kwh: Floats,
    e_min_kwh: Floats,
    capacity_kwh: Floats,
    charge_kwh: Floats,
    demand_kwh: Floats,
) -> EnergyBounds:
    """Cut wished least energies to what is reachable, and carry them back through time.

    With ``x[t]`` the energy stored in step t, ``x <= charge``, and
    ``e[t+1] = e[t] + x[t] - demand[t]``:

    * forward, ``top[t+1] = min(top[t] + charge[t], capacity) - demand[t]``, where the demand is at
      most what is there;
    * backward, ``low[t] = max(min(wish[t], top[t]), low[t+1] - charge[t] + demand[t])``.

    So ``low <= top <= capacity``, and from any ``e[t] >= low[t]`` a charge ``x[t]`` leads to
    ``e[t+1] >= low[t+1]``: the forward and backward reachable sets of a linear system in one
    dimension (Blanchini and Miani, Set-Theoretic Methods in Control, 2015).

    Parameters
    ----------
    e_now_kwh
        ``(n,)``, between zero and the capacity.
    capacity_kwh
        ``(n,)``, or ``(n, H+1)`` where it changes with time; it must not fall.
    e_min_kwh
        Wishes, ``(n, H+1)``; entry t is the instant at the start of step t.
    charge_kwh
        Largest energy that can be stored in each step, ``(n, H)``.
    demand_kwh
        Drawn off at the end of each step, ``(n, H)``.

    Examples
    --------
    Full at the end is out of reach: 2 + 3 + 3 = 8 of 10 kWh.

    >>> wish = np.array([[0.0, 0.0, 10.0]])
    >>> bounds = feasible_energy_bounds(np.array([2.0]), wish, np.array([10.0]),
    ...                                 np.full((1, 2), 3.0), np.zeros((1, 2)))
    >>> bounds.low_kwh.tolist(), bounds.top_kwh.tolist()
    ([[2.0, 5.0, 8.0]], [[2.0, 5.0, 8.0]])
    """
    steps = charge_kwh.shape[1]
    charge, demand = np.ascontiguousarray(charge_kwh.T), demand_kwh.T.copy()
    top = np.empty((steps + 1, len(e_now_kwh)))
    limit = np.broadcast_to(capacity_kwh.T, top.shape)
    top[0] = e_now_kwh
    for t in range(steps):
        full = np.minimum(top[t] + charge[t], limit[t + 1])
        np.minimum(demand[t], full, out=demand[t])
        np.subtract(full, demand[t], out=top[t + 1])
    low = np.minimum(e_min_kwh.T, top)
    carry(low, charge - demand)
    return EnergyBounds(low_kwh=low.T, top_kwh=top.T, demand_kwh=demand.T)


def carry(low_kwh: Floats, gain_kwh: Floats) -> None:
    """In place ``low[t] = max(low[t], low[t+1] - gain[t])``; ``(H+1, n)`` and ``(H, n)``."""
    for t in range(len(gain_kwh) - 1, -1, -1):
        np.maximum(low_kwh[t], low_kwh[t + 1] - gain_kwh[t], out=low_kwh[t])


def required_energy(
    e_min_kwh: Floats, capacity_kwh: Floats, charge_kwh: Floats, demand_kwh: Floats
) -> Floats:
    """Least energy at each instant from which all wishes after it can be met, ``(n, T+1)`` [kWh].

    The backward half of :func:`feasible_energy_bounds`, before the state is known: no more than
    the capacity is ever required, so a wish behind a demand that no full storage serves is cut.
    """
    low = np.ascontiguousarray(np.minimum(e_min_kwh, capacity_kwh[:, None]).T)
    gain = np.ascontiguousarray((charge_kwh - demand_kwh).T)
    for t in range(len(gain) - 1, -1, -1):
        np.maximum(low[t], low[t + 1] - gain[t], out=low[t])
        np.minimum(low[t], capacity_kwh, out=low[t])
    return np.ascontiguousarray(low.T)


RATED_WEAR_EUR_PER_KWH = 0.01
"""What a kWh costs more at rated power than at a trickle (assumed): cells age faster at a high
C-rate, and converters lose with the square of the current."""


def storage_cost(
    wear_eur_per_kwh: float, rated_kw: float, rise_eur_per_kwh: float = RATED_WEAR_EUR_PER_KWH
) -> dict[str, float]:
    """Cost part of a storage's message: wear per kWh, rising in proportion to the power.

    ``rise_eur_per_kwh``: what a kWh costs more at rated power than at a trickle.

    >>> storage_cost(0.005, 10.0)
    {'wear': 0.005, 'quadratic': 0.001}
    """
    return {"wear": wear_eur_per_kwh, "quadratic": rise_eur_per_kwh / max(rated_kw, 1e-3)}
