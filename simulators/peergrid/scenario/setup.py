"""A scenario with everything that is looked up before anything is started, and the parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from peergrid.scenario.layout import MODELS, Device, Layout
from peergrid.scenario.schema import Scenario
from peergrid.scenario.starters import Clock, is_own, override_of
from peergrid.units import hours

if TYPE_CHECKING:
    from pandapower import pandapowerNet

REACTIVE_PRICES = ("reactive_import_eur_per_mvarh", "reactive_feed_in_eur_per_mvarh")
_CALENDAR = ("weather", *MODELS)


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """Everything a run is built from.

    Parameters
    ----------
    scenario, text, file
        The checked scenario, the text it was read from, and the file.
    net
        The network it names.
    clock
        Its steps.
    layout
        Its devices and participants.
    restore
        State of each simulator by id, when a run is resumed.
    """

    scenario: Scenario
    text: str
    file: Path
    net: "pandapowerNet"
    clock: Clock
    layout: Layout
    restore: Mapping[str, Any] = field(default_factory=dict)
    _scratch: TemporaryDirectory[str] = field(
        default_factory=lambda: TemporaryDirectory(prefix="peergrid-")
    )

    @property
    def base_dir(self) -> Path:
        """Folder that relative file names of the scenario start from."""
        return self.file.resolve().parent

    def sim_params(self, part: str, sid: str) -> dict[str, Any]:
        """Parameters of a simulator: those of the scenario's override, or peergrid's own."""
        override = override_of(self.scenario, part)
        params: dict[str, Any] = {"step_size": self.clock.step_s}
        if override is not None and override.params is not None:
            return {**params, **override.params}
        if not is_own(self.scenario, part):
            return params
        if part in _CALENDAR:
            params |= self._calendar(part)
        if part == "market":
            params |= {"start": self.clock.begin, "seed": self.scenario.seed}
        if sid in self.restore:
            params["restore"] = self.restore[sid]
        return params

    def _calendar(self, part: str) -> dict[str, Any]:
        """What all simulators of weather and devices take."""
        scenario = self.scenario
        params: dict[str, Any] = {
            "start": self.clock.begin,
            "timezone": scenario.timezone,
            "seed": scenario.seed,
            "horizon": self.horizon_steps,
            "hours": -(-self.clock.until // 3600),
            "forecast": scenario.forecast.model_dump(),
            "base_dir": str(self.base_dir),
        }
        if part == "load":
            params |= {
                "source": scenario.load.source,
                "scale": scenario.load.scale,
                "load_scale": scenario.plant.load_scale,
            }
        if part == "weather":
            params |= scenario.weather.site
        return params

    def site_params(self, part: str, weather: Mapping[str, Any] | None) -> dict[str, float]:
        """Where plants stand: what the weather says of its place, or else the scenario."""
        if not is_own(self.scenario, part):
            return {}
        wanted = {"pv": ("latitude", "longitude", "altitude_m"), "wind": ("wind_height_m",)}
        known = {**self.scenario.weather.site, **(weather or {})}
        return {name: float(known[name]) for name in wanted.get(part, ()) if name in known}

    @property
    def horizon_steps(self) -> int:
        """Steps that each clearing looks ahead."""
        return round(self.scenario.horizon / hours(self.clock.step_s))

    def grid_params(self) -> dict[str, Any]:
        """Creation parameters of the plant; somebody else's grid gets it as a file."""
        network, plant = self.scenario.network, self.scenario.plant
        if not is_own(self.scenario, "grid"):
            return {"json": str(self._plant_file())}
        return {
            **self._network_spec(),
            "slack_vm_pu": network.slack_vm_pu,
            "impedance_scale": plant.impedance_scale,
            "impedance_spread": plant.impedance_spread,
            "seed": self.scenario.seed,
        }

    def _network_spec(self) -> dict[str, str]:
        """The network by name, or by the absolute name of its file."""
        case = self.scenario.network.case
        if case.endswith(".json"):
            return {"json": str(self.base_dir / case)}
        return {"network": case}

    def _plant_file(self) -> Path:
        """The plant's net without its own loads, as a pandapower file."""
        import pandapower

        from peergrid.network.plant_net import plant_net, varied_lines

        path = Path(self._scratch.name) / "plant.json"
        plant = plant_net(
            varied_lines(self.net, self.scenario.plant.impedance_spread, self.scenario.seed),
            slack_vm_pu=self.scenario.network.slack_vm_pu,
            impedance_scale=self.scenario.plant.impedance_scale,
        )
        pandapower.to_json(plant, str(path))
        return path

    def weather_params(self) -> dict[str, Any]:
        """Creation parameters of the weather."""
        return {"source": self.scenario.weather.source}

    def device_params(self, device: Device) -> dict[str, Any]:
        """Creation parameters of a device; a name keeps its random streams apart if need be."""
        return {**device.params, **({"name": device.name} if device.layer else {})}

    def fleet_params(self, members: list[Device]) -> dict[str, Any]:
        """Creation parameters of the vehicles that one table has in one simulator."""
        first = members[0]
        name = {"name": f"EVFleet-{first.layer}.{first.table}"} if first.layer else {}
        tariff = {"tariff": self._tariff()} if "bid_share_of_import" in first.params else {}
        return {"num_ev": len(members), **first.params, **tariff, **name}

    def _tariff(self) -> dict[str, Any]:
        """The prices of the scenario, as the market and whoever bids by them take them."""
        prices = self.scenario.prices.model_dump(exclude=set(REACTIVE_PRICES))
        return {**prices, "timezone": self.scenario.timezone}

    def market_params(self) -> dict[str, Any]:
        """Creation parameters of the market."""
        return {
            "participants": [participant.on_wire() for participant in self.layout.participants],
            "network": self.scenario.network.case,
            "tariff": self._tariff(),
            "settings": self._market_settings(),
        }

    def _market_settings(self) -> dict[str, Any]:
        scenario = self.scenario
        network = scenario.network.model_dump(exclude={"case", "metered_buses"})
        market = scenario.market.model_dump(exclude_none=True, exclude={"participants"})
        if market["network"] == "envelope":
            del market["network"]  # the market's own default
        return {
            **network,
            **market,
            **self.scenario.prices.model_dump(include=set(REACTIVE_PRICES)),
            "envelopes": scenario.envelopes.model_dump(),
            "horizon": self.horizon_steps,
            "hours": -(-self.clock.until // 3600),
            "meters": self._meters(),
            "base_dir": str(self.base_dir),
        }

    def _meters(self) -> list[int]:
        """Buses that are metered."""
        metered = self.scenario.network.metered_buses
        return sorted(int(bus) for bus in (self.net.bus.index if metered == "all" else metered))
