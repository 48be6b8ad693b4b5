"""The day of ieee33_day.toml in plain mosaik calls: copy it, and put your own simulators in.

mosaik's time 0 is one step before the first reported hour: in that step every device says for the
first time what it can do. One step after the last hour settles that hour.
"""

import mosaik

from peergrid.cosim.attributes import outputs_of

HOURS, STEP = 24, 3600
START = "2016-06-29T23:00+02:00"  # mosaik's time 0: one step before 30 June, 0:00 in Berlin
PV = [2, 6, 9, 14, 17, 18, 19, 20, 23, 26, 32]
KWP = [400, 250, 200, 250, 150, 200, 350, 300, 400, 250, 250]
EVS = [3, 4, 5, 7, 8, 10, 11, 12, 13, 15, 16, 21, 22, 24, 25, 27, 28, 29, 30, 31, 33]
BATTERIES = {14: (400, 200), 24: (600, 300), 30: (400, 200)}  # bus: kWh, kW
LIMITS = {"v_min_pu": 0.95, "v_max_pu": 1.05, "max_loading_percent": 100.0}
PARTS = ["grid:Grid", "weather:Weather", "load:Load", "ev_fleet:EVFleet", "battery:Battery"]
PARTS += ["generator:Generator", "wind:Wind", "pv:PV", "market:Market", "recorder:Recorder"]
# Any of these may be somebody else's, or run elsewhere: {"cmd": "..."}, {"connect": "host:port"}.
CONFIG = {p.split(":")[1]: {"python": f"peergrid.cosim.{p}Simulator"} for p in PARTS}
CALENDAR = {"step_size": STEP, "start": START, "seed": 1, "horizon": 24, "hours": HOURS + 2}


def later(source, target, *names):
    """Connect so that the value of one step is seen in the next one."""
    world.connect(source, target, *names, time_shifted=True, initial_data=dict.fromkeys(names))


def arriving(device, *names):
    """What becomes of ``P[MW]``: ``P_load[MW]`` of a load, ``P_gen[MW]`` of anything else."""
    kind = "load" if device.type == "Load" else "gen"
    return [(name, name.replace("[", f"_{kind}[")) for name in names]


world = mosaik.World(CONFIG, cache=False)  # its cache would drop values that are used a step later
grid = world.start("Grid", step_size=STEP).Grid(network="ieee33", slack_vm_pu=1.02)
buses = {bus.extra_info["index"]: bus for bus in grid.children if bus.type == "Bus"}
weather = world.start("Weather", **CALENDAR).Weather(source="try2010:4")

# Devices by bus, in the order in which they act behind their connection point.
load, battery, wind = (world.start(name, **CALENDAR) for name in ("Load", "Battery", "Wind"))
place = {name: weather.extra_info[name] for name in ("latitude", "longitude", "altitude_m")}
pv = world.start("PV", **CALENDAR, **place)
devices = {}
for bus, entity in buses.items():
    nominal = {name: entity.extra_info[name] for name in ("p_nom_kw", "q_nom_kvar")}
    if nominal["p_nom_kw"] > 0:
        devices[bus] = [load.Load(bus=bus, **nominal)]
fleet = world.start("EVFleet", **CALENDAR).EVFleet(num_ev=len(EVS), e_max_kwh=40.0, p_max_kw=11.0)
for bus, vehicle in zip(EVS, fleet.children, strict=True):
    devices[bus].append(vehicle)
for bus, (kwh, kw) in BATTERIES.items():
    devices[bus].append(battery.Battery(e_max_kwh=kwh, p_max_kw=kw))
devices[29].append(world.start("Generator", **CALENDAR).Generator(p_max_kw=200.0))
for bus in (22, 25):
    devices[bus].append(wind.WindTurbine(turbine="NPS100C-21", hub_height_m=37.0))
for bus, kwp in zip(PV, KWP, strict=True):
    devices[bus].append(pv.PV(kwp=kwp, tilt_deg=30.0, azimuth_deg=180.0))

# The market: one participant per connection point, one resource per device.
members = [{"name": f"bus-{bus}", "bus": bus, "resources": []} for bus in devices]
for member, point in zip(members, devices.values(), strict=True):
    for device in point:
        side = "load" if device.type == "Load" else "generation"  # which P[MW] is positive
        member["resources"].append({"name": device.eid, "side": side})
settings = {**LIMITS, "slack_vm_pu": 1.02, "hours": HOURS + 2, "meters": list(buses)}
market = world.start("Market", step_size=STEP, start=START, seed=1).Market(
    participants=members, network="ieee33", tariff={}, settings=settings
)
inside = market.children_dict
for k, (bus, point) in enumerate(devices.items()):
    member = inside[f"Participant-{k}"]
    for i, (device, resource) in enumerate(zip(point, member.children, strict=True)):
        power = [name for name in ("P[MW]", "Q[MVar]") if name in outputs_of(device.type)]
        world.connect(device, buses[bus], *arriving(device, *power))
        later(device, resource, "flexibility", *power)
        if device.type in ("PV", "WindTurbine"):
            world.connect(weather, device, *outputs_of("Weather"))
        if device.type != "Load":  # what to do, and the envelope that must hold in real time
            reactive = device.type in ("PV", "WindTurbine", "Generator")
            world.connect(resource, device, *["P_set[MW]", "Q_set[MVar]"][: 1 + reactive])
            world.connect(member, device, "P_max[MW]", "P_min[MW]")
            for before in point[:i]:  # what the others behind the connection point did just now
                world.connect(before, device, *arriving(before, "P[MW]"))
for bus, entity in buses.items():  # what is measured reaches the market one step later
    later(entity, inside[f"Meter-{bus}"], "Vm[pu]", "P[MW]", "Q[MVar]")
for line in (child for child in grid.children if child.type == "Line" and child.eid in inside):
    later(line, inside[line.eid], "I[kA]")
later(grid.children_dict["ExternalGrid-0"], inside["Head"], "P[MW]", "Q[MVar]")
later(grid, inside["Head"], "P_loss[MW]")
rows = {"start": START, "warmup_steps": 1, "hours": HOURS, "root": LIMITS}
recorder = world.start("Recorder", step_size=STEP, **rows).Recorder(filename="ieee33_day.h5")
resources = [resource for member in inside.values() for resource in member.children]
behind = [device for point in devices.values() for device in point]
for entity in [grid, *grid.children, weather, fleet, market, *inside.values(), *behind, *resources]:
    names = [n for n in outputs_of(entity.type) if "forecast" not in n and n != "flexibility"]
    world.connect(entity, recorder, *names)
world.run(until=(HOURS + 2) * STEP)
