"""Vehicles with the same hours every day: their tours, and what a charger must do for them."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peergrid.devices import ev
from peergrid.inputs.span import HOUR_S, Span
from peergrid.inputs.trip_hours import tours_to_hours
from peergrid.scenario.plan_tables import PlanEv
from peergrid.units import hours

Floats = NDArray[np.float64]

_LOOK_H = 7 * 24
_BEFORE_DAYS = 2  # no tour is longer than a day


@dataclass(frozen=True, kw_only=True, eq=False)
class Stay:
    """One vehicle over T steps.

    Parameters
    ----------
    plugged
        At the charger for the whole step ``(T,)``.
    demand_kwh
        Used by trips, in the step of their return ``(T,)``.
    need_kwh
        Energy required at the start of each step and at the end ``(T + 1,)``.
    """

    plugged: NDArray[np.bool_]
    demand_kwh: Floats
    need_kwh: Floats


def daily_tours(table: PlanEv, first: datetime, last: datetime) -> pd.DataFrame:
    """A tour for each local day that an interval touches, as a file of tours has them."""
    days = pd.date_range(first.date(), last.date(), freq="D")
    back_h = table.arrive_h + (0.0 if table.arrive_h > table.depart_h else 24.0)
    return pd.DataFrame(
        {
            "ev": 0,
            "date": days.date,
            "depart_h": table.depart_h,
            "return_h": back_h,
            "km": 0.0,
            "energy_kwh": table.trip_kwh,
        }
    )


def stay_of(table: PlanEv, span: Span) -> Stay:
    """What a vehicle does in the steps of a span, as the simulator of a fleet sees these tours.

    A vehicle that is away at the start has the energy of ``soc_start`` with it, and books its trip
    when it returns. Trips of the days behind the span count for what is required at its end.
    """
    per_step = max(span.step_s // HOUR_S, 1)
    look_h = -(-_LOOK_H // per_step) * per_step
    longer = Span(
        start=span.start, hours=span.hours, step_s=span.step_s, horizon_h=look_h, tz=span.tz
    )
    local = longer.index.tz_convert(span.tz)
    first = local[0].to_pydatetime() - timedelta(days=_BEFORE_DAYS)
    tours = daily_tours(table, first, local[-1].to_pydatetime())
    found = tours_to_hours(tours, longer, 1)
    trips = ev.itinerary(_vehicle(table), found.plugged, found.demand_kwh, hours(span.step_s))
    steps = span.n_steps
    return Stay(
        plugged=trips.plugged[0, :steps],
        demand_kwh=trips.demand_kwh[0, :steps],
        need_kwh=trips.need_kwh[0, : steps + 1],
    )


def replayed_tours(
    table: PlanEv, vehicles: int, *, begin: datetime, start: datetime, end: datetime
) -> pd.DataFrame:
    """Tours of a station whose vehicles drive in step, as one large vehicle.

    A run begins with a warm-up in which vehicles charge at once. These are out until the first
    reported step, so they enter it with the energy that the plan starts from.

    Parameters
    ----------
    table
        The vehicles.
    vehicles
        How many there are.
    begin, start, end
        Local times: start of the warm-up, of the reported steps, end of the data.
    """
    begins, starts = begin.replace(tzinfo=None), start.replace(tzinfo=None)
    tours = daily_tours(table, starts - timedelta(days=_BEFORE_DAYS), end)
    midnight = pd.to_datetime(tours["date"])
    leaves = midnight + pd.to_timedelta(tours["depart_h"], unit="h")
    returns = midnight + pd.to_timedelta(tours["return_h"], unit="h")
    running = tours[(leaves < starts) & (returns > starts)]
    until, used = (starts, 0.0) if running.empty else (returns[running.index[0]], table.trip_kwh)
    day = begins.replace(hour=0, minute=0, second=0, microsecond=0)
    out = {
        "ev": 0,
        "date": day.date(),
        "depart_h": (begins - day) / timedelta(hours=1),
        "return_h": (until - day) / timedelta(hours=1),
        "km": 0.0,
        "energy_kwh": used,
    }
    all_tours = pd.concat([pd.DataFrame([out]), tours[leaves >= starts]], ignore_index=True)
    return all_tours.assign(energy_kwh=all_tours["energy_kwh"] * vehicles)


def _vehicle(table: PlanEv) -> ev.Vehicles:
    return ev.Vehicles(
        capacity_kwh=np.array([table.e_max_kwh]),
        p_max_kw=np.array([table.p_max_kw]),
        eta_charge=np.array([table.eta_charge]),
        eta_discharge=np.array([table.eta_discharge]),
        soc_min=np.array([table.soc_min]),
        soc_departure=np.array([table.soc_departure]),
        v2g=np.array([table.v2g]),
    )
