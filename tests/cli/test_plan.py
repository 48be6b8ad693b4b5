"""``peergrid plan``: from a scenario to results, a scenario of the plan, and its replay."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from peergrid.cli import plan as planning
from peergrid.cli.plan_tables import tables
from peergrid.errors import SolverError
from peergrid.planning.methods import METHODS
from peergrid.results import open_plans
from peergrid.scenario.run import check
from tests.cli.conftest import Command

TEXT = """
name = "small"
start = 2016-06-30
[network]
case = "ieee12"
slack_vm_pu = 1.02
v_min_pu = 0.94
[forecast]
model = "perfect"
[plan]
buses = [3, 5, 9]
budget_eur = 400_000
[[plan.pv]]
max_kwp = 300.0
[[plan.battery]]
max_kwh = 200.0
total_min_kwh = 50.0
[[plan.ev]]
max_vehicles = 5
total_min_vehicles = 2
"""
QUICK = ("--budget", 300, "--quiet", "--json")


def write(folder: Path, old: str = "", new: str = "") -> Path:
    """The small scenario, something in it replaced."""
    assert old in TEXT
    path = folder / "small.toml"
    path.write_text(TEXT.replace(old, new, 1) if old else TEXT, encoding="utf-8")
    return path


def without_time(data: xr.Dataset) -> xr.Dataset:
    return data.drop_vars(["seconds"])


def test_the_programme_end_to_end(peergrid: Command, tmp_path: Path) -> None:
    out = tmp_path / "new" / "best.h5"
    result = peergrid("plan", write(tmp_path), "--out", out, "--quiet", "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert (found["name"], found["objective"], found["chosen"]) == ("small", "cost", "milp")
    assert (found["results"], found["replay"]) == (str(out), None)
    (line,), (plan,) = found["methods"], found["plans"]
    assert line["median"] == line["best"] == line["worst"] == plan["cost_eur"] == plan["score"]
    assert (line["runs"], line["clean"], line["breaks"], line["distance"]) == (1, 1, [], 0.0)
    assert 0.0 <= line["gap"] <= 1e-3
    assert plan["cost_eur"] < found["base"]["cost_eur"]
    assert sum(unit["capex_eur"] for unit in found["built"]) == pytest.approx(plan["capex_eur"])
    assert {unit["bus"] for unit in found["built"]} <= {3, 5, 9}
    assert check(found["scenario"])["devices"]["pv"] == 1
    assert Path(found["scenario"]) == out.with_suffix(".toml")

    data = open_plans(out)
    assert [*data["plan"].values] == ["base", "milp"]
    assert data.attrs["chosen"] == "milp"
    assert "max_kwp = 300.0" in data.attrs["scenario"]
    best = data.sel(plan="milp")
    for name in ("import", "export", "loss", "traded"):
        assert float(best[f"{name}_kw"].sum()) == pytest.approx(plan[f"{name}_kwh"])
    contributed = best["contribution_kw"].sum("technology").values
    np.testing.assert_allclose(contributed, best["traded_kw"].values, atol=1e-9)
    drawn = best["load_kw"].sum("bus") + best["charging_kw"].sum("technology") + best["loss_kw"]
    given = best["generation_kw"].sum("technology") + best["import_kw"] - best["export_kw"]
    np.testing.assert_allclose(given.values, drawn.values, atol=1e-6)
    assert float(best["vm_pu"].min()) == float(best["vm_low_pu"].min()) == plan["vm_min_pu"]
    invested = (best["size"].sum("bus") * best["capex_eur_per_unit"]).sum()
    assert float(invested) == pytest.approx(plan["capex_eur"])
    stored = best["energy_kwh"].sel(technology="battery").values
    assert stored[-1] >= stored[0] - 1e-6
    assert float(data["size"].sel(plan="base").sum()) == 0.0


def test_same_seed_same_plan(peergrid: Command, tmp_path: Path) -> None:
    file, data = write(tmp_path), []
    for name in ("a.h5", "b.h5", "c.h5"):
        seed = () if name < "c" else ("--seed", 8)
        options = ("--method", "cheetah,ga,de,cmaes", "--out", tmp_path / name, *seed)
        assert peergrid("plan", file, *options, *QUICK).code == 0
        data.append(open_plans(tmp_path / name))
    one, two, other = map(without_time, data)
    assert one.identical(two)
    assert [*one["seed"].values] == [-1, 1, 1, 1, 1]  # the scenario's
    assert [*other["seed"].values] == [-1, 8, 8, 8, 8]
    alone = "searched_score"  # what is polished after may be the same
    assert not np.any(one[alone].values[1:] == other[alone].values[1:])


def test_every_method_from_several_seeds(peergrid: Command, tmp_path: Path) -> None:
    options = ("--method", "all", "--variant", "both", "--seeds", 2, "--seed", 5)
    out = tmp_path / "all.h5"
    result = peergrid("plan", write(tmp_path), *options, "--out", out, *QUICK)
    found = json.loads(result.out)
    ways = [(line["method"], line["variant"]) for line in found["methods"]]
    assert [way[0] for way in ways] == ["milp", "cheetah", "cheetah", "ga", "de", "cmaes"]
    assert [way[1] for way in ways] == [None, "text", "code", None, None, None]
    assert {method for method, _ in ways} == set(METHODS)
    labels = [plan["label"] for plan in found["plans"]]
    assert labels[:3] == ["milp", "cheetah-text 5", "cheetah-text 6"]
    assert [*open_plans(out)["plan"].values] == ["base", *labels]
    best = min(plan["score"] for plan in found["plans"] if plan["ac"]["clean"])
    for line in found["methods"]:
        assert line["runs"] == (1 if line["method"] == "milp" else 2)
        if line["clean"]:
            assert best <= line["best"] <= line["median"] <= line["worst"]
            assert line["distance"] == pytest.approx(line["median"] / best - 1.0)
    for plan in found["plans"][1:]:
        assert (plan["used"], plan["budget"], plan["gap"]) == (300, 300.0, None)


def test_traded_energy_counts_upwards(peergrid: Command, tmp_path: Path) -> None:
    options = ("--objective", "traded", "--method", "ga", "--seeds", 3)
    result = peergrid("plan", write(tmp_path), *options, "--out", tmp_path / "t.h5", *QUICK)
    found = json.loads(result.out)
    (line,) = found["methods"]
    assert found["objective"] == "traded"
    assert line["best"] >= line["median"] >= line["worst"] > 0.0
    assert line["best"] == max(plan["traded_kwh"] for plan in found["plans"])
    assert open_plans(tmp_path / "t.h5")["score"].attrs["units"] == "kWh"


def test_tables_for_people(peergrid: Command, tmp_path: Path) -> None:
    out = tmp_path / "plan.h5"
    result = peergrid("plan", write(tmp_path), "--method", "de", "--budget", 300, "--out", out)
    assert result.code == 0
    assert result.err.strip() == ""  # the bar leaves nothing where stderr is no terminal
    for text in ("cost, EUR", "built by de 1", "investment, EUR", "AC check", "lowest voltage"):
        assert text in result.out
    last = result.out.splitlines()[-3:]
    scenario = tmp_path / "plan.toml"
    assert last == [f"results: {out}", f"scenario: {scenario}", f"replay: peergrid run {scenario}"]
    assert all(len(line) <= 120 for line in result.out.splitlines()[:-3])


def test_a_replay_stands_beside_the_plan(peergrid: Command, tmp_path: Path) -> None:
    out, scenario = tmp_path / "plan.h5", tmp_path / "other.toml"
    options = ("--out", out, "--scenario", scenario, "--replay")
    result = peergrid("plan", write(tmp_path), *options, "--quiet", "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["scenario"] == str(scenario)
    replay = found["replay"]
    assert replay["results"] == str(tmp_path / "plan_replay.h5")
    planned, operated = replay["planned"], replay["operated"]
    assert set(planned) <= set(operated)
    assert planned["import_kwh"] == found["plans"][0]["import_kwh"]
    assert operated["vm_min_pu"] == pytest.approx(planned["vm_min_pu"], abs=0.01)
    assert operated["import_kwh"] == pytest.approx(planned["import_kwh"], rel=0.1)
    assert operated["energy_cost_eur"] == pytest.approx(planned["energy_cost_eur"], rel=0.1)
    assert operated["ev_departures"] == operated["ev_departures_met"] > 0
    assert [table.title for table in tables(found)][-1] == "the plan and its run in the loop"


def test_progress_only_goes_forward_to_the_end(tmp_path: Path) -> None:
    wish = planning.Wish(methods="milp,ga", seeds=2, budget=400, out=tmp_path / "plan.h5")
    task, told = planning.task_of(write(tmp_path), wish), []
    planning.planned(task, told.append)
    assert told == sorted(set(told))
    assert (told[-1], task.steps) == (300, 300)
    assert len([step for step in told if 100 < step < 300]) > 10
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("buses = [3, 5, 9]", 'objective = "traded"\nexclusive = false', "wash trading"),
        (TEXT[TEXT.index("[plan]") :], "", "a table [plan]"),
        ("buses = [3, 5, 9]", "buses = [99]", "99"),
        ("v_min_pu = 0.94", "v_min_pu = 1.01", "no plan keeps voltages within 1.01"),
    ],
)
def test_what_cannot_be_planned_gets_one_line(
    peergrid: Command, tmp_path: Path, old: str, new: str, said: str
) -> None:
    file = write(tmp_path, old, new)
    result = peergrid("plan", file, "--out", tmp_path / "plan.h5", "--quiet")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert said in result.err
    assert [*tmp_path.iterdir()] == [file]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--method", "milp,best", "cheetah"),
        ("--method", ",", "cheetah"),
        ("--objective", "profit", "cost, traded"),
        ("--variant", "prose", "text, code, both"),
        ("--seeds", 0, "1 to 1000"),
        ("--seed", -1, "0 to"),
        ("--budget", 99, "100 or more"),
        ("--time-limit", "nan", "a positive number"),
        ("--gap", -0.1, "0 or more"),
        ("--out", "plan.csv", "FILE.h5"),
        ("--out", "small.toml/plan.h5", "a place to write"),
        ("--scenario", "small.toml", "another file"),
        ("--scenario", "plan.json", "FILE.toml"),
    ],
)
def test_what_there_is_not_is_refused_before_any_work(
    peergrid: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    value: Any,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path)
    result = peergrid("plan", file, option, value)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith("peergrid: plan: ")
    assert said in result.err
    assert [*tmp_path.iterdir()] == [file]


def test_without_a_clean_plan_there_is_no_scenario(peergrid: Command, tmp_path: Path) -> None:
    file, out = write(tmp_path, "v_min_pu = 0.94", "v_min_pu = 1.01"), tmp_path / "plan.h5"
    options = ("--method", "de", "--seeds", 2, "--out", out, "--replay")
    result = peergrid("plan", file, *options, *QUICK)
    assert (result.code, result.err) == (1, "")
    found = json.loads(result.out)
    assert (found["chosen"], found["scenario"], found["replay"]) == (None, None, None)
    (line,) = found["methods"]
    assert (line["clean"], line["median"], line["distance"]) == (0, None, None)
    assert "lowest voltage" in line["breaks"][0]
    assert {path.name for path in tmp_path.iterdir()} == {"small.toml", "plan.h5"}
    assert not open_plans(out)["ac_clean"].values.any()
    people = peergrid("plan", file, *options, "--budget", 300, "--quiet")
    assert people.code == 1
    assert "no plan keeps all limits: no scenario is written" in people.out
    assert "0 of 2 clean" in people.out


def test_the_ticker_stops_with_an_error(tmp_path: Path) -> None:
    wish = planning.Wish(out=tmp_path / "plan.h5")
    task = planning.task_of(write(tmp_path, "v_min_pu = 0.94", "v_min_pu = 1.01"), wish)
    with pytest.raises(SolverError):
        planning.planned(task, lambda _: None)
