"""Batteries: the recursion of the stored energy, and what they can do next."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import compose
from peergrid.devices.site import Room
from peergrid.devices.storage import (
    RATED_WEAR_EUR_PER_KWH,
    feasible_energy_bounds,
    storage_cost,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Batteries:
    """n batteries, one entry each.

    Parameters
    ----------
    capacity_kwh, p_max_kw
        Usable energy; largest charging and discharging power at the grid side.
    eta_charge, eta_discharge
        Efficiencies of the two directions.
    soc_min, soc_end
        Shares of the capacity: never below the first; at the end of each horizon at least the
        second (NaN: no wish).
    wear_eur_per_kwh, wear_rise_eur_per_kwh
        Per kWh charged and per kWh discharged; how much more at rated power than at a trickle.
    """

    capacity_kwh: Floats
    p_max_kw: Floats
    eta_charge: Floats
    eta_discharge: Floats
    soc_min: Floats
    soc_end: Floats
    wear_eur_per_kwh: Floats
    wear_rise_eur_per_kwh: Floats | float = RATED_WEAR_EUR_PER_KWH


def stored_kwh(p_kw: Floats, eta_charge: Floats, eta_discharge: Floats, dt_h: float) -> Floats:
    """Energy a step of injection ``p_kw`` adds to the storage (negative: takes), [kWh].

    >>> stored_kwh(np.array([-10.0, 9.0]), np.full(2, 0.9), np.full(2, 0.9), 1.0).tolist()
    [9.0, -10.0]
    """
    charge, discharge = np.maximum(-p_kw, 0.0), np.maximum(p_kw, 0.0)
    return np.asarray((eta_charge * charge - discharge / eta_discharge) * dt_h)


def power_range(batteries: Batteries, e_kwh: Floats, dt_h: float) -> tuple[Floats, Floats]:
    """Smallest and largest injection of the coming step, ``(n,)`` each [kW].

    >>> one = Batteries(capacity_kwh=np.array([10.0]), p_max_kw=np.array([5.0]),
    ...     eta_charge=np.array([1.0]), eta_discharge=np.array([0.5]), soc_min=np.array([0.1]),
    ...     soc_end=np.array([np.nan]), wear_eur_per_kwh=np.zeros(1))
    >>> power_range(one, np.array([8.0]), 1.0)
    (array([-2.]), array([3.5]))
    """
    to_fill = (batteries.capacity_kwh - e_kwh) / (batteries.eta_charge * dt_h)
    to_empty = (e_kwh - batteries.soc_min * batteries.capacity_kwh) * batteries.eta_discharge / dt_h
    low = -np.minimum(np.maximum(to_fill, 0.0), batteries.p_max_kw)
    high = np.minimum(np.maximum(to_empty, 0.0), batteries.p_max_kw)
    return np.asarray(low), np.asarray(high)


def follow(
    batteries: Batteries, e_kwh: Floats, p_set_kw: Floats, room: Room, dt_h: float
) -> tuple[Floats, Floats]:
    """One step: injection [kW] and energy at its end [kWh], ``(n,)`` each.

    ``e' = e + (eta_c charge - discharge / eta_d) dt``. The set-point (NaN: stand still) is cut to
    the room of the connection point, then to what power and energy allow.
    """
    low, high = power_range(batteries, e_kwh, dt_h)
    least, most = room.within(low, high)
    p_kw = np.clip(np.nan_to_num(p_set_kw), least, most)
    change = stored_kwh(p_kw, batteries.eta_charge, batteries.eta_discharge, dt_h)
    floor = np.minimum(e_kwh, batteries.soc_min * batteries.capacity_kwh)
    return p_kw, np.clip(e_kwh + change, floor, batteries.capacity_kwh)


def messages(
    batteries: Batteries, e_kwh: Floats, *, steps: int, t0_s: float, dt_s: float, dt_h: float
) -> list[dict[str, Any]]:
    """Flexibility over ``steps`` steps from the energy ``e_kwh`` on, ``(n,)`` [kWh].

    The wished energy at the end is asked for as far as charging reaches it, so some schedule
    always keeps the message.
    """
    capacity, power = batteries.capacity_kwh, batteries.p_max_kw
    wish = np.repeat((batteries.soc_min * capacity)[:, None], steps + 1, axis=1)
    wish[:, -1] = np.fmax(wish[:, -1], batteries.soc_end * capacity)
    charge = np.repeat((batteries.eta_charge * power * dt_h)[:, None], steps, axis=1)
    bounds = feasible_energy_bounds(e_kwh, wish, capacity, charge, np.zeros_like(charge))
    low, now, most, limit = (a.tolist() for a in (bounds.low_kwh, e_kwh, capacity, power))
    eta_charge, eta_discharge, wear = (
        a.tolist()
        for a in (batteries.eta_charge, batteries.eta_discharge, batteries.wear_eur_per_kwh)
    )
    rise = np.broadcast_to(batteries.wear_rise_eur_per_kwh, e_kwh.shape).tolist()
    return [
        compose(
            kind="FRBC",
            t0_s=t0_s,
            dt_s=dt_s,
            p_min_kw=[-limit[i]] * steps,
            p_max_kw=[limit[i]] * steps,
            p_ref_kw=[0.0] * steps,
            e_min_kwh=low[i],
            e_max_kwh=[most[i]] * (steps + 1),
            e_now_kwh=now[i],
            eta_charge=eta_charge[i],
            eta_discharge=eta_discharge[i],
            cost=storage_cost(wear[i], limit[i], rise[i]),
        )
        for i in range(len(now))
    ]
