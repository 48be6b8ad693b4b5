"""Every device in a real mosaik world, wired to weather and a source of set-points."""

from typing import Any

import mosaik
import pytest

from peergrid.cosim.attributes import MODELS, outputs_of
from peergrid.devices.flexibility import parse
from tests.cosim.device_cases import CASES
from tests.cosim.helpers import PYTHON_SINK, PYTHON_SOURCE

STEPS = 4


def run(part: str, *, remote: bool = False) -> dict[int, dict[str, dict[str, Any]]]:
    """Play a few hours of one device with weather and a set-point; what a sink has seen."""
    case = CASES[part]
    module = case.simulator.__module__
    device = {"cmd": f"%(python)s -m {module} %(addr)s"} if remote else case.path
    config: Any = {
        "Device": device,
        "Sky": CASES["weather"].path,
        "Source": PYTHON_SOURCE,
        "Sink": PYTHON_SINK,
    }
    seen: dict[int, dict[str, dict[str, Any]]] = {}
    with mosaik.World(config, cache=False) as world:
        device_sim = world.start("Device", sim_id="Device", start="2016-06-30T10:00+02:00")
        entities = getattr(device_sim, case.model).create(2, **case.params)
        if case.weather:
            sky = world.start("Sky", sim_id="Sky", start="2016-06-30T10:00+02:00").Weather()
            for entity in entities:
                world.connect(sky, entity, *case.weather_names)
        if case.listens:
            play = world.start("Source", attrs=["P_set[MW]"])
            set_point = play.Column(values={"P_set[MW]": [None, 0.001, 0.002]})
            world.connect(
                set_point,
                entities[0],
                "P_set[MW]",
                time_shifted=True,
                initial_data={"P_set[MW]": None},
            )
        sink = world.start("Sink").Sink(into=seen)
        listed = [*entities, *(child for entity in entities for child in entity.children)]
        for entity in listed:
            world.connect(entity, sink, *outputs_of(entity.type))
        world.run(until=STEPS * 3600, print_progress=False)
    return seen


@pytest.mark.parametrize("part", sorted(CASES))
def test_device_in_a_world(part: str) -> None:
    seen = run(part)
    assert sorted(seen) == [3600 * k for k in range(STEPS)]
    for index, time in enumerate(sorted(seen)):
        for source, values in seen[time].items():
            model = source.split(".")[1].split("-")[0]
            assert model in MODELS
            assert None not in values.values()
            if "flexibility" in values:
                assert parse(values["flexibility"]).t0_s == (index + 1) * 3600.0
    if part not in ("weather", "load", "flexible_load", "appliance", "building", "ev"):
        follows = seen[3 * 3600][f"Device.{CASES[part].model}-0"]["P[MW]"]
        assert follows == pytest.approx(0.002, abs=1e-9)


def test_a_remote_simulator_says_the_same() -> None:
    assert run("battery", remote=True) == run("battery")
