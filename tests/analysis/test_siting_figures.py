"""The script that puts plans beside the paper: files, tables, tests of ranks, pictures."""

import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import stats

from peergrid.errors import DataError, PeergridError
from peergrid.results import PlanContent, PlanRecord, write_plans

pytest.importorskip("matplotlib")

FOLDER = Path("analysis").resolve()
WAYS = (("cheetah", "text"), ("cheetah", "code"), ("ga", ""), ("de", ""), ("cmaes", ""))
NAMES = ["cheetah-text", "cheetah-code", "ga", "de", "cmaes"]
SEEDS = 6
PICTURES = ("fig2_traded", "fig3_contributions", "fig4_losses", "voltages", "convergence", "map")
PAPERS_UNITS = ("kWp", "turbines", "kWh", "vehicles")


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    """The modules of the script; they know each other by their plain names."""
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))


def values(score: float, *, objective: str, units: int, buses: int, steps: int) -> dict[str, Any]:
    """A plan: sizes in the first buses, PV of eight hours, all of it contributed to trade."""
    hour = np.arange(steps) * 24.0 / steps
    sun = np.where((hour >= 8.0) & (hour < 16.0), 10.0, 0.0)
    size = np.zeros((units, buses))
    size[np.arange(units), 1 + np.arange(units) % (buses - 1)] = 5.0
    power = np.array([sun + k for k in range(units)]).reshape(-1, steps)
    traded = -score if objective == "traded" else 100.0
    return {
        "score": score,
        "searched_score": score + 1.0,
        "ac_clean": 1.0,
        "cost_eur": 50.0 if objective == "traded" else score,
        "traded_kwh": traded,
        "loss_kwh": 30.0,
        "used": 100.0,
        "seconds": 1.0,
        "vm_min_pu": 0.96,
        "vm_max_pu": 1.02,
        "max_loading": 0.5,
        "contribution_kw": power,
        "generation_kw": power,
        "traded_kw": np.full(steps, traded / 24.0),
        "loss_kw": np.full(steps, 2.0),
        "vm_low_pu": np.full(steps, 0.97),
        "vm_pu": np.full((buses, steps), 0.97),
        "size": size,
    }


def made(
    path: Path,
    *,
    objective: str = "cost",
    name: str = "ieee12_siting",
    units: tuple[str, ...] = PAPERS_UNITS,
    ways: tuple[tuple[str, str], ...] = (("milp", ""), *WAYS),
    seeds: int = SEEDS,
    parent: tuple[int, ...] = (-1, 0, 1, 2, 1),
    steps: int = 24,
) -> Path:
    """A file of plans whose scores are those of :func:`score`."""
    shape = {"units": len(units), "buses": len(parent), "steps": steps}
    shape_of: dict[str, Any] = {"objective": objective, **shape}
    nothing = values(0.0 if objective == "traded" else 500.0, **shape_of)
    nothing |= {"searched_score": None, "traded_kw": np.zeros(steps), "loss_kw": np.ones(steps)}
    records = [PlanRecord(label="base", method="base", values=nothing)]
    for k, (method, variant) in enumerate(ways):
        way = f"{method}-{variant}" if variant else method
        for seed in [None] if method == "milp" else range(1, seeds + 1):
            found = score(k, seed or 0, objective)
            more: dict[str, Any] = {"bound": found - 1.0, "gap": 0.01, "searched_score": None}
            trace = [(10.0, 1e6), (20.0, found + 20.0), (100.0, found + 1.0)]
            plan = values(found, **shape_of) | (more if seed is None else {})
            label = way if seed is None else f"{way} {seed}"
            what = {"label": label, "method": method, "variant": variant, "seed": seed}
            records.append(PlanRecord(values=plan, trace=trace, **what))
    common = {
        "bus": np.arange(1, len(parent) + 1),
        "parent": np.array(parent),
        "load_kw": np.ones((len(parent), steps)),
        "load_kvar": np.ones((len(parent), steps)),
        "price_import_eur_per_kwh": np.full(steps, 0.2),
        "price_feed_in_eur_per_kwh": np.full(steps, 0.05),
        "capex_eur_per_unit": np.ones(len(units)),
    }
    content = PlanContent(
        name=name,
        network="made",
        objective=objective,
        start="2016-06-26T00:00:00+02:00",
        step_s=86400.0 / steps,
        technologies=[f"t{k}" for k in range(len(units))],
        units=units,
        values=common,
        records=records,
        attrs={"v_min_pu": 0.94, "scenario_json": json.dumps({"timezone": "Europe/Berlin"})},
    )
    write_plans(path, content)
    return path


def score(way: int, seed: int, objective: str) -> float:
    """Each way is worse than the one before, on every seed."""
    value = 100.0 + 10.0 * way + 0.1 * seed
    return -1000.0 + value if objective == "traded" else value


def called(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "siting.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def text_of(siting: Any, found: dict[str, Any]) -> str:
    """All tables as text."""
    console = siting.Console(width=160, markup=False, file=io.StringIO())
    siting.show(console, found)
    return str(console.file.getvalue())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("plans")
    return [made(folder / f"{one}.h5", objective=one) for one in ("cost", "traded")]


# -- everything ------------------------------------------------------------------------------------


def test_tables_numbers_and_pictures(files: list[Path], tmp_path: Path) -> None:
    done = called(*files, "--out", tmp_path / "figs")
    assert done.returncode == 0, done.stderr
    rows = [" ".join(row.split()) for row in done.stdout.splitlines()]
    for start in (
        "paper, COA 108.3 168.9 129.4",
        "paper, COA 17.2 20.1 23.9",
        "paper, COA 0.979 0.973 0.969",
        "paper, COA 34 61 18 29 42 36 24 31 45 18 25 34",
        "base 1.0 1.0 1.0 BY CONSTRUCTION",
        "base 0.0 0.0 0.0 NOT REPRODUCED",
        "MILP 100.0 100.0 100.0 0.00 0.00 - - 1.0 proven gap 1.00 %",
        "GA 130.4 130.1 130.6 30.35 30.35 131.4 100 1.0 6 seeds",
        "GA 869.",
        "COA trades more than GA 18 % to 22 % 20, 20, 27, 22 %",
        "least cost, GA 0.0 10.0 0.0 1.0 11.0 1.0 2.0 12.0 2.0 3.0 13.0 3.0",
    ):
        assert any(row.startswith(start) for row in rows), start
    assert any(row.startswith("- The objective is ill-posed: ") for row in rows)
    assert "\x1b" not in done.stdout
    found = json.loads((tmp_path / "figs" / "siting.json").read_text(encoding="utf-8"))
    assert set(found["objectives"]) == {"cost", "traded"}
    assert "Table 1: " in (tmp_path / "figs" / "tables.txt").read_text(encoding="utf-8")
    for name in (*PICTURES, "siting", "siting_map"):
        assert (tmp_path / "figs" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_everything_as_json(script: Any, files: list[Path]) -> None:
    siting = script("siting")
    found = json.loads(json.dumps(siting.found_of(siting.read_studies(files), None)))
    cost = found["objectives"]["cost"]
    assert cost["tables"]["traded_kwh"]["ga"] == pytest.approx([100.0 / 24.0] * 3)
    assert cost["best"]["plan"] == "milp"
    assert cost["best"]["trading"]["generated_kwh"] == pytest.approx(2 * 80.0 + 24.0)
    assert cost["ranks"]["mean_rank"] == dict(zip(NAMES, map(float, range(1, 6)), strict=True))
    assert found["objectives"]["traded"]["methods"][0]["median"] == pytest.approx(900.0)
    assert len(found["paper"]["contradictions"]) >= 8


@pytest.mark.parametrize(
    "changes",
    [
        {"units": ("kWp", "kWp", "turbines", "heaps"), "parent": (-1, 0, 0, 1, 1, 4, 2)},
        {"ways": (("ga", ""),), "seeds": 1, "steps": 96},
        {"ways": (("milp", ""),), "units": (), "parent": (-1, 0)},
        {"ways": (("new", "fast"), ("ga", "")), "steps": 4},
    ],
)
def test_other_cases(changes: dict[str, Any], script: Any, tmp_path: Path) -> None:
    path = made(tmp_path / "other.h5", name="other[red]", **changes)
    siting = script("siting")
    studies = siting.read_studies([path])
    found = siting.found_of(studies, None)
    assert found["paper"] is None
    paths = siting.write(studies, found, tmp_path / "figs")
    said = paths[0].read_text(encoding="utf-8")
    assert "other[red]" in said
    assert "paper" not in said.partition("- Medians")[0]
    assert len(paths) == 2 + len(PICTURES) + 2


def test_plans_that_break_limits_are_left_out(script: Any, tmp_path: Path) -> None:
    path = made(tmp_path / "broken.h5", ways=(("ga", ""), ("de", "")))
    with h5py.File(path, "a") as file:
        file["Values/ac_clean"][1:7] = 0.0
    siting = script("siting")
    studies = siting.read_studies([path])
    found = siting.found_of(studies, None)
    ga, de = found["objectives"]["cost"]["methods"]
    assert (ga["clean"], ga["median"], de["clean"]) == (0, None, 6)
    assert found["objectives"]["cost"]["tables"]["loss_kw"]["ga"] is None
    siting.write(studies, found, tmp_path)


def test_a_search_that_broke_limits_by_itself_comes_last(script: Any, tmp_path: Path) -> None:
    path = made(tmp_path / "broken.h5", ways=(("ga", ""), ("de", "")))
    with h5py.File(path, "a") as file:
        file["Values/trace_score"][1, 2] = 9e5  # of the first seed of GA, as it saw it
    study = script("siting_plans").read_studies([path])[0]
    assert study.own_score[1] == 9e5
    np.testing.assert_allclose(study.own_score[2:], study.score[2:] + 1.0)
    effort, seen = study.trace(1)
    best = script("siting_convergence").best_so_far(study, effort, seen, np.array([15.0, 200.0]))
    assert np.isnan(best[0])
    assert best[1] == pytest.approx(study.score[1] + 20.0)


# -- tests of ranks --------------------------------------------------------------------------------


def test_wilcoxon_as_in_scipy_without_ties(script: Any) -> None:
    rng = np.random.default_rng(1)
    for n in (5, 9, 20, 60):
        differences = rng.normal(0.3, 1.0, n)
        wanted = stats.wilcoxon(differences, method="exact" if n < 51 else "approx")
        p, up, down = script("siting_ranks").signed_rank(differences)
        assert p == pytest.approx(wanted.pvalue, rel=1e-9)
        assert min(up, down) == wanted.statistic


def test_wilcoxon_with_ties_is_that_of_all_signs(script: Any) -> None:
    differences = np.array([1.0, 1.0, -1.0, 2.0, 2.0, 0.0, 3.0, -0.5])
    ranks = stats.rankdata(np.abs(differences[differences != 0.0]))
    signs = np.array(np.meshgrid(*[[0.0, 1.0]] * len(ranks))).reshape(len(ranks), -1)
    sums = ranks @ signs
    observed = ranks[differences[differences != 0.0] < 0.0].sum()
    p, up, down = script("siting_ranks").signed_rank(differences)
    assert (up + down, down) == (ranks.sum(), observed)
    assert p == pytest.approx(2.0 * (sums <= observed).mean())
    assert script("siting_ranks").signed_rank(np.zeros(6))[0] == 1.0


def test_friedman_as_in_scipy(script: Any) -> None:
    rng = np.random.default_rng(2)
    scores = {name: np.round(rng.normal(k, 2.0, 8)) + 100.0 for k, name in enumerate("abcd")}
    found = script("siting_ranks").rank_test(scores)
    wanted = stats.friedmanchisquare(*scores.values())
    assert found["friedman"]["statistic"] == pytest.approx(wanted.statistic)
    assert found["friedman"]["p"] == pytest.approx(wanted.pvalue)
    ranks = stats.rankdata(np.array(list(scores.values())), axis=0).mean(axis=1)
    assert list(found["mean_rank"].values()) == pytest.approx(ranks.tolist())
    corrected = script("siting_ranks").holm([one["p"] for one in found["pairs"]])
    assert [one["p_holm"] for one in found["pairs"]] == corrected


def test_scores_a_millionth_apart_are_ties(script: Any) -> None:
    rank_test = script("siting_ranks").rank_test
    near = {name: [100.0 + 1e-5 * k, *[200.0] * 5] for k, name in enumerate("abc")}
    found = rank_test(near)
    assert found["friedman"] == {"statistic": 0.0, "p": 1.0}
    assert {one["better"] for one in found["pairs"]} == {None}
    far = rank_test({"a": [1.0] * 6, "b": [1.1] * 5 + [np.inf]})
    assert far["friedman"] is None
    assert far["pairs"][0]["better"] == "a"
    assert far["pairs"][0]["p"] == pytest.approx(2.0 / 2**6)
    assert far["pairs"][0]["different"]


def test_too_few_seeds(script: Any, tmp_path: Path) -> None:
    rank_test = script("siting_ranks").rank_test
    for scores in ({}, {"a": [1.0] * 9}, {"a": [1.0] * 4, "b": [2.0] * 4}):
        found = rank_test(scores)
        assert not found["possible"]
        assert "no test" in found["reason"]
    siting = script("siting")
    found = siting.found_of(siting.read_studies([made(tmp_path / "few.h5", seeds=3)]), None)
    assert "5 search(es) on 3 seed(s) they share: no test" in text_of(siting, found)


# -- files -----------------------------------------------------------------------------------------


def test_files_that_do_not_fit(script: Any, files: list[Path], tmp_path: Path) -> None:
    read = script("siting_plans").read_studies
    foreign = tmp_path / "foreign.h5"
    foreign.write_bytes(b"not HDF5")
    other = made(tmp_path / "other.h5", objective="traded", name="other")
    alone = made(tmp_path / "alone.h5", ways=())
    loop = made(tmp_path / "loop.h5", parent=(-1, 2, 1))
    unknown = made(tmp_path / "unknown.h5")
    with h5py.File(unknown, "a") as file:
        file["Values/loss_kw"][3, 4] = np.nan
    for given, wanted in (
        ([tmp_path / "none.h5"], "none.h5: file = 'missing'"),
        ([foreign], "foreign.h5: file = 'not HDF5'"),
        ([files[0], other], "name = 'other': allowed: ieee12_siting"),
        ([files[0], files[0]], "objective = 'cost': allowed: a file of each objective at most"),
        ([alone], "allowed: a plan besides the day without one"),
        ([loop], "parent = [-1, 2, 1]: allowed: rows of a tree"),
        ([unknown], "loss_kw = nan: allowed: finite numbers"),
    ):
        with pytest.raises(DataError) as caught:
            read(given)
        assert wanted in str(caught.value)
    done = called(tmp_path / "none.h5")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("siting: ")
    assert done.stderr.count("\n") == 1
    with pytest.raises(DataError, match="not HDF5"):
        script("siting").found_of(read(files), foreign)


SMALL = """
name = "small"
start = 2016-06-26
hours = 24
[network]
case = "ieee12"
[forecast]
model = "perfect"
[market]
mechanism = "p2p"
[plan]
buses = [6, 12]
[[plan.pv]]
max_kwp = 100
"""


def test_files_are_made_by_the_command(script: Any, tmp_path: Path) -> None:
    scenario = tmp_path / "small.toml"
    scenario.write_text(SMALL, encoding="utf-8")
    campaign = script("siting_made").Campaign
    where = {"folder": tmp_path / "made", "objectives": ("cost",)}
    siting = script("siting")
    wish = campaign(scenario=scenario, seeds=1, budget=100, **where)
    studies = siting.read_studies(script("siting_made").make(wish))
    assert [list(study.ways) for study in studies] == [["milp", *NAMES]]
    found = siting.found_of(studies, None)
    replay = found["objectives"]["cost"]["replay"]
    planned, operated = replay["planned"], replay["operated"]
    assert operated["import_kwh"] == pytest.approx(planned["import_kwh"], rel=0.01)
    assert operated["energy_cost_eur"] == pytest.approx(planned["energy_cost_eur"], rel=0.01)
    rows = text_of(siting, found).splitlines()
    assert any(row.startswith("drawn at the feeder head ") for row in rows)
    refused = campaign(scenario=tmp_path / "none.toml", **where)
    with pytest.raises(PeergridError, match=r"none\.toml"):
        script("siting_made").make(refused)
