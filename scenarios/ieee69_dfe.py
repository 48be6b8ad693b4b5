"""The day of ieee69_dfe.toml in plain mosaik calls: five communities on the 69-bus feeder.

``python scenarios/ieee69_dfe.py`` takes the numbers from the TOML file and writes ieee69_dfe.h5.
"""

import tomllib
from pathlib import Path

import mosaik

from peergrid.cosim.attributes import outputs_of

HOURS, STEP = 24, 3600
START = "2024-06-19T23:00+00:00"  # mosaik's time 0: one step before 20 June, 0:00
FOLDER = Path(__file__).parent
NAME = globals().get("CASE", Path(__file__).stem)  # ieee33_doe.py runs these lines too
TABLES = tomllib.loads((FOLDER / f"{NAME}.toml").read_text(encoding="utf-8"))
NETWORK = {"slack_vm_pu": 1.0, "max_loading_percent": 100.0, **TABLES["network"]}
CASE = NETWORK.pop("case")
TARIFF = {"timezone": "UTC", **TABLES["prices"]}
REACTIVE = {key: TARIFF.pop(key) for key in TABLES["prices"] if key.startswith("reactive")}
MARKET = {key: value for key, value in TABLES["market"].items() if key != "participants"}
PARTS = {  # table of the file: module, simulator and model
    "fixed_load": ("load", "Load", "Load"),
    "flexible_load": ("flexible_load", "FlexibleLoad", "FlexibleLoad"),
    "battery": ("battery", "Battery", "Battery"),
    "generator": ("generator", "Generator", "Generator"),
    "wind": ("wind", "Wind", "WindTurbine"),
    "pv": ("pv", "PV", "PV"),
}
OTHERS = {"grid": "Grid", "market": "Market", "recorder": "Recorder"}
CONFIG = {name: module for module, name, _ in PARTS.values()} | {n: m for m, n in OTHERS.items()}
CONFIG = {n: {"python": f"peergrid.cosim.{m}:{n}Simulator"} for n, m in CONFIG.items()}
CALENDAR = {"step_size": STEP, "start": START, "timezone": "UTC", "seed": 1, "horizon": 24}
CALENDAR |= {"hours": HOURS + 2, "forecast": "perfect", "base_dir": str(FOLDER)}


def later(source, target, *names):
    """Connect so that the value of one step is seen in the next one."""
    world.connect(source, target, *names, time_shifted=True, initial_data=dict.fromkeys(names))


def params(table, k):
    """Creation parameters of a device: lists have an entry for each, a series a column by bus."""
    given = {key: value[k] if isinstance(value, list) else value for key, value in table.items()}
    bus = given.pop("buses")
    return {**given, "bus": bus} if "series" in given else given


def side(device):
    """Which ``P[MW]`` counts positive."""
    return "load" if device.type in ("Load", "FlexibleLoad") else "generation"


world = mosaik.World(CONFIG, cache=False)  # its cache would drop values that are used a step later
grid = world.start("Grid", step_size=STEP).Grid(network=CASE, slack_vm_pu=NETWORK["slack_vm_pu"])
buses = {bus.extra_info["index"]: bus for bus in grid.children if bus.type == "Bus"}

# The feeder's nominal loads, the background: forecast to the market, but not traded.
start = {"Load": world.start("Load", **CALENDAR, **TABLES["load"])}
background = {}
for bus, entity in buses.items():
    nominal = {name: entity.extra_info[name] for name in ("p_nom_kw", "q_nom_kvar")}
    if nominal["p_nom_kw"] > 0:
        background[bus] = [start["Load"].Load(bus=bus, **nominal)]

# The communities, with their devices in the order in which they act.
members = sorted(TABLES["participant"], key=lambda table: table["bus"])
communities = {member["bus"]: [] for member in members}
for part, (_, simulator, model) in PARTS.items():
    if simulator not in start:
        start[simulator] = world.start(simulator, **CALENDAR)
    for table in TABLES[part]:
        for k, bus in enumerate(table["buses"]):
            communities[bus].append(getattr(start[simulator], model)(**params(table, k)))

members += [{"name": f"background-{b}", "bus": b, "takes_part": False} for b in background]
points = [*communities.values(), *background.values()]
for member, devices in zip(members, points, strict=True):
    member["resources"] = [{"name": device.eid, "side": side(device)} for device in devices]
settings = {**NETWORK, **MARKET, **REACTIVE, "envelopes": TABLES["envelopes"], "hours": HOURS + 2}
settings |= {"meters": list(buses), "base_dir": str(FOLDER)}
market = world.start("Market", step_size=STEP, start=START, seed=1).Market(
    participants=members, network=CASE, tariff=TARIFF, settings=settings
)
inside = market.children_dict
for k, (member, devices) in enumerate(zip(members, points, strict=True)):
    for device, resource in zip(devices, inside[f"Participant-{k}"].children, strict=True):
        to = {"load": "load", "generation": "gen"}[side(device)]
        power = {name: name.replace("[", f"_{to}[") for name in ("P[MW]", "Q[MVar]")}
        world.connect(device, buses[member["bus"]], *power.items())
        later(device, resource, "flexibility", *power)
        if device.type != "Load":
            reactive = ["Q_set[MVar]"] if device.type in ("Generator", "WindTurbine", "PV") else []
            world.connect(resource, device, "P_set[MW]", *reactive)
for bus, entity in buses.items():  # what is measured reaches the market one step later
    later(entity, inside[f"Meter-{bus}"], "Vm[pu]", "P[MW]", "Q[MVar]")
later(grid.children_dict["ExternalGrid-0"], inside["Head"], "P[MW]", "Q[MVar]")
later(grid, inside["Head"], "P_loss[MW]")
rows = {"start": START, "warmup_steps": 1, "hours": HOURS, "root": NETWORK}
recorder = world.start("Recorder", step_size=STEP, **rows).Recorder(filename=f"{NAME}.h5")
resources = [resource for member in inside.values() for resource in member.children]
behind = [device for devices in points for device in devices]
for entity in [grid, *grid.children, market, *inside.values(), *behind, *resources]:
    world.connect(entity, recorder, *(n for n in outputs_of(entity.type) if n != "flexibility"))
world.run(until=(HOURS + 2) * STEP)
