"""The tables of a scenario that place something at buses: one entry of ``buses`` is one device.

A number that differs between the buses of one table may be a list, one entry per bus; a list that
every device has whole (a table's ``whole``) may not differ between them.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Table(BaseModel):
    """A table of the scenario file: unknown keys are errors, values keep their type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class RuleError(ValueError):
    """A rule between the keys of one table is broken: which key, its value, what is allowed."""

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(allowed)
        self.field = field
        self.value = value
        self.allowed = allowed


Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Efficiency = Annotated[float, Field(gt=0, le=1)]
AtLeastOne = Annotated[float, Field(ge=1)]
Number = float | list[float]

STATED_SIGMA = "standard deviation stated of its forecasts, share of them; absent: by [forecast]"
Q_COST = "of |q|; absent: nothing"
Q_COST_QUADRATIC = "times q^2 per hour; absent: nothing"


class Asset(Table):
    """Devices of one kind at several buses."""

    whole: ClassVar[tuple[str, ...]] = ()

    buses: list[int] = Field(min_length=1, description="one device per entry")

    @model_validator(mode="after")
    def _lists_fit(self) -> "Asset":
        for name in type(self).model_fields:
            value = getattr(self, name)
            shared = name in ("buses", *self.whole)
            if not shared and isinstance(value, list) and len(value) != len(self.buses):
                raise RuleError(name, value, f"one number, or one per bus ({len(self.buses)})")
        return self

    def params(self, index: int) -> dict[str, Any]:
        """Creation parameters of the device at ``buses[index]``; lists give their entry.

        What is absent is not told: somebody else's device may not know the word.

        >>> PvTable(buses=[2, 6], kwp=[10.0, 20.0]).params(1)["kwp"]
        20.0
        """
        given = {name: getattr(self, name) for name in type(self).model_fields if name != "buses"}
        return {
            name: value[index] if isinstance(value, list) and name not in self.whole else value
            for name, value in given.items()
            if value is not None
        }

    def check_columns(self) -> None:
        """A series has one column for each bus, so each bus can stand here once."""
        if len(set(self.buses)) != len(self.buses):
            raise RuleError("buses", self.buses, "each bus once: a series has one column for each")


class FixedLoadTable(Asset):
    """Loads with a series of their own, besides the nominal load of the feeder at their bus."""

    series: str = Field(description=".csv of consumption by bus")
    tan_phi: Number = Field(default=0.0, description="reactive over active power drawn")
    sigma_share: NonNegative | list[NonNegative] | None = Field(
        default=None, description=STATED_SIGMA
    )

    @model_validator(mode="after")
    def _one_column_each(self) -> "FixedLoadTable":
        self.check_columns()
        return self

    def params(self, index: int) -> dict[str, Any]:
        """As for any device; the bus names its column."""
        return {**super().params(index), "bus": self.buses[index]}


class FlexibleLoadTable(Asset):
    """Loads that may move their consumption within the local day."""

    p_rated_kw: Positive | list[Positive] = Field(description="mean power over a day")
    p_max_over_rated: AtLeastOne | list[AtLeastOne] = Field(
        default=2.0, description="largest over mean power"
    )
    discomfort_eur_per_mw2h: NonNegative | list[NonNegative] = Field(
        default=0.0, description="discomfort * (p - rated)^2 per hour"
    )
    cut_cost_eur_per_mwh: NonNegative | list[NonNegative] = Field(
        default=0.0, description="of what a day could not be served"
    )
    tan_phi: Number = Field(default=0.0, description="reactive over active power drawn")


Hour = Annotated[float, Field(ge=0, le=24)]
Temperature = Annotated[float, Field(ge=-50, le=100)]


class ApplianceTable(Asset):
    """Household appliances that run whole cycles inside a daily window."""

    whole: ClassVar[tuple[str, ...]] = ("phases_kw",)

    phases_kw: list[NonNegative] = Field(
        min_length=1, description="power of each phase of a cycle; one list for all buses"
    )
    phase_min: Positive | list[Positive] = Field(default=15.0, description="length of a phase")
    earliest_h: Hour | list[Hour] = Field(
        default=0.0, description="local hour of day from which on cycles may run"
    )
    latest_h: Hour | list[Hour] = Field(
        default=24.0, description="local hour of day by which all cycles have ended"
    )
    habit_h: Hour | list[Hour] | None = Field(
        default=None, description="when the first begins if nobody asks; absent: earliest_h"
    )
    cycles_per_day: Annotated[int, Field(ge=1)] | list[Annotated[int, Field(ge=1)]] = 1
    homes: Positive | list[Positive] = Field(
        default=1.0, description="whose appliances run in step; scales the power"
    )
    tan_phi: Number = Field(default=0.0, description="reactive over active power drawn")

    @model_validator(mode="after")
    def _day(self) -> "ApplianceTable":
        if not (self.phases_kw[0] > 0 and self.phases_kw[-1] > 0):
            raise RuleError("phases_kw", self.phases_kw, "the first and the last phase above 0 kW")
        for device in map(self.params, range(len(self.buses))):
            earliest, latest = device["earliest_h"], device["latest_h"]
            if earliest >= latest:
                raise RuleError("earliest_h", earliest, f"below latest_h = {latest:g}")
            if not earliest <= device.get("habit_h", earliest) <= latest:
                allowed = f"inside the window, {earliest:g} to {latest:g}"
                raise RuleError("habit_h", device["habit_h"], allowed)
        return self


class BuildingTable(Asset):
    """Buildings that a heat pump keeps inside a comfort band; all numbers are of one home."""

    p_max_kw: Positive | list[Positive] = Field(description="electrical, of the heat pump")
    cop: Positive | list[Positive] = Field(default=3.0, description="heat over electrical power")
    r_k_per_kw: Positive | list[Positive] = Field(description="thermal resistance to the outside")
    c_kwh_per_k: Positive | list[Positive] = Field(description="heat capacity")
    theta_min_c: Temperature | list[Temperature] = Field(default=20.0, description="comfort band")
    theta_max_c: Temperature | list[Temperature] = Field(default=24.0, description="comfort band")
    theta_start_c: Temperature | list[Temperature] | None = Field(
        default=None, description="at the start; absent: the middle of the band"
    )
    theta_set_c: Temperature | list[Temperature] | None = Field(
        default=None, description="of the thermostat; absent: the middle of the band"
    )
    mode: Literal["heat", "cool"] = "heat"
    gains_kw: NonNegative | list[NonNegative] = Field(
        default=0.0, description="heat from people, sun and appliances"
    )
    homes: Annotated[int, Field(ge=1)] | list[Annotated[int, Field(ge=1)]] = Field(
        default=1, description="alike and in step"
    )
    tan_phi: Number = Field(default=0.0, description="reactive over active power drawn")

    @model_validator(mode="after")
    def _band(self) -> "BuildingTable":
        for device in map(self.params, range(len(self.buses))):
            low, high = device["theta_min_c"], device["theta_max_c"]
            if low >= high:
                raise RuleError("theta_min_c", low, f"below theta_max_c = {high:g}")
            if not low <= device.get("theta_set_c", low) <= high:
                allowed = f"inside the comfort band, {low:g} to {high:g}"
                raise RuleError("theta_set_c", device["theta_set_c"], allowed)
        return self


class PlantTable(Asset):
    """What plants of sun and wind have in common."""

    series: str | None = Field(
        default=None, description=".csv of measured power by bus; absent: from the weather"
    )
    sigma_share: NonNegative | list[NonNegative] | None = Field(
        default=None, description=STATED_SIGMA
    )
    q_share: NonNegative | list[NonNegative] | None = Field(
        default=None,
        description="of the nameplate: reactive power on offer either way; absent: what the "
        "inverter's rating leaves",
    )
    q_cost_eur_per_mvarh: NonNegative | list[NonNegative] | None = Field(
        default=None, description=Q_COST
    )
    q_cost_quadratic_eur_per_mvar2h: NonNegative | list[NonNegative] | None = Field(
        default=None, description=Q_COST_QUADRATIC
    )

    @model_validator(mode="after")
    def _one_column_each(self) -> "PlantTable":
        if self.series is not None:
            self.check_columns()
        return self

    def params(self, index: int) -> dict[str, Any]:
        """As for any device; a measured plant is also told the bus that names its column."""
        column = {} if self.series is None else {"bus": self.buses[index]}
        return {**super().params(index), **column}


class PvTable(PlantTable):
    """Photovoltaic plants."""

    kwp: Positive | list[Positive] = Field(description="peak power")
    tilt_deg: Annotated[float, Field(ge=0, le=90)] | list[Annotated[float, Field(ge=0, le=90)]] = (
        Field(default=30.0, description="0: flat")
    )
    azimuth_deg: (
        Annotated[float, Field(ge=0, le=360)] | list[Annotated[float, Field(ge=0, le=360)]]
    ) = Field(default=180.0, description="180: south")


class WindTable(PlantTable):
    """Small wind turbines, or measured wind power."""

    turbine: str = Field(default="NPS100C-21", description="name of a power curve, or .csv")
    count: Annotated[int, Field(ge=1)] | list[Annotated[int, Field(ge=1)]] = Field(
        default=1, description="turbines at the bus"
    )
    hub_height_m: Positive | list[Positive] = 37.0
    rated_kw: Positive | list[Positive] | None = Field(
        default=None, description="of a measured plant, instead of a turbine"
    )

    @model_validator(mode="after")
    def _turbine_or_series(self) -> "WindTable":
        if self.series is None and self.rated_kw is not None:
            raise RuleError("rated_kw", self.rated_kw, "only with series: a turbine has its own")
        if self.series is not None and self.rated_kw is None:
            raise RuleError("rated_kw", None, "the rated power of the measured plant")
        asked = sorted({*_TURBINE} & self.model_fields_set)
        if self.series is not None and asked:
            allowed = "only without series: a measured plant has no power curve"
            raise RuleError(asked[0], getattr(self, asked[0]), allowed)
        return self

    def params(self, index: int) -> dict[str, Any]:
        """As for any plant; a measured one has no turbine."""
        given = super().params(index)
        left_out = () if self.series is None else _TURBINE
        return {name: value for name, value in given.items() if name not in left_out}


_TURBINE = ("turbine", "count", "hub_height_m")


class GeneratorTable(Asset):
    """Dispatchable generators."""

    p_max_kw: Positive | list[Positive] = Field(description="rated power")
    p_min_kw: NonNegative | list[NonNegative] = Field(default=0.0, description="least power")
    cost_eur_per_mwh: NonNegative | list[NonNegative] = Field(default=120.0, description="of fuel")
    cost_quadratic_eur_per_mw2h: NonNegative | list[NonNegative] = Field(
        default=0.0, description="grows with the output"
    )
    q_up_share: NonNegative | list[NonNegative] | None = Field(
        default=None,
        description="of p_max_kw: reactive power on offer, injected; one of the two absent: none "
        "that way; both: what the machine's rating leaves",
    )
    q_down_share: NonNegative | list[NonNegative] | None = Field(
        default=None, description="of p_max_kw: reactive power on offer, drawn"
    )
    q_cost_eur_per_mvarh: NonNegative | list[NonNegative] | None = Field(
        default=None, description=Q_COST
    )
    q_cost_quadratic_eur_per_mvar2h: NonNegative | list[NonNegative] | None = Field(
        default=None, description=Q_COST_QUADRATIC
    )


class BatteryTable(Asset):
    """Batteries."""

    e_max_kwh: Positive | list[Positive] = Field(description="capacity")
    p_max_kw: Positive | list[Positive] = Field(description="charging and discharging")
    eta_charge: Efficiency = 0.95
    eta_discharge: Efficiency = 0.95
    soc_start: Share = Field(default=0.5, description="at the start, share of the capacity")
    soc_min: Share = Field(default=0.1, description="never below")
    soc_end: Share | None = Field(default=None, description="at the end of each horizon")
    wear_eur_per_mwh: NonNegative = Field(default=5.0, description="per MWh charged or discharged")
    wear_rise_eur_per_mwh: NonNegative | None = Field(
        default=None, description="more per MWh at rated power than at a trickle; absent: 10"
    )


class EvTable(Asset):
    """Electric vehicles with their home charger, one per entry of ``buses``."""

    e_max_kwh: Positive = 40.0
    p_max_kw: Positive = 11.0
    eta_charge: Efficiency = 0.95
    eta_discharge: Efficiency = 0.95
    soc_start: Share = Field(default=0.6, description="at the start, share of the capacity")
    soc_min: Share = Field(default=0.2, description="never below by trading")
    soc_departure: Share = Field(default=0.9, description="promised at every departure")
    v2g: bool = Field(default=True, description="may discharge into the grid")
    wear_eur_per_mwh: NonNegative = Field(default=5.0, description="per MWh charged or discharged")
    wear_rise_eur_per_mwh: NonNegative = Field(
        default=10.0, description="more per MWh at rated power than at a trickle"
    )
    tours: str | None = Field(default=None, description=".csv of tours; absent: sampled")
    bid_share_of_import: Share = Field(
        default=0.0,
        description="of the hour's import price: worth of charging, ask of discharging; 0: no bid",
    )

    def params(self, index: int) -> dict[str, Any]:
        """As for any device; vehicles without a bid are not told of any."""
        given = super().params(index)
        if not self.bid_share_of_import:
            del given["bid_share_of_import"]
        return given


class ParticipantTable(Table):
    """Rights and contract limits of one connection point; all others have the defaults."""

    bus: int
    name: str | None = None
    may_sell: bool = True
    may_buy: bool = True
    export_limit_kw: NonNegative | None = Field(default=None, description="contract limit")
    import_limit_kw: NonNegative | None = Field(default=None, description="contract limit")
