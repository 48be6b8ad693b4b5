"""A plan as a scenario that runs."""

import shutil
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from peergrid.errors import DataError
from peergrid.planning.plan import Plan
from peergrid.planning.problem import Plant
from peergrid.results import open_run
from peergrid.scenario.load import load_scenario
from peergrid.scenario.run import check, prepare, run
from peergrid.study.siting.availability import Availability
from peergrid.study.siting.case import Case, case_of
from peergrid.study.siting.replay import write_scenario
from peergrid.study.siting.toml_text import moved, toml_text
from tests.study.siting_file import BATTERY, EV, PV, WIND, write, write_series

DAY = "2016-06-29T22:00Z"
SUN = np.round(np.clip(np.sin(np.linspace(-1.0, 4.0, 24)), 0.0, None), 3)
WINDY = np.round(np.linspace(0.9, 0.1, 24), 3)
MEASURED = "series = 'plants.csv'\n"


def plan_of(case: Case, **sizes: dict[int, float]) -> Plan:
    """A plan that builds these sizes at these buses, storages idle."""
    plan = Plan.nothing(case.problem)
    for technology in case.problem.technologies:
        labels = case.problem.feeder.bus_id[technology.rows].tolist()
        for bus, size in sizes.get(technology.name.replace("-", "_"), {}).items():
            plan.size[technology.name][labels.index(bus)] = size
    return plan


def available(case: Case, name: str) -> np.ndarray:
    found = next(t for t in case.problem.technologies if t.name == name)
    assert isinstance(found, Plant)
    return found.available_kw


def mixed(folder: Path) -> Case:
    """Plants by weather and by a series, batteries and vehicles."""
    folder.mkdir(exist_ok=True)
    columns = {"pv [kW/kWp]": SUN.tolist(), "wind [kW/kW]": WINDY.tolist()}
    write_series(folder / "plants.csv", columns, start=DAY)
    pv = "[[plan.pv]]\nmax_kwp = 90\nsites = 2\n"
    return case_of(write(folder, PV, pv, MEASURED, WIND, WIND, MEASURED, BATTERY, EV))


BUILT: dict[str, dict[int, float]] = {
    "pv_1": {7: 150.0},
    "pv_2": {3: 20.0, 12: 31.25},
    "wind_1": {8: 2.0},
    "wind_2": {8: 40.0},
    "battery": {7: 120.0},
    "ev": {4: 6.0},
}


def test_it_is_the_scenario_with_what_was_built(tmp_path: Path) -> None:
    case = mixed(tmp_path)
    out = write_scenario(case, plan_of(case, **BUILT), tmp_path / "new" / "b.toml", about="milp")
    text = out.read_text(encoding="utf-8")
    assert text.startswith("# What a plan for siting.toml builds, to be replayed:\n")
    assert "# Objective: cost.\n# Found by: milp.\n" in text
    written, before = tomllib.loads(text), case.setup.scenario
    assert "plan" not in written
    assert written["network"] == {"case": "ieee12", "slack_vm_pu": 1.02} | {
        "v_min_pu": 0.94,
        "v_max_pu": 1.05,
    }
    assert [table["buses"] for table in written["pv"]] == [[7], [3, 12]]
    assert [table.get("kwp") for table in written["pv"]] == [[150.0], [20.0, 31.25]]
    assert written["wind"][0]["count"] == [2]
    assert written["wind"][1]["rated_kw"] == [40.0]
    assert (written["battery"][0]["p_max_kw"], written["battery"][0]["soc_end"]) == ([60.0], 0.5)
    assert (written["ev"][0]["e_max_kwh"], written["ev"][0]["p_max_kw"]) == (300.0, 66.0)
    after = load_scenario(out)
    same = {"plan", "name", "pv", "wind", "battery", "ev"}
    assert after.model_dump(exclude=same) == before.model_dump(exclude=same)
    assert check(out)["devices"] == {"load": 11, "ev": 1, "battery": 1, "wind": 2, "pv": 3}


def test_a_plan_without_anything_is_the_scenario_alone(tmp_path: Path) -> None:
    case = case_of(write(tmp_path, PV, BATTERY, EV))
    out = write_scenario(case, Plan.nothing(case.problem), tmp_path / "none.toml")
    assert check(out)["devices"] == {"load": 11}
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("days", [1, 2])
def test_plants_offer_what_the_plan_counted_on(tmp_path: Path, days: int) -> None:
    sun = np.concatenate([SUN, 0.5 * SUN])[: 24 * days]
    write_series(tmp_path / "plants.csv", {"pv [kW/kWp]": sun.tolist()}, start=DAY)
    case = case_of(write(tmp_path, PV, PV, MEASURED, WIND, hours=24 * days))
    plan = plan_of(case, pv_1={5: 100.0}, pv_2={6: 33.3}, wind={9: 3.0})
    setup = prepare(write_scenario(case, plan, tmp_path / "b.toml"))
    sky = Availability(setup=setup)
    pv_kw = sky.pv_kw([device.params for device in setup.layout.devices["pv"]])
    wind_kw = sky.wind_kw([device.params for device in setup.layout.devices["wind"]])
    assert np.allclose(pv_kw[0], 100.0 * available(case, "pv-1"), rtol=1e-12)
    assert np.allclose(pv_kw[1], 33.3 * available(case, "pv-2"), rtol=1e-9)
    assert np.allclose(wind_kw[0], 3.0 * available(case, "wind"), rtol=1e-12)


def test_series_repeat_the_planned_days(tmp_path: Path) -> None:
    write_series(tmp_path / "plants.csv", {"pv [kW/kWp]": SUN.tolist()}, start=DAY)
    case = case_of(write(tmp_path, PV, MEASURED))
    write_scenario(case, plan_of(case, pv={5: 10.0}), tmp_path / "b.toml")
    table = pd.read_csv(tmp_path / "b" / "power-pv.csv")
    times = pd.to_datetime(table["time"])
    first, last = times.iloc[0], times.iloc[-1]
    assert first <= pd.Timestamp(DAY) - pd.Timedelta(days=1)
    assert last >= pd.Timestamp(DAY) + pd.Timedelta(days=3) - pd.Timedelta(hours=1)
    hour = ((times - pd.Timestamp(DAY)) // pd.Timedelta(hours=1)) % 24
    assert np.allclose(table["bus_5 [kW]"], 10.0 * SUN[hour])


def test_files_are_found_from_another_folder(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    write_series(here / "plants.csv", {"bus_6 [kW]": [3.0] * 96}, start="2016-06-28T22:00Z")
    write_series(here / "prices.csv", {"price [EUR/MWh]": [30.0] * 96}, start="2016-06-28T22:00Z")
    curve = pd.DataFrame({"wind_speed [m/s]": [0.0, 10.0], "power [kW]": [0.0, 60.0]})
    curve.to_csv(here / "mine.csv", index=False)
    other = "[prices]\nwholesale = 'prices.csv'\n[[pv]]\nbuses = [6]\nkwp = 5\n"
    case = case_of(
        write(here, other, "series = 'plants.csv'\n", WIND, "turbine = 'mine.csv'\n", EV)
    )
    plan = plan_of(case, wind={9: 2.0}, ev={4: 3.0})
    out = write_scenario(case, plan, tmp_path / "far" / "away" / "b.toml")
    written = tomllib.loads(out.read_text(encoding="utf-8"))
    assert written["prices"]["wholesale"] == "../../here/prices.csv"
    assert written["pv"][0]["series"] == "../../here/plants.csv"
    assert written["wind"][0]["turbine"] == "../../here/mine.csv"
    assert written["ev"][0]["tours"] == "b/tours-ev-4.csv"
    check(out)
    moved_folder = tmp_path / "elsewhere" / "deep" / "er"
    shutil.copytree(out.parent, moved_folder)
    with pytest.raises(DataError, match=r"prices.csv"):
        check(moved_folder / "b.toml")


def test_listed_participants_get_the_buses_of_the_plan(tmp_path: Path) -> None:
    listed = "[market]\nparticipants = 'listed'\n[[participant]]\nbus = 5\n"
    there = "[[pv]]\nbuses = [5]\nkwp = 5\n"
    case = case_of(write(tmp_path, listed, there, PV, BATTERY))
    plan = plan_of(case, pv={5: 10.0}, battery={9: 50.0})
    out = write_scenario(case, plan, tmp_path / "b.toml")
    assert [p.bus for p in load_scenario(out).participant] == [5, 9]
    assert [p.bus for p in prepare(out).layout.participants if p.takes_part] == [5, 9]


@pytest.mark.parametrize("name", ["siting.toml", "plan.txt"])
def test_the_planned_file_is_never_replaced(tmp_path: Path, name: str) -> None:
    case = case_of(write(tmp_path, PV))
    with pytest.raises(DataError, match=r"allowed: a .toml file other than siting.toml"):
        write_scenario(case, Plan.nothing(case.problem), tmp_path / name)


def test_a_run_realises_what_was_planned(tmp_path: Path) -> None:
    """The simulators find the same loads, sun, wind and trips as the plan."""
    case = mixed(tmp_path / "plans")
    out = write_scenario(case, plan_of(case, **BUILT), tmp_path / "b.toml")
    data = open_run(run(out, tmp_path / "run.h5").path)
    pv_kw = 1e3 * data["PV.P[MW]"].to_numpy().T
    sun = available(case, "pv-2")
    wanted = np.stack([150.0 * available(case, "pv-1"), 20.0 * sun, 31.25 * sun])
    assert np.allclose(pv_kw, wanted, rtol=1e-9, atol=1e-9)
    wind_kw = 1e3 * data["WindTurbine.P[MW]"].to_numpy().T
    blown = np.stack([2.0 * available(case, "wind-1"), 40.0 * available(case, "wind-2")])
    assert np.allclose(np.sort(wind_kw, axis=0), np.sort(blown, axis=0), rtol=1e-9, atol=1e-9)
    load_kw = 1e3 * data["Load.P[MW]"].to_numpy().sum(axis=1)
    assert np.allclose(load_kw, -case.problem.p_inj_kw.sum(axis=0), rtol=1e-9)
    assert int(data["EV.departures"].sum()) == 1
    assert int(data["EV.departures_met"].sum()) == 1
    assert data["EV.plugged"].to_numpy()[:, 0].nonzero()[0].tolist() == [*range(7), *range(18, 24)]
    first_kw, first_kwh = (1e3 * float(data[f"EV.{n}"][0, 0]) for n in ("P[MW]", "E[MWh]"))
    stored = max(-first_kw, 0.0) * 0.95 - max(first_kw, 0.0) / 0.95
    assert first_kwh == pytest.approx(6 * 25.0 + stored)


def test_toml_is_read_back_as_it_was() -> None:
    document = {
        "text": 'a "quoted" \\ line\nand é',
        "numbers": [1, 2.5, 1e-9, 1e20],
        "flag": True,
        "table": {"odd.key": {"deep": [1, {"er": "x"}], "none": {}}, "list": []},
        "tables": [{"a": [1]}, {"b": "c"}],
    }
    assert tomllib.loads(toml_text(document)) == document


def test_only_names_of_files_that_exist_are_rewritten(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("", encoding="utf-8")
    (tmp_path / "simbench").write_text("", encoding="utf-8")
    given = {"x": ["a.csv", "b.csv", "simbench", "tmy3:a.csv", 3], "y": str(tmp_path / "a.csv")}
    assert moved(given, tmp_path, tmp_path / "sub") == {
        "x": ["../a.csv", "b.csv", "simbench", "tmy3:../a.csv", 3],
        "y": str(tmp_path / "a.csv"),
    }


def test_a_file_that_the_scenario_reads_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "res").mkdir()
    write_series(tmp_path / "res" / "power-pv.csv", {"pv [kW/kWp]": SUN.tolist()}, start=DAY)
    before = (tmp_path / "res" / "power-pv.csv").read_bytes()
    pv = "[[plan.pv]]\nmax_kwp = 90\nseries = 'res/power-pv.csv'\n"
    case = case_of(write(tmp_path, pv))
    plan = Plan.nothing(case.problem)
    plan.size["pv"][0] = 10.0
    with pytest.raises(DataError, match="reads that file"):
        write_scenario(case, plan, tmp_path / "res.toml")
    assert (tmp_path / "res" / "power-pv.csv").read_bytes() == before
