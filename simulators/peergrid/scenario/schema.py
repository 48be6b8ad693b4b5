"""What a scenario file may say: pydantic models, one per table of the TOML.

Unknown keys are errors. Units are in the names; every default is stated here and appears in the
JSON schema that ``peergrid schema scenario`` prints.
"""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from peergrid.scenario.assets import (
    ApplianceTable,
    Asset,
    BatteryTable,
    BuildingTable,
    EvTable,
    FixedLoadTable,
    FlexibleLoadTable,
    GeneratorTable,
    NonNegative,
    ParticipantTable,
    Positive,
    PvTable,
    RuleError,
    Share,
    Table,
    WindTable,
)
from peergrid.scenario.plan_tables import PlanTable

Pair = Annotated[list[int], Field(min_length=2, max_length=2)]
LOOPBACK = ("127.0.0.1", "localhost")


class Network(Table):
    """The feeder as the market knows it, and the limits it must keep."""

    case: str = Field(
        default="ieee33",
        description="library name, a pandapower .json file, pandapower:NAME, simbench:CODE or "
        "matpower:CASE",
    )
    slack_vm_pu: Positive = Field(default=1.0, description="voltage at the feeder head")
    v_min_pu: Positive = Field(default=0.9, description="lower end of the voltage band")
    v_max_pu: Positive = Field(default=1.1, description="upper end of the voltage band")
    max_loading_percent: Positive = Field(default=100.0, description="of each line's rating")
    rise_limit_pu: Positive | None = Field(
        default=None,
        description="largest voltage rise that participants may cause together (0.02 is common)",
    )
    metered_buses: Literal["all"] | list[int] = Field(
        default="all", description="buses whose voltage and power the operator measures"
    )

    @model_validator(mode="after")
    def _band(self) -> "Network":
        if self.v_min_pu >= self.v_max_pu:
            allowed = f"below v_max_pu = {self.v_max_pu}, or no envelope exists"
            raise RuleError("v_min_pu", self.v_min_pu, allowed)
        return self


class Plant(Table):
    """How the real grid differs from the market's model of it."""

    impedance_scale: Positive = Field(default=1.0, description="on every series impedance")
    impedance_spread: NonNegative = Field(
        default=0.0,
        description="standard deviation of each line's own factor around impedance_scale; seeded",
    )
    load_scale: NonNegative = Field(default=1.0, description="on every load, not forecast")
    swap_meters: list[Pair] = Field(
        default_factory=list, description="pairs of buses whose measurements are swapped"
    )


class WeatherInput(Table):
    """Where the weather comes from."""

    source: str = Field(
        default="try2010:4",
        description="try2010:1 to :15, tmy3:greensboro, tmy3:FILE, epw:FILE, pvgis:FILE or a .csv",
    )
    latitude: float | None = Field(default=None, ge=-90, le=90, description="of a .csv, north")
    longitude: float | None = Field(default=None, ge=-180, le=180, description="of a .csv, east")
    altitude_m: float | None = Field(default=None, description="of a .csv file")
    wind_height_m: Positive | None = Field(default=None, description="of a .csv file's wind speed")

    @property
    def site(self) -> dict[str, float]:
        """What is said of the place."""
        return self.model_dump(exclude={"source"}, exclude_none=True)


class LoadInput(Table):
    """Where the load profiles come from; every bus with a nominal load has one."""

    source: str = Field(default="simbench", description="simbench, bdew, or a .csv file")
    scale: NonNegative = Field(default=1.0, description="on every nominal load")


class PriceInput(Table):
    """Wholesale prices and the retail tariff on top of them."""

    wholesale: str = Field(default="nl-day-ahead", description="nl-day-ahead[:YEAR] or a .csv")
    retail_adder_eur_per_mwh: float = Field(default=150.0, description="fees and taxes")
    feed_in_fee_eur_per_mwh: float = Field(default=0.0, description="kept by the retailer")
    feed_in_floor_eur_per_mwh: float = Field(default=40.0, description="least price of feed-in")
    reactive_import_eur_per_mvarh: NonNegative = Field(
        default=0.0, description="price of reactive power; 0: it is not traded"
    )
    reactive_feed_in_eur_per_mvarh: NonNegative = Field(
        default=0.0, description="paid for reactive power that nobody here takes"
    )
    strict: bool = Field(
        default=False, description="refuse hours whose feed-in price exceeds the import price"
    )


class ForecastInput(Table):
    """How forecasts differ from what comes: a seeded error model, or not at all."""

    model: Literal["default", "perfect"] = "default"
    settings: dict[str, float] = Field(
        default_factory=dict, description='such as "pv.own_24" = 0.2: kind, field'
    )


class Market(Table):
    """Who clears, how, and who pays for what."""

    mechanism: Literal["p2p", "stochastic", "none"] = Field(
        default="p2p",
        description="p2p: cleared by ADMM; stochastic: planned under scenarios by one programme "
        "that knows all data, in receding horizon; none: everyone alone with the retailer",
    )
    participants: Literal["all", "listed"] = Field(
        default="all",
        description="who takes part: every bus with a load or a device, or only the devices at "
        "the buses that a [[participant]] table names; the feeder's nominal load, there too, and "
        "all else then belong to the background, which is forecast and drawn but not traded",
    )
    network: Literal["envelope", "ac", "none"] = Field(
        default="envelope",
        description="what the clearing must respect: the envelopes, the exact AC network itself, "
        "or nothing",
    )
    settlement: Literal["mid-market", "marginal", "sdr"] = "mid-market"
    losses_paid_by: Literal["operator", "participants"] = "operator"
    network_fee_eur_per_mwh: NonNegative = Field(default=10.0, description="on every trade")
    fee_fixed_eur_per_mwh: NonNegative = Field(
        default=0.0, description="on every trade, and weighed when trades are chosen"
    )
    fee_eur_per_mwh_ohm: NonNegative = Field(
        default=0.0, description="the same per ohm of the path between the two buses"
    )
    fee_reactive_share: NonNegative = Field(
        default=0.0, description="fees on reactive trades, relative to those on active ones"
    )
    enforcement: Literal["hard", "soft"] = Field(
        default="hard",
        description="devices keep to the envelope, or breaches are counted",
    )
    max_iterations: int | None = Field(default=None, ge=1, description="of one clearing")
    tolerance: Positive | None = Field(default=None, description="of one clearing, relative")
    scenarios: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="stochastic: of each plan; absent: 3; 1: the forecast only"
    )
    price_sigma: Share | None = Field(
        default=None, description="stochastic: uncertainty of the import price; absent: 0.08"
    )
    late_share: Share | None = Field(
        default=None, description="stochastic: vehicles an hour late; absent: 0.25"
    )
    early_share: Share | None = Field(
        default=None, description="stochastic: vehicles an hour early; absent: 0.25"
    )
    mip_gap: Positive | None = Field(
        default=None, description="stochastic: of cost and bound; absent: 0.001"
    )
    time_limit_s: Positive | None = Field(
        default=None, description="stochastic: of each plan; absent: 600"
    )
    overload_eur_per_mwh: NonNegative | None = Field(
        default=None, description="stochastic: price of exceeding a line's rating; absent: 2000"
    )


class Envelopes(Table):
    """What each connection point may inject and draw, set by the network operator."""

    kind: Literal["none", "static", "doe", "dfe-two-stage", "dfe-joint"] = Field(
        default="doe",
        description="none; static: one limit for all hours; doe: set by the operator each hour; "
        "dfe-two-stage, dfe-joint: agreed between communities and operator",
    )
    objective: Literal["proportional", "equal", "max-min", "log", "alpha-fair", "width"] = Field(
        default="proportional", description="by which rule a DOE (or static) shares out the room"
    )
    alpha: float = Field(
        default=2.0, ge=0.0, le=50.0, description="of alpha-fair; 1: log, 0: sum of shares"
    )
    shape: Literal["box", "polygon"] = Field(
        default="box",
        description="polygon: of 12 rays in P and Q around the box, where reactive power is traded",
    )
    count_on_load: bool = Field(
        default=True,
        description="credit load that is sure to be there to exports, if room is short",
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0, description="at which promises hold")
    promise: Literal["side", "network"] = Field(
        default="side",
        description="confidence of each side of an envelope, or of the whole network in an hour",
    )
    margins: Literal["gaussian", "conformal"] = Field(
        default="gaussian", description="conformal: from the forecast errors recorded so far"
    )
    load_sigma: NonNegative = Field(
        default=0.0, description="uncertainty of the background load at each bus, relative"
    )
    common_sigma: NonNegative = Field(default=0.0, description="of all background load together")
    commitments: bool = Field(
        default=False,
        description="joint envelopes may commit a participant to inject or draw at least so much",
    )
    loss_price_eur_per_mwh: NonNegative = Field(
        default=0.0, description="charged on losses while joint envelopes are agreed, and after"
    )
    feedback: bool = Field(default=True, description="correct the model from what the meters saw")


class Record(Table):
    """What the results file holds."""

    attributes: Literal["all"] | list[str] = Field(
        default="all",
        description="wire names to record; all: every output that is a number",
    )
    checkpoint_hours: int = Field(
        default=6, ge=0, description="hours between two states to resume from; 0: none"
    )


class Override(Table):
    """Another implementation of one part, or where ours runs; exactly one way to start it."""

    python: str | None = Field(default=None, description="module:Class in this process")
    cmd: str | None = Field(default=None, description="command line with %(addr)s")
    connect: str | None = Field(default=None, description="host:port of one that is waiting")
    allow_remote: bool = Field(default=False, description="let connect leave this machine")
    cwd: str = "."
    params: dict[str, Any] | None = Field(
        default=None, description="simulator parameters instead of peergrid's own"
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Override":
        if sum(way is not None for way in (self.python, self.cmd, self.connect)) != 1:
            given = self.model_dump(include={"python", "cmd", "connect"}, exclude_none=True)
            raise RuleError("", given, "exactly one of python, cmd, connect")
        if self.python is not None and self.python.count(":") != 1:
            raise RuleError("python", self.python, "module:Class")
        if self.cmd is not None and "%(addr)s" not in self.cmd:
            raise RuleError("cmd", self.cmd, "a command line with %(addr)s, where to connect to")
        if self.connect is not None:
            host, _, port = self.connect.rpartition(":")
            if not (host and port.isdigit() and 0 < int(port) < 65536):
                raise RuleError("connect", self.connect, "host:port")
            if host not in LOOPBACK and not self.allow_remote:
                allowed = "a port of 127.0.0.1, or allow_remote = true"
                raise RuleError("connect", self.connect, allowed)
        return self

    @property
    def is_remote(self) -> bool:
        """Whether the simulator runs in another process."""
        return self.python is None


class Simulators(Table):
    """Parts that somebody else's simulator takes, or that run elsewhere."""

    grid: Override | None = None
    weather: Override | None = None
    load: Override | None = None
    pv: Override | None = None
    wind: Override | None = None
    generator: Override | None = None
    flexible_load: Override | None = None
    appliance: Override | None = None
    building: Override | None = None
    battery: Override | None = None
    ev: Override | None = None
    market: Override | None = None


class Scenario(Table):
    """One run: where, when, who and what is recorded."""

    model_config = ConfigDict(title="peergrid scenario")

    name: str = Field(default="scenario", pattern=r"^[A-Za-z0-9._-]+$", description="of the files")
    start: str = Field(default="2016-06-30", description="first hour: local date, or ISO time")
    timezone: str = Field(default="Europe/Berlin", description="of start, tours and CSV stamps")
    hours: int = Field(default=24, ge=1, description="length of the run")
    step_s: int = Field(default=3600, ge=1, description="a divisor or multiple of 3600")
    seed: int = Field(default=1, ge=0, description="of everything random")
    horizon: int = Field(default=24, ge=1, description="hours that each clearing looks ahead")
    network: Network = Field(default_factory=Network)
    plant: Plant = Field(default_factory=Plant)
    weather: WeatherInput = Field(default_factory=WeatherInput)
    load: LoadInput = Field(default_factory=LoadInput)
    prices: PriceInput = Field(default_factory=PriceInput)
    forecast: ForecastInput = Field(default_factory=ForecastInput)
    market: Market = Field(default_factory=Market)
    envelopes: Envelopes = Field(default_factory=Envelopes)
    fixed_load: list[FixedLoadTable] = Field(default_factory=list)
    flexible_load: list[FlexibleLoadTable] = Field(default_factory=list)
    appliance: list[ApplianceTable] = Field(default_factory=list)
    building: list[BuildingTable] = Field(default_factory=list)
    pv: list[PvTable] = Field(default_factory=list)
    wind: list[WindTable] = Field(default_factory=list)
    generator: list[GeneratorTable] = Field(default_factory=list)
    battery: list[BatteryTable] = Field(default_factory=list)
    ev: list[EvTable] = Field(default_factory=list)
    participant: list[ParticipantTable] = Field(default_factory=list)
    plan: PlanTable | None = Field(default=None, description="for peergrid plan; runs ignore it")
    simulators: Simulators = Field(default_factory=Simulators)
    record: Record = Field(default_factory=Record)

    @field_validator("start", mode="before")
    @classmethod
    def _iso(cls, value: Any) -> Any:
        """TOML dates and times as ISO text."""
        return value.isoformat() if isinstance(value, date | datetime) else value

    def assets(self) -> dict[str, list[Asset]]:
        """The tables of assets by the name of their table, without empty ones."""
        tables = {name: getattr(self, name) for name in ASSET_TABLES}
        return {name: list(table) for name, table in tables.items() if table}


ASSET_TABLES = (
    "fixed_load",
    "flexible_load",
    "appliance",
    "building",
    "ev",
    "battery",
    "generator",
    "wind",
    "pv",
)
