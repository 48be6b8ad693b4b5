"""The day of ieee119_case1.toml in plain mosaik calls: households on a branch of 119 buses.

``python scenarios/ieee119_case1.py`` takes the numbers from the TOML file and writes
ieee119_case1.h5.
"""

import tomllib
from pathlib import Path

import mosaik

from peergrid.cosim.attributes import outputs_of

STEP = 3600
START = "2016-07-24T21:00+00:00"  # mosaik's time 0: one step before 25 July, 0:00 in Berlin
FOLDER = Path(__file__).parent
NAME = Path(__file__).stem
TEXT = globals().get("TEXT") or (FOLDER / f"{NAME}.toml").read_text(encoding="utf-8")
TABLES = tomllib.loads(TEXT)
HOURS, SEED, ZONE = (TABLES[key] for key in ("hours", "seed", "timezone"))
NETWORK = {"max_loading_percent": 100.0, **TABLES["network"]}
CASE = NETWORK.pop("case")
SITE = dict(TABLES["weather"])
SOURCE = SITE.pop("source")
MARKET = {key: value for key, value in TABLES["market"].items() if key != "participants"}
PARTS = {  # table of the file: module, simulator and model, in the order in which devices act
    "fixed_load": ("load", "Load", "Load"),
    "appliance": ("appliance", "Appliance", "Appliance"),
    "building": ("building", "Building", "Building"),
    "ev": ("ev_fleet", "EVFleet", "EVFleet"),
    "battery": ("battery", "Battery", "Battery"),
    "pv": ("pv", "PV", "PV"),
}
LOADS = ("Load", "Appliance", "Building")  # whose ``P[MW]`` counts load positive
OTHERS = {"grid": "Grid", "weather": "Weather", "market": "Market", "recorder": "Recorder"}
CONFIG = {name: module for module, name, _ in PARTS.values()} | {n: m for m, n in OTHERS.items()}
CONFIG = {n: {"python": f"peergrid.cosim.{m}:{n}Simulator"} for n, m in CONFIG.items()}
CALENDAR = {"step_size": STEP, "start": START, "timezone": ZONE, "seed": SEED, "horizon": 24}
CALENDAR |= {"hours": HOURS + 2, "forecast": "default", "base_dir": str(FOLDER)}


def later(source, target, *names):
    """Connect so that the value of one step is seen in the next one."""
    world.connect(source, target, *names, time_shifted=True, initial_data=dict.fromkeys(names))


def params(table, k):
    """Creation parameters of a device: a series has a column by bus, most lists one entry each."""
    given = {
        key: value[k] if isinstance(value, list) and key != "phases_kw" else value
        for key, value in table.items()
    }
    bus = given.pop("buses")
    return {**given, "bus": bus} if "series" in given else given


def created(part, simulator, table):
    """The devices of a table, one at each of its buses; vehicles are one fleet."""
    if part == "ev":
        given = {key: value for key, value in table.items() if key != "buses"}
        return simulator.EVFleet(num_ev=len(table["buses"]), **given)
    model = getattr(simulator, PARTS[part][2])
    return [model(**params(table, k)) for k in range(len(table["buses"]))]


world = mosaik.World(CONFIG, cache=False)  # its cache would drop values that are used a step later
grid = world.start("Grid", step_size=STEP).Grid(network=CASE, slack_vm_pu=NETWORK["slack_vm_pu"])
buses = {bus.extra_info["index"]: bus for bus in grid.children if bus.type == "Bus"}
weather = world.start("Weather", **CALENDAR, **SITE).Weather(source=SOURCE)

# The clients with their devices. Each table has a simulator of its own.
members = sorted(TABLES["participant"], key=lambda table: table["bus"])
homes, fleets = {member["bus"]: [] for member in members}, []
for part, (_, simulator, _) in PARTS.items():
    for table in TABLES[part]:
        found = created(part, world.start(simulator, **CALENDAR), table)
        if part == "ev":
            fleets.append(found)
            found = found.children
        for bus, device in zip(table["buses"], found, strict=True):
            homes[bus].append(device)

# The market: one participant per client, one resource per device.
for member in members:
    side = [("generation", "load")[device.type in LOADS] for device in homes[member["bus"]]]
    named = zip(homes[member["bus"]], side, strict=True)
    member["resources"] = [{"name": device.eid, "side": of} for device, of in named]
settings = {**NETWORK, **MARKET, "envelopes": TABLES["envelopes"], "hours": HOURS + 2}
settings |= {"meters": list(buses), "base_dir": str(FOLDER)}
tariff = {"timezone": ZONE, **TABLES["prices"]}
market = world.start("Market", step_size=STEP, start=START, seed=SEED).Market(
    participants=members, network=CASE, tariff=tariff, settings=settings
)
inside = market.children_dict
for k, (bus, devices) in enumerate(homes.items()):
    for device, resource in zip(devices, inside[f"Participant-{k}"].children, strict=True):
        to = "load" if device.type in LOADS else "gen"
        power = [name for name in ("P[MW]", "Q[MVar]") if name in outputs_of(device.type)]
        world.connect(device, buses[bus], *((name, name.replace("[", f"_{to}[")) for name in power))
        later(device, resource, "flexibility", *power)
        if device.type != "Load":
            reactive = ["Q_set[MVar]"] if device.type == "PV" else []
            world.connect(resource, device, "P_set[MW]", *reactive)
        if device.type == "Building":
            world.connect(weather, device, "T_air[C]", "T_air_forecast[C]")
for bus, entity in buses.items():  # what is measured reaches the market one step later
    later(entity, inside[f"Meter-{bus}"], "Vm[pu]", "P[MW]", "Q[MVar]")
later(grid.children_dict["ExternalGrid-0"], inside["Head"], "P[MW]", "Q[MVar]")
later(grid, inside["Head"], "P_loss[MW]")
rows = {"start": START, "warmup_steps": 1, "hours": HOURS, "root": NETWORK}
recorder = world.start("Recorder", step_size=STEP, **rows).Recorder(filename=f"{NAME}.h5")
resources = [resource for member in inside.values() for resource in member.children]
behind = [device for devices in homes.values() for device in devices]
for entity in [
    grid,
    *grid.children,
    weather,
    *fleets,
    market,
    *inside.values(),
    *behind,
    *resources,
]:
    names = (n for n in outputs_of(entity.type) if n != "flexibility" and "_forecast[" not in n)
    world.connect(entity, recorder, *names)
world.run(until=(HOURS + 2) * STEP)
