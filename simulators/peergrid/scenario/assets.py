"""The tables of a scenario that place something at buses: one entry of ``buses`` is one device.

A number that differs between the buses of one table may be a list, one entry per bus.
"""

from typing import Annotated, Any

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


class Asset(Table):
    """Devices of one kind at several buses."""

    buses: list[int] = Field(min_length=1, description="one device per entry")

    @model_validator(mode="after")
    def _lists_fit(self) -> "Asset":
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name != "buses" and isinstance(value, list) and len(value) != len(self.buses):
                raise RuleError(name, value, f"one number, or one per bus ({len(self.buses)})")
        return self

    def params(self, index: int) -> dict[str, Any]:
        """Creation parameters of the device at ``buses[index]``; lists give their entry.

        >>> PvTable(buses=[2, 6], kwp=[10.0, 20.0]).params(1)["kwp"]
        20.0
        """
        given = {name: getattr(self, name) for name in type(self).model_fields if name != "buses"}
        return {
            name: value[index] if isinstance(value, list) else value
            for name, value in given.items()
        }


class PvTable(Asset):
    """Photovoltaic plants."""

    kwp: Positive | list[Positive] = Field(description="peak power")
    tilt_deg: Annotated[float, Field(ge=0, le=90)] | list[Annotated[float, Field(ge=0, le=90)]] = (
        Field(default=30.0, description="0: flat")
    )
    azimuth_deg: (
        Annotated[float, Field(ge=0, le=360)] | list[Annotated[float, Field(ge=0, le=360)]]
    ) = Field(default=180.0, description="180: south")
    series: str | None = Field(
        default=None, description=".csv of measured power by bus; absent: from the weather"
    )

    @model_validator(mode="after")
    def _one_column_each(self) -> "PvTable":
        if self.series is not None and len(set(self.buses)) != len(self.buses):
            raise RuleError("buses", self.buses, "each bus once: a series has one column for each")
        return self

    def params(self, index: int) -> dict[str, Any]:
        """As for any device; a measured plant is also told the bus that names its column."""
        given = super().params(index)
        if given["series"] is None:
            del given["series"]
            return given
        return {**given, "bus": self.buses[index]}


class WindTable(Asset):
    """Small wind turbines."""

    turbine: str = Field(default="NPS100C-21", description="name of a power curve, or .csv")
    count: Annotated[int, Field(ge=1)] | list[Annotated[int, Field(ge=1)]] = Field(
        default=1, description="turbines at the bus"
    )
    hub_height_m: Positive | list[Positive] = 37.0


class GeneratorTable(Asset):
    """Dispatchable generators."""

    p_max_kw: Positive | list[Positive] = Field(description="rated power")
    p_min_kw: NonNegative | list[NonNegative] = Field(default=0.0, description="least power")
    cost_eur_per_mwh: NonNegative | list[NonNegative] = Field(default=120.0, description="of fuel")
    cost_quadratic_eur_per_mw2h: NonNegative | list[NonNegative] = Field(
        default=0.0, description="grows with the output"
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
