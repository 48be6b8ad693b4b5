"""What is at the buses of a scenario already, as a run without forecast errors realises it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from peergrid.inputs.loads import bus_loads, measured_loads
from peergrid.network.feeder import Feeder
from peergrid.scenario.layout import Device
from peergrid.study.siting.availability import Availability, reported

Floats = NDArray[np.float64]


def injections(sky: Availability, feeder: Feeder) -> tuple[Floats, Floats]:
    """Loads, and plants at full power, by feeder row ``(n, T)`` [kW, kvar]."""
    setup = sky.setup
    p, q = np.zeros((2, feeder.n_bus, setup.clock.reported))
    devices = setup.layout.devices
    for loads in _groups(devices["load"]):
        drawn_kw, drawn_kvar = _drawn(sky, loads)
        rows = _rows(loads, feeder)
        np.subtract.at(p, rows, drawn_kw)
        np.subtract.at(q, rows, drawn_kvar)
    for part, power in (("pv", sky.pv_kw), ("wind", sky.wind_kw)):
        plants = devices.get(part, ())
        np.add.at(p, _rows(plants, feeder), power([plant.params for plant in plants]))
    return p, q


def _groups(loads: Sequence[Device]) -> list[list[Device]]:
    """The nominal loads, and those of each table of fixed loads."""
    groups: dict[int, list[Device]] = {}
    for load in loads:
        groups.setdefault(-1 if load.nominal else load.table, []).append(load)
    return list(groups.values())


def _drawn(sky: Availability, loads: Sequence[Device]) -> tuple[Floats, Floats]:
    """What loads of one group draw ``(n, T)`` [kW, kvar]."""
    setup, now = sky.setup, reported(sky.setup)
    buses = [load.bus for load in loads]
    if not loads[0].nominal:
        tan_phi = np.array([load.params["tan_phi"] for load in loads])
        series = str(loads[0].params["series"])
        own = measured_loads(
            series, sky.span, buses=buses, tan_phi=tan_phi, base_dir=setup.base_dir
        )
        return own.p_kw[:, now], own.q_kvar[:, now]
    found = bus_loads(
        setup.scenario.load.source,
        np.array([load.params["p_nom_kw"] for load in loads]),
        np.array([load.params["q_nom_kvar"] for load in loads]),
        sky.span,
        seed=setup.scenario.seed,
        bus_ids=buses,
        base_dir=setup.base_dir,
    )
    scale = setup.scenario.load.scale
    return scale * found.p_kw[:, now], scale * found.q_kvar[:, now]


def _rows(devices: Sequence[Device], feeder: Feeder) -> NDArray[np.int64]:
    return np.array([feeder.index_of(device.bus) for device in devices], dtype=np.int64)
