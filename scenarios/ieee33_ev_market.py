"""The day of ieee33_ev_market.toml in plain mosaik calls, under a settlement rule of your choice.

``python scenarios/ieee33_ev_market.py [mid-market | marginal | sdr]`` writes ev_market_RULE.h5.
"""

import sys
from pathlib import Path

import mosaik

from peergrid.cosim.attributes import outputs_of

RULE = sys.argv[1] if len(sys.argv) > 1 else "mid-market"
HOURS, STEP = 24, 3600
START = "2024-09-18T23:00+01:00"  # mosaik's time 0: one step before 19 September, 0:00 in Lisbon
FOLDER = Path(__file__).parent / "ieee33_ev_market"
KWP = [400, 250, 200, 250, 150, 200, 350, 300, 400, 250, 250]
PV = dict(zip([2, 6, 9, 14, 17, 18, 19, 20, 23, 26, 32], KWP, strict=True))
EVS = [3, 4, 5, 7, 8, 10, 11, 12, 13, 15, 16, 21, 22, 24, 25, 27, 28, 29, 30, 31, 33]
VEHICLE = {"soc_start": 0.5, "soc_departure": 0.98, "wear_eur_per_mwh": 0.0}
VEHICLE |= {"wear_rise_eur_per_mwh": 5.0, "bid_share_of_import": 0.85, "tours": "tours.csv"}
TARIFF = {"wholesale": "prices.csv", "timezone": "Europe/Lisbon", "retail_adder_eur_per_mwh": 0.0}
TARIFF |= {"feed_in_fee_eur_per_mwh": 1000.0, "feed_in_floor_eur_per_mwh": 45.0}
LIMITS = {"v_min_pu": 0.9, "v_max_pu": 1.1, "max_loading_percent": 100.0}
PARTS = ["grid:Grid", "load:Load", "ev_fleet:EVFleet", "pv:PV", "market:Market"]
PARTS += ["recorder:Recorder"]
CONFIG = {p.split(":")[1]: {"python": f"peergrid.cosim.{p}Simulator"} for p in PARTS}
CALENDAR = {"step_size": STEP, "start": START, "timezone": "Europe/Lisbon", "seed": 1}
CALENDAR |= {"horizon": 24, "hours": HOURS + 2, "forecast": "perfect", "base_dir": str(FOLDER)}


def later(source, target, *names):
    """Connect so that the value of one step is seen in the next one."""
    world.connect(source, target, *names, time_shifted=True, initial_data=dict.fromkeys(names))


def arriving(device, *names):
    """What becomes of ``P[MW]``: ``P_load[MW]`` of a load, ``P_gen[MW]`` of anything else."""
    kind = "load" if device.type == "Load" else "gen"
    return [(name, name.replace("[", f"_{kind}[")) for name in names]


world = mosaik.World(CONFIG, cache=False)  # its cache would drop values that are used a step later
grid = world.start("Grid", step_size=STEP).Grid(network="ieee33", slack_vm_pu=1.0)
buses = {bus.extra_info["index"]: bus for bus in grid.children if bus.type == "Bus"}

# Devices by bus, in the order in which they act behind their connection point.
load, pv = world.start("Load", **CALENDAR, source="load.csv"), world.start("PV", **CALENDAR)
devices = {}
for bus, entity in buses.items():
    nominal = {name: entity.extra_info[name] for name in ("p_nom_kw", "q_nom_kvar")}
    if nominal["p_nom_kw"] > 0:
        devices[bus] = [load.Load(bus=bus, **nominal)]
fleet = world.start("EVFleet", **CALENDAR).EVFleet(num_ev=len(EVS), tariff=TARIFF, **VEHICLE)
for bus, vehicle in zip(EVS, fleet.children, strict=True):
    devices[bus].append(vehicle)
for bus, kwp in PV.items():
    devices[bus].append(pv.PV(kwp=kwp, series="pv.csv", bus=bus))

# The market: one participant per connection point, one resource per device.
members = [{"name": f"bus-{bus}", "bus": bus, "resources": []} for bus in devices]
for member, point in zip(members, devices.values(), strict=True):
    for device in point:
        side = "load" if device.type == "Load" else "generation"  # which P[MW] is positive
        member["resources"].append({"name": device.eid, "side": side})
settings = {**LIMITS, "slack_vm_pu": 1.0, "settlement": RULE, "network_fee_eur_per_mwh": 0.0}
settings |= {"network": "ac", "tolerance": 1e-5, "hours": HOURS + 2}
settings |= {"meters": list(buses), "base_dir": str(FOLDER)}
market = world.start("Market", step_size=STEP, start=START, seed=1).Market(
    participants=members, network="ieee33", tariff=TARIFF, settings=settings
)
inside = market.children_dict
for k, (bus, point) in enumerate(devices.items()):
    member = inside[f"Participant-{k}"]
    for i, (device, resource) in enumerate(zip(point, member.children, strict=True)):
        power = [name for name in ("P[MW]", "Q[MVar]") if name in outputs_of(device.type)]
        world.connect(device, buses[bus], *arriving(device, *power))
        later(device, resource, "flexibility", *power)
        if device.type != "Load":  # what to do, and the envelope that must hold in real time
            reactive = ["Q_set[MVar]"] if device.type == "PV" else []
            world.connect(resource, device, "P_set[MW]", *reactive)
            world.connect(member, device, "P_max[MW]", "P_min[MW]")
            for before in point[:i]:  # what the others behind the connection point did just now
                world.connect(before, device, *arriving(before, "P[MW]"))
for bus, entity in buses.items():  # what is measured reaches the market one step later
    later(entity, inside[f"Meter-{bus}"], "Vm[pu]", "P[MW]", "Q[MVar]")
later(grid.children_dict["ExternalGrid-0"], inside["Head"], "P[MW]", "Q[MVar]")
later(grid, inside["Head"], "P_loss[MW]")
rows = {"start": START, "warmup_steps": 1, "hours": HOURS, "root": {**LIMITS, "settlement": RULE}}
recorder = world.start("Recorder", step_size=STEP, **rows).Recorder(filename=f"ev_market_{RULE}.h5")
resources = [resource for member in inside.values() for resource in member.children]
behind = [device for point in devices.values() for device in point]
for entity in [grid, *grid.children, fleet, market, *inside.values(), *behind, *resources]:
    world.connect(entity, recorder, *(n for n in outputs_of(entity.type) if n != "flexibility"))
world.run(until=(HOURS + 2) * STEP)
