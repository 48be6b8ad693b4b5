"""The tables of ``[plan]``: what may be built where, at what cost; ``peergrid plan`` reads them."""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from peergrid.scenario.assets import (
    Efficiency,
    NonNegative,
    Positive,
    RuleError,
    Share,
    Table,
)


def _list_or_all(value: Any) -> Any:
    """One clear line instead of one for each of the alternatives."""
    if value is None or value == "all" or isinstance(value, list):
        return value
    raise RuleError("", value, "'all' or a list of buses")


Buses = Annotated[
    Annotated[list[int], Field(min_length=1)] | Literal["all"], BeforeValidator(_list_or_all)
]
HourOfDay = Annotated[float, Field(ge=0, lt=24)]
Degrees = Annotated[float, Field(ge=0, le=360)]
Years = Annotated[float, Field(ge=0.1, le=1000)]
KINDS = ("pv", "wind", "battery", "ev")
"""Kinds of what can be built, in the order in which they are written."""


class PlanKind(Table):
    """What all kinds have in common; ``measure`` and ``each`` end the names of sizes and costs."""

    unit: ClassVar[str]
    measure: ClassVar[str]
    each: ClassVar[str]

    name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="absent: the kind, counted where there are several tables of it",
    )
    buses: Buses | None = Field(default=None, description="candidates; absent: those of [plan]")
    sites: int = Field(default=1, ge=1, description="at most so many buses get one")
    life_years: Years = Field(default=20.0, description="over which the investment is paid off")
    upkeep_share: Share = Field(default=0.02, description="of the investment, per year")

    @property
    def max_per_site(self) -> float:
        """Largest size at one bus."""
        return float(getattr(self, f"max_{self.measure}"))

    @property
    def total_min(self) -> float:
        """Least size of all buses together."""
        return float(getattr(self, f"total_min_{self.measure}"))

    @property
    def total_max(self) -> float | None:
        """Largest size of all buses together; None: no limit."""
        most = getattr(self, f"total_max_{self.measure}")
        return None if most is None else float(most)

    @property
    def capex_eur(self) -> float:
        """Investment per unit of size [EUR]."""
        return float(getattr(self, f"capex_eur_per_{self.each}"))

    @model_validator(mode="after")
    def _totals(self) -> "PlanKind":
        field, least, most = f"total_min_{self.measure}", self.total_min, self.total_max
        if most is not None and least > most:
            raise RuleError(field, least, f"at most total_max_{self.measure} = {most:g}")
        room = self.sites * self.max_per_site
        if least > room:
            raise RuleError(field, least, f"at most {room:g}: sites x max_{self.measure}")
        _each_once(self.buses)
        return self


class PlanPv(PlanKind):
    """Photovoltaic plants that may be built."""

    unit = "kWp"
    measure = each = "kwp"

    max_kwp: Positive = Field(description="at one bus")
    total_min_kwp: NonNegative = Field(default=0.0, description="of all buses together")
    total_max_kwp: Positive | None = Field(default=None, description="of all buses together")
    series: str | None = Field(
        default=None, description=".csv with a column 'pv [kW/kWp]'; absent: from the weather"
    )
    tilt_deg: Annotated[float, Field(ge=0, le=90)] = Field(default=30.0, description="0: flat")
    azimuth_deg: Degrees = Field(default=180.0, description="180: south")
    capex_eur_per_kwp: NonNegative = Field(default=900.0, description="investment")
    life_years: Years = 25.0
    upkeep_share: Share = 0.015

    @model_validator(mode="after")
    def _series_or_weather(self) -> "PlanPv":
        _series_alone(self, ("tilt_deg", "azimuth_deg"), "a measured plant has no orientation")
        return self


class PlanWind(PlanKind):
    """Wind turbines that may be built: whole ones, or any size where a series is given."""

    unit = "kW"
    measure = each = "kw"

    max_kw: Positive = Field(description="at one bus")
    total_min_kw: NonNegative = Field(default=0.0, description="of all buses together")
    total_max_kw: Positive | None = Field(default=None, description="of all buses together")
    turbine: str = Field(default="NPS100C-21", description="name of a power curve, or .csv")
    hub_height_m: Positive = 37.0
    series: str | None = Field(
        default=None, description=".csv with a column 'wind [kW/kW]', instead of a turbine"
    )
    capex_eur_per_kw: NonNegative = Field(default=1800.0, description="investment")
    life_years: Years = 20.0
    upkeep_share: Share = 0.025

    @model_validator(mode="after")
    def _series_or_turbine(self) -> "PlanWind":
        _series_alone(self, ("turbine", "hub_height_m"), "a measured plant has no power curve")
        return self


class PlanBattery(PlanKind):
    """Batteries that may be built."""

    unit = "kWh"
    measure = each = "kwh"

    max_kwh: Positive = Field(description="at one bus")
    total_min_kwh: NonNegative = Field(default=0.0, description="of all buses together")
    total_max_kwh: Positive | None = Field(default=None, description="of all buses together")
    hours: Positive = Field(default=2.0, description="capacity over power")
    eta_charge: Efficiency = 0.95
    eta_discharge: Efficiency = 0.95
    soc_start: Share = Field(default=0.5, description="at the start, and at least so at the end")
    soc_min: Share = Field(default=0.1, description="never below")
    wear_eur_per_mwh: NonNegative = Field(default=5.0, description="per MWh charged or discharged")
    capex_eur_per_kwh: NonNegative = Field(default=250.0, description="investment")
    life_years: Years = 15.0
    upkeep_share: Share = 0.01

    @model_validator(mode="after")
    def _start(self) -> "PlanBattery":
        _not_below_least(self.soc_start, self.soc_min)
        return self


class PlanEv(PlanKind):
    """Charging stations that may be built, sized in vehicles with the same hours."""

    unit = measure = "vehicles"
    each = "vehicle"

    max_vehicles: Annotated[int, Field(ge=1)] = Field(description="at one bus")
    total_min_vehicles: int = Field(default=0, ge=0, description="of all buses together")
    total_max_vehicles: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="of all buses together"
    )
    arrive_h: HourOfDay = Field(default=18.0, description="local hour at which they are plugged in")
    depart_h: HourOfDay = Field(default=7.0, description="local hour at which they leave")
    trip_kwh: NonNegative = Field(
        default=10.0, description="used by a vehicle between departure and arrival"
    )
    e_max_kwh: Positive = Field(default=50.0, description="capacity of a vehicle")
    p_max_kw: Positive = Field(default=11.0, description="of a charger")
    eta_charge: Efficiency = 0.95
    eta_discharge: Efficiency = 0.95
    soc_start: Share = Field(default=0.5, description="at the start, and at least so at the end")
    soc_min: Share = Field(default=0.2, description="never below while plugged in")
    soc_departure: Share = Field(default=0.8, description="promised at every departure")
    v2g: bool = Field(default=True, description="may discharge into the grid")
    wear_eur_per_mwh: NonNegative = Field(default=5.0, description="per MWh charged or discharged")
    revenue_eur_per_kwh: NonNegative = Field(
        default=0.0, description="paid by drivers for the energy of their trips"
    )
    capex_eur_per_vehicle: NonNegative = Field(default=1500.0, description="investment")
    life_years: Years = 12.0
    upkeep_share: Share = 0.02

    @model_validator(mode="after")
    def _trips(self) -> "PlanEv":
        if self.arrive_h == self.depart_h:
            allowed = f"another hour than depart_h = {self.depart_h:g}"
            raise RuleError("arrive_h", self.arrive_h, allowed)
        most = (1.0 - self.soc_min) * self.e_max_kwh
        if self.trip_kwh > most:
            allowed = f"at most {most:g} kWh, what the battery holds above soc_min"
            raise RuleError("trip_kwh", self.trip_kwh, allowed)
        _not_below_least(self.soc_start, self.soc_min)
        return self


class PlanTable(Table):
    """What may be built, and what is wanted."""

    objective: Literal["cost", "traded"] = Field(
        default="cost", description="cost: least cost; traded: most energy traded inside"
    )
    exclusive: bool = Field(
        default=True, description="a connection point either sells or buys in a step"
    )
    buses: Buses = Field(default="all", description="candidates; all: every bus but the root")
    budget_eur: NonNegative | None = Field(
        default=None, description="largest investment; absent: no limit"
    )
    interest: NonNegative = Field(default=0.05, description="per year, of annuities")
    pv: list[PlanPv] = Field(default_factory=list)
    wind: list[PlanWind] = Field(default_factory=list)
    battery: list[PlanBattery] = Field(default_factory=list)
    ev: list[PlanEv] = Field(default_factory=list)

    @model_validator(mode="after")
    def _something(self) -> "PlanTable":
        if not any(True for _ in self.tables()):
            allowed = "one or more of [[plan.pv]], [[plan.wind]], [[plan.battery]], [[plan.ev]]"
            raise RuleError("", "nothing to build", allowed)
        _each_once(self.buses)
        seen: set[str] = set()
        for field, name, _ in self.tables():
            if name in seen:
                raise RuleError(f"{field}.name", name, "each name once")
            seen.add(name)
        return self

    def tables(self) -> Iterator[tuple[str, str, PlanKind]]:
        """Field such as ``pv[0]``, name and table of all that can be built."""
        for kind in KINDS:
            tables: list[PlanKind] = getattr(self, kind)
            for k, table in enumerate(tables):
                counted = kind if len(tables) == 1 else f"{kind}-{k + 1}"
                yield f"{kind}[{k}]", table.name or counted, table

    def named_buses(self) -> Iterator[tuple[str, int]]:
        """Buses that are named, with the field that does."""
        given = chain([("plan", self.buses)], ((f"plan.{f}", t.buses) for f, _, t in self.tables()))
        for field, buses in given:
            for k, bus in enumerate(buses if isinstance(buses, list) else ()):
                yield f"{field}.buses[{k}]", bus


def _each_once(buses: Buses | None) -> None:
    if isinstance(buses, list):
        for k, bus in enumerate(buses):
            if bus in buses[:k]:
                raise RuleError(f"buses[{k}]", bus, "each bus once")


def _not_below_least(soc_start: float, soc_min: float) -> None:
    if soc_start < soc_min:
        raise RuleError("soc_start", soc_start, f"at least soc_min = {soc_min:g}")


def _series_alone(table: PlanPv | PlanWind, others: tuple[str, ...], reason: str) -> None:
    """What describes a plant without a series may not stand beside one."""
    asked = [name for name in others if name in table.model_fields_set]
    if table.series is not None and asked:
        raise RuleError(asked[0], getattr(table, asked[0]), f"only without series: {reason}")
