"""Electric vehicles at home chargers: trips come first, the market gets the freedom that is left.

Each vehicle has a tube of energies from which all its departures can still be met. In every step
the power is held inside ``[must, may]``, the powers that stay in the tube, whatever the set-points
say: so every departure has the energy it was promised, against any sequence of set-points.

The promise at a departure is the share ``soc_departure`` of the capacity, or what the tour uses
plus ``soc_min`` where that is more, or what a short stay after the tour cannot make up for; where
charging at full power since the arrival does not reach it, what that reaches. Trips are known to
the vehicle ahead, without error. Arrays are ``(vehicle, time)``; injection is positive.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.battery import stored_kwh
from peergrid.devices.storage import EnergyBounds, feasible_energy_bounds, required_energy

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TOLERANCE_KWH = 1e-6
"""A departure counts as met down to this much below its promise (round-off)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Vehicles:
    """n vehicles with their chargers, one entry each.

    Parameters
    ----------
    capacity_kwh, p_max_kw
        Battery; charging power, and discharging power where ``v2g``.
    eta_charge, eta_discharge
        Efficiencies of the two directions.
    soc_min, soc_departure
        Shares of the capacity: least while plugged in, promised at every departure.
    v2g
        Whether the vehicle may discharge into the grid.
    """

    capacity_kwh: Floats
    p_max_kw: Floats
    eta_charge: Floats
    eta_discharge: Floats
    soc_min: Floats
    soc_departure: Floats
    v2g: Bools

    def charge_kwh(self, dt_h: float) -> Floats:
        """Largest energy stored in one step, ``(n,)``."""
        return self.eta_charge * self.p_max_kw * dt_h

    def discharge_kw(self) -> Floats:
        """Largest injection, ``(n,)``."""
        return np.where(self.v2g, self.p_max_kw, 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Itinerary:
    """Trips of n vehicles over T steps, and the energy they ask for.

    Parameters
    ----------
    plugged
        At home for the whole step, ``(n, T)``.
    demand_kwh
        Used by a tour, booked at the end of the step in which it comes home, ``(n, T)``.
    need_kwh
        Energy required at the start of each step, ``(n, T+1)``; see :func:`itinerary`.
    """

    plugged: Bools
    demand_kwh: Floats
    need_kwh: Floats

    def window(self, first: int, steps: int) -> "Itinerary":
        """The ``steps`` steps from ``first`` on."""
        return Itinerary(
            plugged=self.plugged[:, first : first + steps],
            demand_kwh=self.demand_kwh[:, first : first + steps],
            need_kwh=self.need_kwh[:, first : first + steps + 1],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """Energies at the end of a step, ``(n,)`` [kWh].

    ``e_kwh``: in the batteries. ``full_kwh``: what would be there had the vehicle charged at full
    power since it came home; the promise is never more.
    """

    e_kwh: Floats
    full_kwh: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """What happened in a step: injections [kW], departures at its end and which were met."""

    p_kw: Floats
    departs: Bools
    met: Bools


def itinerary(vehicles: Vehicles, plugged: Bools, demand_kwh: Floats, dt_h: float) -> Itinerary:
    """Trips with the energy they require, carried back in time.

    Wishes: ``soc_min`` at both ends of every step at home, ``soc_departure`` at the end of the last
    step at home. The requirement before a tour is what it uses plus what is required behind it.
    """
    capacity = vehicles.capacity_kwh
    edge = np.zeros((len(capacity), 1), dtype=bool)
    begins, ends = np.hstack([plugged, edge]), np.hstack([edge, plugged])
    leaves = ends & ~begins
    leaves[:, -1] = False  # behind the end of the data nothing is known
    wish = np.where(begins | ends, (vehicles.soc_min * capacity)[:, None], 0.0)
    wish = np.where(leaves, np.fmax(wish, (vehicles.soc_departure * capacity)[:, None]), wish)
    charge = np.where(plugged, vehicles.charge_kwh(dt_h)[:, None], 0.0)
    need = required_energy(wish, capacity, charge, demand_kwh)
    return Itinerary(plugged=plugged, demand_kwh=demand_kwh, need_kwh=need)


def without_running_tours(plugged: Bools, departs: Bools, demand_kwh: Floats) -> Floats:
    """Demand ``(n, T)`` without the tours that began before the first step.

    The energy at the start of a run is what such a vehicle comes home with.
    """
    running = ~plugged[:, 0] & ~departs[:, 0]
    still_out = np.logical_and.accumulate(~plugged, axis=1)
    return np.where(running[:, None] & still_out, 0.0, demand_kwh)


def power_range(
    vehicles: Vehicles, e_kwh: Floats, trips: Itinerary, dt_h: float
) -> tuple[Floats, Floats]:
    """The powers ``[may, must]`` that keep to the tube in its first step, ``(n,)`` each [kW].

    The lower end charges as much as fits; the upper end charges no less than the departures need,
    or discharges no more than they allow. Both are zero away from home.
    """
    plugged = trips.plugged[:, 0]
    most_in = np.where(plugged, vehicles.charge_kwh(dt_h), 0.0)
    most_out = np.where(plugged, vehicles.discharge_kw() / vehicles.eta_discharge * dt_h, 0.0)
    fits = np.clip(vehicles.capacity_kwh - e_kwh, 0.0, most_in)
    needed = np.clip(trips.need_kwh[:, 1] - e_kwh, -most_out, fits)
    charging = vehicles.eta_charge * dt_h
    low = -fits / charging
    high = np.where(needed > 0.0, -needed / charging, -needed * vehicles.eta_discharge / dt_h)
    return low, np.maximum(high + 0.0, low)


def allot(total_kw: float, low_kw: Floats, high_kw: Floats) -> Floats:
    """Share a fleet's power among its vehicles, ``(n,)`` [kW]; the sum comes as near as it can.

    Each first gets the power nearest to zero that it may have, the rest is shared in proportion to
    the room that is left.

    >>> allot(-6.0, np.array([-4.0, -8.0]), np.array([-2.0, 0.0])).tolist()
    [-2.8, -3.2]
    """
    base = np.clip(0.0, low_kw, high_kw)
    rest = total_kw - float(base.sum())
    ends = high_kw - base if rest > 0.0 else low_kw - base
    space = float(ends.sum())
    share = min(rest / space, 1.0) if abs(space) > 1e-9 else 0.0
    return np.asarray(base + share * ends)


def setpoints(
    low_kw: Floats, high_kw: Floats, own_kw: Floats, fleet_kw: Floats, first: NDArray[np.intp]
) -> Floats:
    """Power of every vehicle, ``(n,)`` [kW], inside its range.

    A vehicle follows its own set-point; vehicles without share what their fleet's set-point leaves;
    those without either charge at once, as much as fits.

    Parameters
    ----------
    low_kw, high_kw
        Range of each vehicle, ``(n,)``.
    own_kw
        Set-points of the vehicles, ``(n,)``; NaN: none.
    fleet_kw
        Set-points of the fleets, ``(f,)``; NaN: none.
    first
        First vehicle of each fleet, and n, ``(f+1,)``.
    """
    p_kw = np.where(np.isnan(own_kw), low_kw, np.clip(own_kw, low_kw, high_kw))
    for fleet in np.flatnonzero(np.isfinite(fleet_kw)):
        rows = np.arange(first[fleet], first[fleet + 1])
        free = rows[np.isnan(own_kw[rows])]
        told = rows[~np.isnan(own_kw[rows])]
        rest = float(fleet_kw[fleet]) - float(p_kw[told].sum())
        p_kw[free] = allot(rest, low_kw[free], high_kw[free])
    return p_kw


def follow(
    vehicles: Vehicles, state: State, trips: Itinerary, p_kw: Floats, dt_h: float
) -> tuple[State, Step]:
    """One step with injections inside :func:`power_range`; ``trips`` covers two steps or more.

    ``e' = min(e + (eta_c charge - discharge / eta_d) dt, capacity) - demand``. A tour that needs
    more than the battery holds is charged on the way, so ``e'`` is never negative.
    """
    plugged, next_plugged = trips.plugged[:, 0], trips.plugged[:, 1]
    change = stored_kwh(p_kw, vehicles.eta_charge, vehicles.eta_discharge, dt_h)
    before = np.clip(state.e_kwh + change, 0.0, vehicles.capacity_kwh)
    e_kwh = before - np.minimum(trips.demand_kwh[:, 0], before)
    charged = np.minimum(state.full_kwh + vehicles.charge_kwh(dt_h), vehicles.capacity_kwh)
    full = np.where(plugged, charged, e_kwh)
    departs = plugged & ~next_plugged
    promise = np.minimum(trips.need_kwh[:, 1], full)
    met = departs & (e_kwh >= promise - TOLERANCE_KWH)
    return State(e_kwh=e_kwh, full_kwh=full), Step(p_kw=p_kw, departs=departs, met=met)


def outlook(
    vehicles: Vehicles, e_kwh: Floats, trips: Itinerary, dt_h: float
) -> tuple[EnergyBounds, Floats]:
    """Energy bounds and the charge-at-once schedule over the steps of ``trips``.

    Returns
    -------
    bounds
        See :class:`peergrid.devices.storage.EnergyBounds`.
    p_ref_kw
        Injection when nobody asks for anything, ``(n, H)``.
    """
    charge = np.where(trips.plugged, vehicles.charge_kwh(dt_h)[:, None], 0.0)
    bounds = feasible_energy_bounds(
        e_kwh, trips.need_kwh, vehicles.capacity_kwh, charge, trips.demand_kwh
    )
    stored = np.diff(bounds.top_kwh, axis=1) + bounds.demand_kwh
    p_kw = 0.0 - stored / (vehicles.eta_charge * dt_h)[:, None]
    # round-off of the sums must not leave the charger's range
    return bounds, np.where(trips.plugged, np.clip(p_kw, -vehicles.p_max_kw[:, None], 0.0), 0.0)
