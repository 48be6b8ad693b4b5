"""Who stands where: the devices and the participants of a scenario, before anything is started.

A participant is a connection point: a bus with a load or a device. Where only listed buses take
part, the devices at such a bus are one participant, and the feeder's nominal load there is another,
which like every other bus belongs to the background: it is forecast, but does not trade.

Two devices of one kind at the same bus go to two simulators (``layer`` 0 and 1), because what a
device does is told to the later ones behind the same connection point, and a simulator cannot talk
to itself. Fixed loads hear nothing, so they all live in one.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peergrid.errors import DataError
from peergrid.network.plant_net import nominal_power
from peergrid.scenario.assets import ParticipantTable
from peergrid.scenario.schema import Scenario
from peergrid.units import kw_from_mw

if TYPE_CHECKING:
    from pandapower import pandapowerNet

MODELS = {
    "load": "Load",
    "flexible_load": "FlexibleLoad",
    "appliance": "Appliance",
    "building": "Building",
    "ev": "EV",
    "battery": "Battery",
    "generator": "Generator",
    "wind": "WindTurbine",
    "pv": "PV",
}
"""Part of the scenario -> mosaik model, in the order in which devices act behind one bus."""

LOADS = ("load", "flexible_load", "appliance", "building")
"""Parts whose ``P[MW]`` counts load positive."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """One device: an entity of the simulator of its part.

    Parameters
    ----------
    part
        Key of :data:`MODELS`.
    name
        ``Model-k``, k counted over all devices of the part.
    bus
        Label of its bus.
    layer
        Which of the part's simulators it lives in.
    table
        Which table of the scenario it comes from.
    params
        Creation parameters.
    nominal
        Whether it is the feeder's own load, not one that the scenario adds.
    """

    part: str
    name: str
    bus: int
    layer: int = 0
    table: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)
    nominal: bool = False

    @property
    def side(self) -> str:
        """Whether its ``P[MW]`` counts load or generation positive."""
        return "load" if self.part in LOADS else "generation"

    @property
    def needs_weather(self) -> bool:
        """Whether its power depends on the weather."""
        measured = "series" in self.params
        return self.part == "building" or (self.part in ("pv", "wind") and not measured)


@dataclass(frozen=True, kw_only=True)
class Participant:
    """One connection point with its rights and its devices, in the order they act.

    One that does not take part belongs to the background.
    """

    rights: ParticipantTable
    devices: tuple[Device, ...]
    takes_part: bool = True

    @property
    def bus(self) -> int:
        """Label of its bus."""
        return self.rights.bus

    def on_wire(self) -> dict[str, Any]:
        """As the market's creation parameter wants it."""
        rights = self.rights.model_dump()
        kind = "bus" if self.takes_part else "background"
        return {
            **rights,
            "name": self.rights.name or f"{kind}-{self.bus}",
            "resources": [{"name": d.name, "side": d.side} for d in self.devices],
            **({} if self.takes_part else {"takes_part": False}),
        }


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All devices by part, and the participants by bus."""

    devices: Mapping[str, tuple[Device, ...]]
    participants: tuple[Participant, ...]

    @property
    def needs_weather(self) -> bool:
        """Whether anything depends on the weather."""
        return any(device.needs_weather for found in self.devices.values() for device in found)

    def layers(self, part: str) -> list[list[Device]]:
        """Devices of a part by the simulator they live in."""
        devices = self.devices.get(part, ())
        count = max((device.layer for device in devices), default=-1) + 1
        return [[d for d in devices if d.layer == layer] for layer in range(count)]


def lay_out(scenario: Scenario, net: "pandapowerNet", *, where: str = "scenario") -> Layout:
    """Place every device of a scenario on a network.

    Raises
    ------
    DataError
        If a bus does not exist in the network.
    """
    check_buses(scenario, net, where)
    assets = scenario.assets()
    devices = {"load": _nominal(net)}
    devices["load"] += _fixed(assets.pop("fixed_load", ()), len(devices["load"]))
    for part, tables in assets.items():
        devices[part] = _placed(part, tables)
    return Layout(devices=devices, participants=_participants(scenario, devices, where))


def check_buses(scenario: Scenario, net: "pandapowerNet", where: str) -> None:
    """Every bus that a table names must be one of the network's."""
    labels = {int(label) for label in net.bus.index}
    wanted = [
        (f"{part}[{t}].buses[{k}]", bus)
        for part, tables in scenario.assets().items()
        for t, table in enumerate(tables)
        for k, bus in enumerate(table.buses)
    ]
    wanted += [(f"participant[{k}].bus", p.bus) for k, p in enumerate(scenario.participant)]
    wanted += [
        (f"plant.swap_meters[{k}]", bus)
        for k, pair in enumerate(scenario.plant.swap_meters)
        for bus in pair
    ]
    candidates = [] if scenario.plan is None else list(scenario.plan.named_buses())
    wanted += candidates
    for name, bus in wanted:
        if bus not in labels:
            case = scenario.network.case
            raise DataError(where, name, bus, f"a bus of {case}: {in_words(labels)}")
    heads = {int(bus) for bus in net.ext_grid["bus"]}
    for name, bus in candidates:
        if bus in heads:
            others = in_words(labels - heads)
            raise DataError(where, name, bus, f"any bus but the root: {others}")


def in_words(labels: set[int]) -> str:
    """Bus labels in words.

    >>> in_words({1, 2, 3, 7})
    '1 to 3, 7'
    """
    runs: list[list[int]] = []
    for label in sorted(labels):
        if runs and label == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], label]
        else:
            runs.append([label])
    return ", ".join(" to ".join(map(str, run)) for run in runs)


def nominal_loads(net: "pandapowerNet") -> dict[int, tuple[float, float]]:
    """Nominal load of each bus that has one [kW, kvar]; static generators are not counted."""
    own = nominal_power(net)
    p_kw, q_kvar = kw_from_mw(own.p_load_mw), kw_from_mw(own.q_load_mvar)
    loads = zip(net.bus.index, p_kw.tolist(), q_kvar.tolist(), strict=True)
    return {int(bus): (p, q) for bus, p, q in loads if p != 0.0 or q != 0.0}


def _nominal(net: "pandapowerNet") -> tuple[Device, ...]:
    return tuple(
        Device(
            part="load",
            name=f"Load-{k}",
            bus=bus,
            params={"bus": bus, "p_nom_kw": p_kw, "q_nom_kvar": q_kvar},
            nominal=True,
        )
        for k, (bus, (p_kw, q_kvar)) in enumerate(nominal_loads(net).items())
    )


def _fixed(tables: Sequence[Any], first: int) -> tuple[Device, ...]:
    """The loads that a scenario adds, counted on from ``first``."""
    places = [(t, table, k) for t, table in enumerate(tables) for k in range(len(table.buses))]
    return tuple(
        Device(
            part="load",
            name=f"Load-{first + number}",
            bus=table.buses[k],
            table=t,
            params=table.params(k),
        )
        for number, (t, table, k) in enumerate(places)
    )


def _placed(part: str, tables: Sequence[Any]) -> tuple[Device, ...]:
    seen: Counter[int] = Counter()
    devices: list[Device] = []
    for t, table in enumerate(tables):
        for k, bus in enumerate(table.buses):
            devices.append(
                Device(
                    part=part,
                    name=f"{MODELS[part]}-{len(devices)}",
                    bus=bus,
                    layer=seen[bus],
                    table=t,
                    params=table.params(k),
                )
            )
            seen[bus] += 1
    return tuple(devices)


def _participants(
    scenario: Scenario, devices: Mapping[str, tuple[Device, ...]], where: str
) -> tuple[Participant, ...]:
    """By bus; those that take part before the background."""
    ordered = [
        device
        for part in MODELS
        for device in sorted(devices.get(part, ()), key=lambda device: device.layer)
    ]
    buses = {table.bus for table in scenario.participant}
    listed = scenario.market.participants == "listed"
    trading = [d for d in ordered if not listed or (d.bus in buses and not d.nominal)]
    background = [d for d in ordered if listed and (d.bus not in buses or d.nominal)]
    rights = _rights(scenario, {device.bus for device in trading}, where)
    return (
        *(
            Participant(rights=rights.get(bus) or ParticipantTable(bus=bus), devices=found)
            for bus, found in _by_bus(trading).items()
        ),
        *(
            Participant(rights=ParticipantTable(bus=bus), devices=found, takes_part=False)
            for bus, found in _by_bus(background).items()
        ),
    )


def _by_bus(devices: Sequence[Device]) -> dict[int, tuple[Device, ...]]:
    buses = sorted({device.bus for device in devices})
    return {bus: tuple(device for device in devices if device.bus == bus) for bus in buses}


def _rights(scenario: Scenario, buses: set[int], where: str) -> dict[int, ParticipantTable]:
    """The tables of participants by bus; ``buses`` are those that can have one."""
    listed = scenario.market.participants == "listed"
    if listed and not scenario.participant:
        allowed = "one or more [[participant]] tables, because market.participants = 'listed'"
        raise DataError(where, "participant", [], allowed)
    rights: dict[int, ParticipantTable] = {}
    for k, table in enumerate(scenario.participant):
        if table.bus in rights:
            raise DataError(where, f"participant[{k}].bus", table.bus, "each bus once")
        if table.bus not in buses:
            what = "a device of its own" if listed else "a load or a device"
            named = {p.bus for p in scenario.participant} & buses if listed else buses
            known = f": {in_words(named)}" if named else ""
            raise DataError(where, f"participant[{k}].bus", table.bus, f"a bus with {what}{known}")
        rights[table.bus] = table
    return rights
