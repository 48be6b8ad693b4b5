"""Every device: plain data out, a run split in two equals the whole, order does not matter."""

import json
from typing import Any

import pytest

from peergrid.cosim import ev_fleet
from peergrid.cosim.attributes import outputs_of
from peergrid.devices.flexibility import parse
from tests.cosim.device_cases import CASES, Inputs, play, random_inputs, started

ALL = pytest.mark.parametrize("part", sorted(CASES))
STEP = pytest.mark.parametrize("step_s", [900, 3600, 7200])


@ALL
@STEP
def test_outputs_are_complete_plain_and_fresh(part: str, step_s: int) -> None:
    case = CASES[part]
    simulator = started(case, step_size=step_s)
    inputs_of = random_inputs(case, simulator)
    play(simulator, inputs_of, range(3))
    for eid, values in simulator._outputs.items():
        model = eid.split("-")[0]
        assert set(values) == set(outputs_of(model))
        assert json.loads(json.dumps(values)) == values
        asked = {eid: list(values)}
        first, second = simulator.get_data(asked), simulator.get_data(asked)
        assert first == second
        assert first[eid] is not second[eid]
        if "flexibility" in values:
            message = parse(values["flexibility"])
            assert (message.t0_s, message.dt_s) == (3 * step_s, step_s)
            assert message.steps == 24


@ALL
@STEP
def test_a_split_run_equals_the_whole(part: str, step_s: int) -> None:
    case = CASES[part]
    whole = started(case, step_size=step_s)
    inputs_of = random_inputs(case, whole)
    expected = play(whole, inputs_of, range(60))
    first = started(case, step_size=step_s)
    head = play(first, inputs_of, range(25))
    saved = json.loads(json.dumps(first.state()))
    second = started(case, step_size=step_s, restore=saved)
    assert second.step(0, {}, step_s) == 25 * step_s
    assert second.state() == saved
    assert head + play(second, inputs_of, range(25, 60)) == expected


@ALL
def test_order_of_inputs_does_not_matter(part: str) -> None:
    case = CASES[part]
    forward, backward = started(case), started(case)
    inputs_of = random_inputs(case, forward)

    def reverse(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: reverse(value[key]) for key in reversed(value)}

    def turned(index: int) -> Inputs:
        found: Inputs = reverse(inputs_of(index))
        return found

    assert play(forward, inputs_of, range(20)) == play(backward, turned, range(20))


@ALL
def test_inputs_are_read_only(part: str) -> None:
    case = CASES[part]
    simulator = started(case)
    inputs = random_inputs(case, simulator)(0)
    before = json.dumps(inputs)
    simulator.step(0, inputs, 3600)
    assert json.dumps(inputs) == before


@pytest.mark.parametrize("part", ["weather", "load", "pv", "wind", "ev"])
def test_blocks_of_data_do_not_change_results(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ev_fleet, "_LEAST_BLOCK_H", 1)
    case = CASES[part]
    short, long = started(case, hours=6), started(case, hours=200)
    inputs_of = random_inputs(case, long)
    assert play(short, inputs_of, range(30)) == play(long, inputs_of, range(30))


@pytest.mark.parametrize("part", ["load", "pv", "ev"])
def test_the_seed_matters(part: str) -> None:
    case = CASES[part]
    one, other = started(case, seed=1), started(case, seed=2)
    inputs_of = random_inputs(case, one)
    assert play(one, inputs_of, range(20)) != play(other, inputs_of, range(20))


@pytest.mark.parametrize("part", ["pv", "wind", "load"])
def test_a_name_brings_its_own_forecast_errors(part: str) -> None:
    case = CASES[part]
    params = dict(case.params) | ({"bus": 5} if part == "load" else {})
    alone, second = case.simulator(), case.simulator()
    for simulator, names in ((alone, ["north"]), (second, ["south", "north"])):
        simulator.init("Sim", start="2016-06-30T10:00+02:00")
        for name in names:
            simulator.create(1, case.model, name=name, **params)
    weather = random_inputs(case, started(case, start="2016-06-30T10:00+02:00"))(0)
    for eid in (f"{case.model}-0", f"{case.model}-1"):
        for name in case.listens:
            weather[eid].pop(name, None)
    alone.step(0, weather, 1)
    second.step(0, weather, 1)
    flexibility = {eid: values["flexibility"] for eid, values in second._outputs.items()}
    model = case.model
    assert alone._outputs[f"{model}-0"]["flexibility"] == flexibility[f"{model}-1"]
    assert flexibility[f"{model}-0"] != flexibility[f"{model}-1"]
