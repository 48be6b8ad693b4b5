"""The households' days as scenarios: the files, the devices they make, and a day of case 0."""

import importlib
import importlib.util
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peergrid.devices.flexibility import Flexibility, parse
from peergrid.results import open_run
from peergrid.scenario.run import prepare, run
from peergrid.scenario.setup import Setup
from peergrid.scenario.starters import SIMULATORS
from peergrid.study.households.clients import Sizes, clients
from peergrid.study.households.devices import Resource, resources
from peergrid.study.households.profiles import Profiles, profiles

SCENARIOS = Path("scenarios").resolve()
FOLDER = SCENARIOS / "ieee119"
TRADING = (1, 2)
PARTS = {"load": "load", "building": "HVAC", "ev": "EV", "battery": "ESS", "pv": "PV"}
MACHINES = ("washing machine", "dishwasher")
WEATHER = ("T_air[C]", "T_air_forecast[C]")
SERIES = ("p_min_kw", "p_max_kw", "p_ref_kw", "q_ref_kvar")
Found = dict[str, Flexibility]


@pytest.fixture(scope="module")
def tool() -> Any:
    """The script that wrote the files."""
    path = Path("tools/build_households.py").resolve()
    spec = importlib.util.spec_from_file_location("build_households", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def file_of(case: int) -> Path:
    return SCENARIOS / f"ieee119_case{case}.toml"


def day_of(case: int) -> Profiles:
    return profiles(clients(case), seed=0)


def started(setup: Setup, part: str, layer: int = 0) -> Any:
    """A simulator of a part as a run starts it."""
    name, where = SIMULATORS[part]
    module, _, kind = where.partition(":")
    simulator = getattr(importlib.import_module(module), kind)()
    simulator.init(f"{name}-{layer}", **setup.sim_params(part, f"{name}-{layer}"))
    return simulator


def air(setup: Setup) -> dict[str, Any]:
    """What buildings hear of the weather in the hour before the day."""
    simulator = started(setup, "weather")
    simulator.create(1, "Weather", **setup.weather_params())
    simulator.setup_done()
    simulator.step(0, {}, 0)
    heard = simulator.get_data({"Weather-0": list(WEATHER)})["Weather-0"]
    return {name: {"Weather-0.Weather-0": value} for name, value in heard.items()}


def published(setup: Setup) -> Iterator[tuple[str, dict[str, Any]]]:
    """What every device says in the hour before the day: name of its client and message."""
    names = {p.bus: p.rights.name for p in setup.layout.participants}
    for part in (*PARTS, "appliance"):
        for layer, found in enumerate(setup.layout.layers(part)):
            simulator = started(setup, part, layer)
            if part == "ev":
                simulator.create(1, "EVFleet", **setup.fleet_params(found))
            else:
                model = {"load": "Load", "pv": "PV"}.get(part, part.capitalize())
                for device in found:
                    simulator.create(1, model, **setup.device_params(device))
            simulator.setup_done()
            eids = list(simulator.rows)
            inputs = dict.fromkeys(eids, air(setup)) if part == "building" else {}
            simulator.step(0, inputs, 0)
            for eid, device in zip(eids, found, strict=True):
                message = simulator.get_data({eid: ["flexibility"]})[eid]["flexibility"]
                yield f"{names[device.bus]} {PARTS.get(part) or MACHINES[layer]}", message


@pytest.fixture(scope="module", params=TRADING)
def said(request: pytest.FixtureRequest) -> tuple[Found, dict[str, Resource]]:
    """Messages of the co-simulation, were its forecasts perfect, and those of the study."""
    case = request.param
    setup = prepare(file_of(case), forecast={"model": "perfect"})
    owned = resources(clients(case), day_of(case), Sizes())
    return {name: parse(m) for name, m in published(setup)}, {each.name: each for each in owned}


def test_the_files_are_those_the_tool_writes(tool: Any, tmp_path: Path) -> None:
    written = tool.build(tmp_path)
    assert {path.name for path in written if path.suffix == ".csv"} == {
        path.name for path in FOLDER.glob("*.csv")
    }
    assert {path.name for path in written if path.suffix == ".toml"} == {
        path.name for path in SCENARIOS.glob("ieee119_case*.toml")
    }
    for path in written:
        ours = SCENARIOS / path.relative_to(tmp_path)
        assert path.read_bytes() == ours.read_bytes(), path.name


@pytest.mark.parametrize("case", [0, 1, 2])
def test_the_clients_are_those_of_the_study(case: int) -> None:
    setup, found = prepare(file_of(case)), clients(case)
    rights = setup.scenario.participant
    assert [(p.name, p.bus, p.may_sell) for p in rights] == [
        (client.name, client.bus, client.may_sell) for client in found
    ]
    assert all(p.takes_part for p in setup.layout.participants)
    assert setup.scenario.market.mechanism == ("stochastic" if case else "none")
    assert setup.layout.needs_weather == bool(case)


def test_every_device_is_there(said: tuple[Found, dict[str, Resource]]) -> None:
    ours, study = said
    assert set(ours) == set(study)
    assert len(ours) == 10 + 10 + 20 + 10 + 6 + 5


def test_the_first_messages_are_those_of_the_study(
    said: tuple[Found, dict[str, Resource]],
) -> None:
    ours, study = said
    for name, found in ours.items():
        wanted = study[name].message
        assert found.kind == wanted.kind, name
        for column in SERIES:
            values = getattr(found, column), getattr(wanted, column)
            np.testing.assert_allclose(*values, rtol=0.0, atol=1e-9, err_msg=f"{name} {column}")
        assert len(found.profiles) == len(wanted.profiles) == (found.kind == "PPBC")
        for mine, theirs in zip(found.profiles, wanted.profiles, strict=True):
            assert mine == {**theirs, "p_kw": pytest.approx(theirs["p_kw"])}, name


def test_the_first_messages_store_what_the_study_stores(
    said: tuple[Found, dict[str, Resource]],
) -> None:
    """Of vehicles the study asks for what they had at the day's end, too."""
    ours, study = said
    kept = [name for name, found in ours.items() if found.storage is not None]
    assert len(kept) == 10 + 6 + 5
    for name in kept:
        found, wanted = vars(ours[name].storage), vars(study[name].message.storage)
        cost = vars(ours[name].cost), vars(study[name].message.cost)
        for mine, theirs in ((found, wanted), cost):
            assert mine.keys() == theirs.keys()
            for key in mine:
                a, b = (np.atleast_1d(np.array(x, dtype=float)) for x in (mine[key], theirs[key]))
                end = -1 if name.endswith("EV") and key == "e_min_kwh" else None
                np.testing.assert_allclose(
                    a[:end], b[:end], rtol=1e-9, atol=1e-9, err_msg=f"{name} {key}"
                )


def test_forecasts_err_and_say_by_how_much() -> None:
    found = {name: parse(message) for name, message in published(prepare(file_of(1)))}
    owned = {each.name: each for each in resources(clients(1), day_of(1), Sizes())}
    assert sum(bool(message.sigma_kw.any()) for message in found.values()) == 10 + 10
    for kind in ("load", "PV"):
        names = [f"{client.name} {kind}" for client in clients(1)]
        missed = [found[name].p_ref_kw - owned[name].message.p_ref_kw for name in names]
        sigma = np.stack([found[name].sigma_kw for name in names])
        scaled = np.stack(missed)[sigma > 0.0] / sigma[sigma > 0.0]
        assert 0.5 < scaled.std() < 1.5, kind


# -- runs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of case 0."""
    return run(file_of(0), tmp_path_factory.mktemp("ieee119") / "case0.h5").path


def test_imports_of_case_0_are_loads_and_losses(alone: Path) -> None:
    data = open_run(alone)
    load = 1000.0 * data["Load.P[MW]"].values
    np.testing.assert_allclose(load, day_of(0).load_kw.T, rtol=0.0, atol=1e-9)
    lost = 1000.0 * data["Grid.P_loss[MW]"].values.sum(axis=1)
    imported = 1000.0 * data["ExternalGrid.P[MW]"].values.sum(axis=1)
    np.testing.assert_allclose(imported, load.sum(axis=1) + lost, rtol=0.0, atol=1e-4)
    assert 0.0 < lost.sum() < 0.01 * load.sum()
    assert data["Bus.Vm[pu]"].values.min() > 0.95


def test_the_ratings_of_the_branch_are_made_of_this_day(alone: Path) -> None:
    """What its data file says of them, up to the digits they are written with."""
    peak = 0.01 * open_run(alone)["Line.loading[%]"].values.max(axis=0)
    by_construction = [1.22, 1.20, 1.25, 1.30, 1.32, 1.35, 0.90, 0.95, 0.92, 0.85]
    assert peak == pytest.approx(by_construction, rel=0.01)


def test_the_script_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hours of it, cleared by ADMM, which is quick: it is the wiring that is compared."""
    script = SCENARIOS / "ieee119_case1.py"
    text = file_of(1).read_text(encoding="utf-8")
    for given, other in (
        ("hours = 24", "hours = 2"),
        ('mechanism = "stochastic"', 'mechanism = "p2p"'),
        ("scenarios = 3\n", ""),
    ):
        assert text.count(given) == 1
        text = text.replace(given, other)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(prepare.__globals__, "read_text", lambda _: text)
    ours = open_run(run(file_of(1), tmp_path / "toml.h5").path)
    runpy.run_path(str(script), {"TEXT": text})
    theirs = open_run("ieee119_case1.h5")
    assert set(theirs.data_vars) == set(ours.data_vars)
    assert all(theirs[name].identical(ours[name]) for name in theirs.data_vars)
