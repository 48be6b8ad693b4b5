"""Every simulator follows mosaik's API 3."""

import mosaik_api_v3
import pytest

from peergrid.cosim.appliance import ApplianceSimulator
from peergrid.cosim.base import Simulator
from peergrid.cosim.battery import BatterySimulator
from peergrid.cosim.building import BuildingSimulator
from peergrid.cosim.ev_fleet import EVFleetSimulator
from peergrid.cosim.flexible_load import FlexibleLoadSimulator
from peergrid.cosim.generator import GeneratorSimulator
from peergrid.cosim.load import LoadSimulator
from peergrid.cosim.pv import PVSimulator
from peergrid.cosim.weather import WeatherSimulator
from peergrid.cosim.wind import WindSimulator

SIMULATORS = [
    WeatherSimulator,
    PVSimulator,
    WindSimulator,
    GeneratorSimulator,
    LoadSimulator,
    FlexibleLoadSimulator,
    ApplianceSimulator,
    BuildingSimulator,
    BatterySimulator,
    EVFleetSimulator,
]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_api_compliance(simulator: type[Simulator]) -> None:
    compliant = mosaik_api_v3.check_api_compliance(simulator())  # type: ignore[no-untyped-call]
    assert compliant is True


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_meta_is_copied_per_instance(simulator: type[Simulator]) -> None:
    one, other = simulator(), simulator()
    assert one.meta == other.meta
    assert one.meta["models"] is not other.meta["models"]
    assert one.meta["type"] == "time-based"
