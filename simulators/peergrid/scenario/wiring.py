"""A scenario becomes a mosaik World: simulators started by name, entities created, all connected.

Within one step the order is weather, market, devices, grid, recorder; what goes back (flexibility
and realised power to the market, measurements to its meters) is time-shifted by one step.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import mosaik

from peergrid.scenario.blame import Blame
from peergrid.scenario.layout import MODELS, Device
from peergrid.scenario.recording import connect_recorder
from peergrid.scenario.setup import Setup
from peergrid.scenario.starters import SIMULATORS, sim_config

WEATHER = ("GHI[W/m2]", "DNI[W/m2]", "DHI[W/m2]", "T_air[C]", "wind_speed[m/s]")
FORECASTS = tuple(name.replace("[", "_forecast[") for name in WEATHER)
POWER = ("P[MW]", "Q[MVar]")


@dataclass(kw_only=True)
class Wired:
    """A World with everything that was created in it.

    Parameters
    ----------
    world
        mosaik's World, ready to run.
    setup
        What it was built from.
    sims
        Started simulators by their id.
    parts
        Part of the scenario by simulator id.
    devices
        Entity of each device by its name.
    roots
        Top-level entities by simulator id.
    grid, market, weather
        Root entities.
    fed
        Simulator id, model and attribute of every input that something was connected to.
    """

    world: mosaik.World
    setup: Setup
    sims: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    roots: dict[str, list[Any]] = field(default_factory=dict)
    devices: dict[str, Any] = field(default_factory=dict)
    grid: Any = None
    market: Any = None
    weather: Any = None
    fed: set[tuple[str, str, str]] = field(default_factory=set)

    def start(self, part: str, **extra: Any) -> tuple[str, Any]:
        """Start one simulator of a part; returns its id and mosaik's factory."""
        name = SIMULATORS[part][0]
        sid = f"{name}-{sum(found == part for found in self.parts.values())}"
        params = {**self.setup.sim_params(part, sid), **extra}
        with Blame(self.setup, part):
            factory = self.world.start(name, sim_id=sid, **params)
        self.sims[sid], self.parts[sid] = factory, part
        self.roots[sid] = []
        return sid, factory

    def keep(self, sid: str, *entities: Any) -> None:
        """Remember top-level entities of a simulator."""
        self.roots[sid].extend(entities)

    def link(
        self, src: Any, dest: Any, *pairs: str | tuple[str, str], shifted: bool = False
    ) -> None:
        """Connect the attributes that both sides have; a foreign part may lack some."""
        named = [(pair, pair) if isinstance(pair, str) else pair for pair in pairs]
        found = [(a, b) for a, b in named if self._has(src, a) and self._has(dest, b)]
        self.fed |= {(dest.sid, dest.type, b) for _, b in found}
        if found and shifted:
            nothing = {a: None for a, _ in found}
            self.world.connect(src, dest, *found, time_shifted=True, initial_data=nothing)
        elif found:
            self.world.connect(src, dest, *found)

    def _has(self, entity: Any, attribute: str) -> bool:
        model = self.sims[entity.sid].meta["models"][entity.type]
        return attribute in model["attrs"] or bool(model.get("any_inputs"))


def build(setup: Setup, recorder: Mapping[str, Any] | None = None) -> Wired:
    """Start, create and connect everything of a run.

    Parameters
    ----------
    setup
        Checked scenario, network and layout.
    recorder
        Parameters of the recorder, which is started last, when everything else has accepted
        its input; without them nothing is recorded.
    """
    wired = Wired(world=_world(setup), setup=setup)
    try:
        _create(wired)
        _connect(wired)
        if recorder is not None:
            connect_recorder(wired, recorder)
    except BaseException:
        wired.world.shutdown()
        raise
    return wired


def _world(setup: Setup) -> mosaik.World:
    return mosaik.World(
        sim_config(setup.scenario),
        mosaik_config={"start_timeout": 60},
        cache=False,
        skip_greetings=True,
        configure_logging=False,
    )


def _create(wired: Wired) -> None:
    """All simulators but the recorder, and all entities."""
    setup = wired.setup
    sid, grid = wired.start("grid")
    with Blame(setup, "grid"):
        wired.grid = grid.Grid(**setup.grid_params())
    wired.keep(sid, wired.grid)
    if setup.layout.needs_weather:
        sid, weather = wired.start("weather")
        with Blame(setup, "weather"):
            wired.weather = weather.Weather(**setup.weather_params())
        wired.keep(sid, wired.weather)
    for part in MODELS:
        for layer in setup.layout.layers(part):
            with Blame(setup, part):
                _create_layer(wired, part, layer)
    sid, market = wired.start("market")
    with Blame(setup, "market"):
        wired.market = market.Market(**setup.market_params())
    wired.keep(sid, wired.market)


def _create_layer(wired: Wired, part: str, layer: list[Device]) -> None:
    """The devices of one simulator; a table of vehicles is one fleet with a child for each."""
    info = None if wired.weather is None else wired.weather.extra_info
    sid, factory = wired.start(part, **wired.setup.site_params(part, info))
    if part == "ev":
        for table in sorted({device.table for device in layer}):
            members = [device for device in layer if device.table == table]
            fleet = factory.EVFleet(**wired.setup.fleet_params(members))
            wired.keep(sid, fleet)
            children = [child for child in fleet.children if child.type == "EV"]
            wired.devices.update(zip((d.name for d in members), children, strict=True))
        return
    create = getattr(factory, MODELS[part])
    for device in layer:
        entity = create(**wired.setup.device_params(device))
        wired.keep(sid, entity)
        wired.devices[device.name] = entity


def _connect(wired: Wired) -> None:
    for device in _all_devices(wired):
        if device.needs_weather:
            wired.link(wired.weather, wired.devices[device.name], *WEATHER, *FORECASTS)
    _connect_grid(wired)
    _connect_market(wired)
    _connect_meters(wired)


def _connect_grid(wired: Wired) -> None:
    """Every device feeds its bus."""
    buses = by_index(wired.grid.children, "Bus")
    for device in _all_devices(wired):
        side = "load" if device.side == "load" else "gen"
        pairs = (("P[MW]", f"P_{side}[MW]"), ("Q[MVar]", f"Q_{side}[MVar]"))
        wired.link(wired.devices[device.name], buses[device.bus], *pairs)


def _connect_market(wired: Wired) -> None:
    """Messages and realised power up (shifted), set-points and envelopes down (same step)."""
    participants = [child for child in wired.market.children if child.type == "Participant"]
    hard = wired.setup.scenario.market.enforcement == "hard"
    for spec, participant in zip(wired.setup.layout.participants, participants, strict=True):
        for device, resource in zip(spec.devices, participant.children, strict=True):
            entity = wired.devices[device.name]
            wired.link(entity, resource, "flexibility", *POWER, shifted=True)
            if device.part == "load" or not spec.takes_part:
                continue
            wired.link(resource, entity, "P_set[MW]", "Q_set[MVar]")
            if hard:
                wired.link(participant, entity, "P_max[MW]", "P_min[MW]")
        if hard and spec.takes_part:
            _connect_site(wired, spec.devices)


def _connect_site(wired: Wired, devices: Iterable[Device]) -> None:
    """Behind one connection point, each device hears what the earlier ones realised."""
    earlier: list[Device] = []
    for device in devices:
        for other in earlier:
            target = "P_load[MW]" if other.side == "load" else "P_gen[MW]"
            entities = wired.devices[other.name], wired.devices[device.name]
            wired.link(*entities, ("P[MW]", target))
        earlier.append(device)


def _connect_meters(wired: Wired) -> None:
    """What was measured goes to the market one step later; some meters may be swapped."""
    grid, market = wired.grid.children, wired.market.children
    buses, lines = by_index(grid, "Bus"), by_index(grid, "Line")
    swapped: dict[int, int] = {}
    for a, b in wired.setup.scenario.plant.swap_meters:
        swapped |= {a: b, b: a}
    for bus, meter in by_index(market, "Meter").items():
        wired.link(buses[swapped.get(bus, bus)], meter, "Vm[pu]", *POWER, shifted=True)
    for line, meter in by_index(market, "LineMeter").items():
        if line in lines:
            wired.link(lines[line], meter, "I[kA]", shifted=True)
    head = next((child for child in market if child.type == "Head"), None)
    if head is None:
        return
    for source in (child for child in grid if child.type == "ExternalGrid"):
        wired.link(source, head, *POWER, shifted=True)
    wired.link(wired.grid, head, "P_loss[MW]", shifted=True)


def _all_devices(wired: Wired) -> list[Device]:
    return [device for part in MODELS for device in wired.setup.layout.devices.get(part, ())]


def by_index(entities: Iterable[Any], kind: str) -> dict[int, Any]:
    """Entities of a type by the index that their id ends in (``Bus-7``: 7)."""
    return {int(e.eid.rpartition("-")[2]): e for e in entities if e.type == kind}
