"""Energy communities for a day-ahead study, from one TOML file: all in kW, EUR/kWh and hours.

The file speaks MW, MVAr, MWh and money per MWh, as such data sets do; ``scenarios/ieee69_dfe/``
holds one with a comment on every key. Its feeder, its communities and its prices make one day.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from peergrid.errors import DataError

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Series = Annotated[list[float], Field(min_length=1)]


class Table(BaseModel):
    """A table of the file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Network(Table):
    """Feeder, its load, and what must hold on it."""

    case: str
    slack_pu: Positive = 1.0
    v_min_pu: Positive = 0.9
    v_max_pu: Positive = 1.1
    rise_limit_pu: Positive | None = None
    load_profile: Series
    load_profile_scale: Positive = 1.0
    current_limit_a: dict[str, Positive] = Field(default_factory=dict)


class FeederSigma(Table):
    """Uncertainty of the feeder's own load: of each bus, and common to all."""

    each: NonNegative = 0.0
    common: NonNegative = 0.0


class Uncertainty(Table):
    """Standard deviations relative to the forecast, and the level promised."""

    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    sigma_pv: NonNegative = 0.0
    sigma_wind: NonNegative = 0.0
    sigma_load: NonNegative = 0.0
    correlation: dict[Literal["pv", "wind", "load"], Share] = Field(default_factory=dict)
    feeder_load_sigma: FeederSigma = FeederSigma()


class Fee(Table):
    """On a MWh traded: fixed, and by the resistance of the path between the two buses."""

    fixed: NonNegative = 0.0
    per_ohm: NonNegative = 0.0


class Slack(Table):
    """Penalty per MWh and MVArh for demand that no box admits."""

    p: NonNegative = 2000.0
    q: NonNegative = 400.0


class Prices(Table):
    """The retailer's prices by hour, fees on trades; the reactive fee is a share of the active."""

    buy: Series
    sell: float
    reactive_buy: NonNegative = 0.0
    reactive_sell: float = 0.0
    p2p_fee: Fee = Fee()
    p2p_fee_reactive: NonNegative = 0.0
    box_slack: Slack = Slack()


class BatteryRules(Table):
    """What all batteries have in common."""

    eta_charge: Annotated[float, Field(gt=0, le=1)] = 0.95
    eta_discharge: Annotated[float, Field(gt=0, le=1)] = 0.95
    soc_start: Share = 0.5
    soc_end: Share = 0.5
    soc_min: Share = 0.1
    wear: NonNegative = 0.0


class FlexibleRules(Table):
    """What all flexible loads have in common."""

    p_max_over_rated: Positive = 2.0
    energy_over_day: NonNegative = 24.0
    cut_cost: NonNegative = 0.0
    discomfort: NonNegative = 0.0


class GeneratorReactive(Table):
    """Reactive power of generators, in shares of their rating, and its cost."""

    up: NonNegative = 0.0
    down: NonNegative = 0.0
    cost: NonNegative = 0.0
    quadratic: NonNegative = 0.0


class InverterReactive(Table):
    """Reactive power of PV and wind inverters, in shares of their nameplate, and its cost."""

    share: NonNegative = 0.0
    cost: NonNegative = 0.0
    quadratic: NonNegative = 0.0


class Common(Table):
    """What all communities have in common."""

    tan_phi: NonNegative = 0.0
    battery: BatteryRules = BatteryRules()
    flexible: FlexibleRules = FlexibleRules()
    generator_q: GeneratorReactive = GeneratorReactive()
    inverter_q: InverterReactive = InverterReactive()
    load_profile: Series
    pv_profile: Series
    wind_profile: Series


class Generator(Table):
    """A dispatchable generator: an hour at p MW costs ``b p + a / 2 p^2``."""

    p: NonNegative
    b: float
    a: NonNegative = 0.0


class Battery(Table):
    """Power [MW] and capacity [MWh]."""

    p: NonNegative
    e: NonNegative


class Community(Table):
    """One energy community at one bus: rated powers [MW]."""

    bus: int
    load: NonNegative = 0.0
    flexible: NonNegative = 0.0
    pv: NonNegative = 0.0
    wind: NonNegative = 0.0
    generator: Generator = Generator(p=0.0, b=0.0)
    battery: Battery = Battery(p=0.0, e=0.0)

    def scaled(self, factor: float) -> "Community":
        """The same community with all powers and its battery multiplied."""
        powers = {name: factor * getattr(self, name) for name in ("load", "flexible", "pv", "wind")}
        generator = self.generator.model_copy(update={"p": factor * self.generator.p})
        battery = Battery(p=factor * self.battery.p, e=factor * self.battery.e)
        return self.model_copy(update={**powers, "generator": generator, "battery": battery})


class Moved(Table):
    """The same communities, in this order, on another feeder: what differs there (series only)."""

    case: str
    buses: list[int]
    scale: Positive = 1.0
    load: list[NonNegative]
    flexible: list[NonNegative]
    load_profile_scale: Positive = 1.0
    rise_limit_pu: Positive | None = None


class Communities(Table):
    """The whole file."""

    network: Network
    uncertainty: Uncertainty = Uncertainty()
    prices: Prices
    common: Common
    community: Annotated[list[Community], Field(min_length=1)]
    ieee33: Moved | None = None

    @model_validator(mode="after")
    def _same_hours(self) -> "Communities":
        hours = len(self.prices.buy)
        if self.network.v_min_pu >= self.network.v_max_pu:
            raise ValueError(f"network.v_min_pu must be below v_max_pu = {self.network.v_max_pu}")
        buses = [community.bus for community in self.community]
        twice = sorted({bus for bus in buses if buses.count(bus) > 1})
        if twice:
            raise ValueError(f"community.bus {twice[0]}: one community at each bus")
        series = {
            "network.load_profile": self.network.load_profile,
            "common.load_profile": self.common.load_profile,
            "common.pv_profile": self.common.pv_profile,
            "common.wind_profile": self.common.wind_profile,
        }
        for name, values in series.items():
            if len(values) != hours:
                raise ValueError(f"{name} has {len(values)} entries, prices.buy {hours}")
        return self

    @property
    def hours(self) -> int:
        """Length of the day."""
        return len(self.prices.buy)


def read_communities(path: Path) -> Communities:
    """Read and check a file.

    Raises
    ------
    DataError
        Naming the file, the field, its value and what is allowed.
    """
    try:
        with path.open("rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        allowed = f"a readable file ({error.strerror})"
        raise DataError(path.name, "file", str(path), allowed) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(path.name, "TOML", str(error), "a well-formed file") from error
    return checked(found, path.name)


def checked(found: Mapping[str, Any], name: str) -> Communities:
    """The tables of a file, checked."""
    try:
        return Communities.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "file"
        raise DataError(name, field, first.get("input"), first["msg"]) from error
