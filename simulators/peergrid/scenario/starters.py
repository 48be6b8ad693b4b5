"""Where each simulator of a run is found, and the clock that all of them share."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from peergrid.errors import DataError
from peergrid.inputs.span import HOUR_S, Span, parse_start
from peergrid.scenario.schema import Override, Scenario

SIMULATORS = {
    "grid": ("Grid", "peergrid.cosim.grid:GridSimulator"),
    "weather": ("Weather", "peergrid.cosim.weather:WeatherSimulator"),
    "load": ("Load", "peergrid.cosim.load:LoadSimulator"),
    "flexible_load": (
        "FlexibleLoad",
        "peergrid.cosim.flexible_load:FlexibleLoadSimulator",
    ),
    "appliance": ("Appliance", "peergrid.cosim.appliance:ApplianceSimulator"),
    "building": ("Building", "peergrid.cosim.building:BuildingSimulator"),
    "ev": ("EVFleet", "peergrid.cosim.ev_fleet:EVFleetSimulator"),
    "battery": ("Battery", "peergrid.cosim.battery:BatterySimulator"),
    "generator": ("Generator", "peergrid.cosim.generator:GeneratorSimulator"),
    "wind": ("Wind", "peergrid.cosim.wind:WindSimulator"),
    "pv": ("PV", "peergrid.cosim.pv:PVSimulator"),
    "market": ("Market", "peergrid.cosim.market:MarketSimulator"),
    "recorder": ("Recorder", "peergrid.cosim.recorder:RecorderSimulator"),
    "progress": ("Progress", "peergrid.scenario.progress:Progress"),
}
"""Part of the scenario -> name in mosaik, and where peergrid's own implementation is."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The steps of a run: warm-up, the reported hours, one closing step.

    mosaik's time 0 lies ``warmup`` steps before the first reported hour. The closing step only
    settles the last hour.
    """

    step_s: int
    hours: int
    warmup: int
    begin: str
    start: str

    @property
    def reported(self) -> int:
        """Number of reported steps."""
        return self.hours * HOUR_S // self.step_s

    @property
    def until(self) -> int:
        """End of the simulation [s of mosaik time]."""
        return (self.warmup + self.reported + 1) * self.step_s


def clock_of(scenario: Scenario, *, where: str = "scenario") -> Clock:
    """The clock of a scenario.

    Raises
    ------
    DataError
        If the start, the step, the hours or the horizon do not make whole steps.
    """
    first = parse_start(scenario.start, tz=scenario.timezone)
    try:
        Span(
            start=first,
            hours=scenario.hours,
            step_s=scenario.step_s,
            horizon_h=scenario.horizon,
            tz=scenario.timezone,
        )
    except DataError as error:
        field = error.field.replace("horizon_h", "horizon")
        raise DataError(where, field, error.value, error.allowed) from error
    warmup = max(1, HOUR_S // scenario.step_s)
    begin = first - timedelta(seconds=warmup * scenario.step_s)
    return Clock(
        step_s=scenario.step_s,
        hours=scenario.hours,
        warmup=warmup,
        begin=begin.isoformat(),
        start=first.isoformat(),
    )


def sim_config(scenario: Scenario) -> dict[str, dict[str, Any]]:
    """mosaik's configuration: ours by module and class, or what the scenario puts instead."""
    config: dict[str, dict[str, Any]] = {}
    for part, (name, own) in SIMULATORS.items():
        override = override_of(scenario, part)
        if override is None:
            config[name] = {"python": own}
        else:
            given = override.model_dump(include={"python", "cmd", "connect"}, exclude_none=True)
            config[name] = {**given, "cwd": override.cwd} if override.cmd else given
    return config


def override_of(scenario: Scenario, part: str) -> Override | None:
    """What the scenario puts in a part's place, if anything."""
    found = getattr(scenario.simulators, part, None)
    return found if isinstance(found, Override) else None


def is_own(scenario: Scenario, part: str) -> bool:
    """Whether a part is peergrid's own implementation, wherever it runs.

    A command or an address is taken for ours unless ``params`` says what to give it instead.
    """
    override = override_of(scenario, part)
    if override is None:
        return True
    if override.python is not None:
        return override.python.startswith("peergrid.")
    return override.params is None
