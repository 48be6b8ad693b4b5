"""What ``[plan]`` offers to build, as the technologies of a planning problem."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.network.feeder import Feeder
from peergrid.planning.problem import Plant, Storage, Technology
from peergrid.scenario.checks import naming
from peergrid.scenario.plan_tables import (
    Buses,
    PlanBattery,
    PlanEv,
    PlanKind,
    PlanPv,
    PlanTable,
    PlanWind,
)
from peergrid.study.siting.availability import Availability, reported_span
from peergrid.study.siting.vehicles import stay_of
from peergrid.units import mw_from_kw

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
HOURS_PER_YEAR = 8760.0
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """Something that can be built.

    Parameters
    ----------
    table
        What the file says of it.
    technology
        What the problem makes of it.
    """

    table: PlanKind
    technology: Technology


def choices_of(plan: PlanTable, feeder: Feeder, sky: Availability) -> tuple[Choice, ...]:
    """All that can be built.

    Raises
    ------
    DataError
        If a table asks for what is not there.
    """
    return tuple(
        _choice(table, _sized(plan, field, name, table, feeder, sky), field, sky)
        for field, name, table in plan.tables()
    )


def yearly_share(interest: float, life_years: float, upkeep_share: float) -> float:
    """Annuity and upkeep, as a share of the investment per year.

    >>> round(yearly_share(0.05, 25.0, 0.015), 6), yearly_share(0.0, 20.0, 0.0)
    (0.085952, 0.05)
    """
    if interest == 0.0:
        return 1.0 / life_years + upkeep_share
    return interest / -math.expm1(-life_years * math.log1p(interest)) + upkeep_share


def candidate_rows(buses: Buses, feeder: Feeder, where: str, field: str) -> Ints:
    """Feeder rows of candidate buses; a fused bus has the row of the other one."""
    if buses == "all":
        return np.flatnonzero((feeder.bus_id >= 0) & (feeder.parent >= 0)).astype(np.int64)
    rows: list[int] = []
    for k, bus in enumerate(buses):
        row = feeder.bus_map.get(int(bus))
        if row is None or row == 0:
            allowed = "a bus that the feeder supplies, other than its root"
            raise DataError(where, f"{field}[{k}]", bus, allowed)
        if row in rows:
            other = buses[rows.index(row)]
            allowed = f"one of the two: it is connected to bus {other} without a line between them"
            raise DataError(where, f"{field}[{k}]", bus, allowed)
        rows.append(row)
    return np.array(rows, dtype=np.int64)


def _sized(
    plan: PlanTable, field: str, name: str, table: PlanKind, feeder: Feeder, sky: Availability
) -> Technology:
    """What a technology has in common with all others; sizes in the measure of its table."""
    setup = sky.setup
    own = table.buses is not None
    buses = plan.buses if table.buses is None else table.buses
    listed = f"plan.{field}.buses" if own else "plan.buses"
    yearly = yearly_share(plan.interest, table.life_years, table.upkeep_share)
    return Technology(
        name=name,
        unit=table.unit,
        rows=candidate_rows(buses, feeder, setup.file.name, listed),
        sites=table.sites,
        max_per_site=table.max_per_site,
        total_min=table.total_min,
        total_max=math.inf if table.total_max is None else table.total_max,
        capex_eur=table.capex_eur,
        cost_eur=table.capex_eur * yearly / HOURS_PER_YEAR * setup.clock.hours,
    )


def _choice(table: PlanKind, sized: Technology, field: str, sky: Availability) -> Choice:
    match table:
        case PlanPv():
            return Choice(table=table, technology=_pv(table, sized, field, sky))
        case PlanWind():
            return Choice(table=table, technology=_wind(table, sized, field, sky))
        case PlanBattery():
            return Choice(table=table, technology=_battery(table, sized, sky))
        case PlanEv():
            return Choice(table=table, technology=_station(table, sized, sky))
    raise TypeError(type(table))


def _pv(table: PlanPv, sized: Technology, field: str, sky: Availability) -> Plant:
    if table.series is not None:
        available = _series(sky, table.series, field, "pv", "kW/kWp")
    else:
        orientation = {"tilt_deg": table.tilt_deg, "azimuth_deg": table.azimuth_deg}
        available = sky.pv_kw([{"kwp": 1.0, **orientation}])[0]
    return Plant(**vars(sized), available_kw=available)


def _wind(table: PlanWind, sized: Technology, field: str, sky: Availability) -> Plant:
    """Any size by a series, or whole turbines."""
    if table.series is not None:
        return Plant(**vars(sized), available_kw=_series(sky, table.series, field, "wind", "kW/kW"))
    where = sky.setup.file.name
    with naming(where, f"plan.{field}.turbine", table.turbine):
        rated_kw = sky.curve(table.turbine, table.hub_height_m).rated_kw
    most = math.floor(table.max_kw / rated_kw + _ROUNDING)
    if most < 1:
        allowed = f"at least {rated_kw:g} kW, one turbine {table.turbine}"
        raise DataError(where, f"plan.{field}.max_kw", table.max_kw, allowed)
    turbine = {"turbine": table.turbine, "hub_height_m": table.hub_height_m, "count": 1}
    whole = replace(
        sized,
        unit="turbines",
        whole=True,
        max_per_site=float(most),
        total_min=float(math.ceil(sized.total_min / rated_kw - _ROUNDING)),
        total_max=_floor(sized.total_max / rated_kw),
        capex_eur=sized.capex_eur * rated_kw,
        cost_eur=sized.cost_eur * rated_kw,
    )
    _check_turbines(table, whole, rated_kw, where, field)
    return Plant(**vars(whole), available_kw=sky.wind_kw([turbine])[0])


def _battery(table: PlanBattery, sized: Technology, sky: Availability) -> Storage:
    """Bounds per kWh of capacity; as full at the end as at the start, since the day repeats."""
    steps = sky.setup.clock.reported
    power = np.full(steps, 1.0 / table.hours)
    least = np.full(steps + 1, table.soc_min)
    least[-1] = max(table.soc_start, table.soc_min)
    return Storage(
        **vars(sized),
        charge_kw=power,
        discharge_kw=power.copy(),
        e_min_kwh=least,
        e_max_kwh=np.ones(steps + 1),
        e_start_kwh=table.soc_start,
        demand_kwh=np.zeros(steps),
        eta_charge=table.eta_charge,
        eta_discharge=table.eta_discharge,
        wear_eur_per_kwh=mw_from_kw(table.wear_eur_per_mwh),
    )


def _station(table: PlanEv, sized: Technology, sky: Availability) -> Storage:
    """Bounds per vehicle; what drivers pay is fixed by their trips."""
    stay = stay_of(table, reported_span(sky.setup))
    power = np.where(stay.plugged, table.p_max_kw, 0.0)
    start = table.soc_start * table.e_max_kwh
    least = stay.need_kwh.copy()
    least[-1] = max(least[-1], start)
    revenue = table.revenue_eur_per_kwh * float(stay.demand_kwh.sum())
    whole = replace(sized, whole=True, cost_eur=sized.cost_eur - revenue)
    return Storage(
        **vars(whole),
        charge_kw=power,
        discharge_kw=power.copy() if table.v2g else np.zeros_like(power),
        e_min_kwh=least,
        e_max_kwh=np.full_like(least, table.e_max_kwh),
        e_start_kwh=start,
        demand_kwh=stay.demand_kwh,
        eta_charge=table.eta_charge,
        eta_discharge=table.eta_discharge,
        wear_eur_per_kwh=mw_from_kw(table.wear_eur_per_mwh),
    )


def _series(sky: Availability, spec: str, field: str, name: str, unit: str) -> Floats:
    if Path(spec).suffix not in {".csv", ".gz"}:
        where = sky.setup.file.name
        raise DataError(where, f"plan.{field}.series", spec, "a .csv file")
    with naming(sky.setup.file.name, f"plan.{field}.series", spec):
        return sky.share(spec, name, unit)


def _check_turbines(
    table: PlanWind, whole: Technology, rated_kw: float, where: str, field: str
) -> None:
    """Totals that no whole number of turbines keeps."""
    most = whole.sites * whole.max_per_site
    if whole.total_min > min(most, whole.total_max):
        room = min(most, whole.total_max) * rated_kw
        allowed = f"at most {room:g} kW, what whole turbines of {rated_kw:g} kW can give"
        raise DataError(where, f"plan.{field}.total_min_kw", table.total_min_kw, allowed)


def _floor(value: float) -> float:
    return value if math.isinf(value) else float(math.floor(value + _ROUNDING))
