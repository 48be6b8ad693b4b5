"""Flexibility messages of vehicles and of their fleets."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.ev import Itinerary, Vehicles, outlook
from peergrid.devices.flexibility import compose
from peergrid.devices.storage import RATED_WEAR_EUR_PER_KWH, storage_cost

Floats = NDArray[np.float64]


def messages(
    vehicles: Vehicles,
    wear_eur_per_kwh: Floats,
    e_kwh: Floats,
    trips: Itinerary,
    first: NDArray[np.intp],
    *,
    t0_s: float,
    dt_s: float,
    dt_h: float,
    rise_eur_per_kwh: Floats | None = None,
    bid_eur_per_kwh: Floats | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Flexibility of every vehicle and of every fleet over the steps of ``trips``.

    A vehicle's message is exact. A fleet's is the sum of its vehicles' powers, least energies,
    energies when charging at once, and demands: a summary. Whatever set-point follows from it,
    each vehicle stays in its own tube, so every departure is met; the fleet's power follows as
    far as the vehicles' ranges allow. The vehicles of a fleet have the same efficiencies.

    Parameters
    ----------
    vehicles, e_kwh, trips
        n vehicles, their energies ``(n,)`` [kWh], their trips over H steps.
    wear_eur_per_kwh
        Per vehicle, ``(n,)``.
    first
        First vehicle of each fleet, and n, ``(f+1,)``; no fleet is empty.
    rise_eur_per_kwh
        What a kWh costs more at rated power than at a trickle, ``(n,)``.
    bid_eur_per_kwh
        What each vehicle asks for a kWh it discharges, and what one that it charges is worth to
        it, ``(n, H)``; absent or zero: nothing besides wear. The vehicles of a fleet bid alike.
    t0_s, dt_s, dt_h
        Start of the first step [s], step length [s] and [h].
    """
    bounds, p_ref = outlook(vehicles, e_kwh, trips, dt_h)
    p_min = np.where(trips.plugged, -vehicles.p_max_kw[:, None], 0.0)
    p_max = np.where(trips.plugged, vehicles.discharge_kw()[:, None], 0.0)
    e_max = np.repeat(vehicles.capacity_kwh[:, None], trips.plugged.shape[1] + 1, axis=1)
    low, top, demand = bounds.low_kwh, bounds.top_kwh, bounds.demand_kwh
    head = {"kind": "FRBC", "t0_s": t0_s, "dt_s": dt_s}
    rated = vehicles.p_max_kw
    rise = rise_eur_per_kwh
    rise = np.full(len(e_kwh), RATED_WEAR_EUR_PER_KWH) if rise is None else rise
    bid = np.zeros_like(p_min) if bid_eur_per_kwh is None else bid_eur_per_kwh
    etas = (vehicles.eta_charge, vehicles.eta_discharge, wear_eur_per_kwh, rise)
    own = _rows(head, (p_min, p_max, p_ref, low, e_max, demand, e_kwh, *etas, rated, bid))
    begin = first[:-1]
    sums = [np.add.reduceat(a, begin, axis=0) for a in (p_min, p_max, p_ref, low, top, demand)]
    alike = (column[begin] for column in etas)
    return own, _rows(
        head,
        (*sums, np.add.reduceat(e_kwh, begin), *alike, np.add.reduceat(rated, begin), bid[begin]),
    )


_KEYS = ("p_min_kw", "p_max_kw", "p_ref_kw", "e_min_kwh", "e_max_kwh", "demand_kwh", "e_now_kwh")


def _rows(head: dict[str, Any], columns: tuple[Floats, ...]) -> list[dict[str, Any]]:
    """One message per row: columns of ``_KEYS``, efficiencies, wear, its rise, rating, bid."""
    lists = (_lists(column) if column.ndim == 2 else column.tolist() for column in columns)
    out = []
    for *values, eta_charge, eta_discharge, wear, rise, rated, bid in zip(*lists, strict=True):
        parts = dict(zip(_KEYS, values, strict=True))
        parts |= {"eta_charge": eta_charge, "eta_discharge": eta_discharge}
        asked = {"linear": bid} if any(bid) else {}
        out.append(compose(**head, **parts, cost={**storage_cost(wear, rated, rise), **asked}))
    return out


def _lists(values: Floats) -> list[list[float]]:
    """Rows as lists; constant ones, which are most, without making every number anew.

    >>> _lists(np.array([[1.0, 1.0], [1.0, 2.0]]))
    [[1.0, 1.0], [1.0, 2.0]]
    """
    size = values.shape[1]
    constant = (values == values[:, :1]).all(axis=1)
    rows: list[list[float]] = [[first] * size for first in values[:, 0].tolist()]
    varying = np.flatnonzero(~constant).tolist()
    for row, listed in zip(varying, values[varying].tolist(), strict=True):
        rows[row] = listed
    return rows
