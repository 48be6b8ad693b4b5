"""The market benchmark's figures that do not depend on the machine."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
WANTED = {
    *("case", "buses", "agents", "method", "iterations", "seconds", "objective", "gap"),
    *("ac_error_pu", "primal_residual", "dual_residual", "peak_mb"),
}


def run(*options: str) -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks.market", "--repeat", "1", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["method"]: line for line in lines}


@pytest.mark.parametrize(("case", "most"), [("ieee33", 70), ("ieee69", 100)])
def test_admm_meets_the_central_optimum(case: str, most: int) -> None:
    lines = run("--case", case)
    assert set(lines) == {"admm", "central-ecos", "central-clarabel"}
    assert all(set(line) >= WANTED for line in lines.values() if "objective" in line)
    assert "objective" in lines["central-clarabel"]  # ECOS has no wheels for every Python
    admm = lines["admm"]
    assert admm["status"] == "converged"
    assert admm["iterations"] <= most
    assert -1e-8 <= admm["gap"] <= 1e-6
    assert admm["bound_gap"] <= 1e-6
    assert admm["ac_error_pu"] <= 1e-6
    assert admm["exclusivity"]["worst_relative_value"] <= 1e-6


def test_a_limit_ends_a_method_and_says_so() -> None:
    lines = run("--case", "ieee33", "--limit", "0.01")
    assert all("limit" in line["status"] for line in lines.values())


ENVELOPE_KEYS = {
    *("case", "method", "seconds", "iterations", "cost", "central_cost", "traded_mwh"),
    *("traded_mvarh", "loss_kwh", "loss_kvarh", "vm_min_pu", "vm_max_pu", "worst_violation_pu"),
    *("certify_seconds", "passes", "worst_loading", "jain"),
}


def call(module: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_envelopes_are_safe_and_cost_what_a_central_solver_says() -> None:
    options = ["--methods", "base,doe-prop,dfe-joint", "--corners", "20", "--repeat", "1"]
    done = call("benchmarks.envelopes", "--case", "ieee33", *options)
    lines = {line["method"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert list(lines) == ["base", "doe-prop", "dfe-joint"]
    assert all(set(line) >= ENVELOPE_KEYS for line in lines.values())
    for line in lines.values():
        assert line["cost"] == pytest.approx(line["central_cost"], rel=1e-5)
    assert lines["dfe-joint"]["worst_violation_pu"] <= 1e-6
    assert lines["dfe-joint"]["cost"] < lines["doe-prop"]["cost"] < lines["base"]["cost"]


def test_random_days_end_with_identical_rows() -> None:
    options = ["--case", "random:2", "--methods", "doe-prop", "--repeat", "1", "--corners", "4"]
    last = json.loads(call("benchmarks.envelopes", *options).stdout.splitlines()[-1])
    assert last["method"] == "same-rows"
    assert last["advantage"] >= -1e-6


def test_the_confidence_study_prints_a_line_for_each_promise() -> None:
    options = ["--case", "ieee69", "--draws", "20", "--errors", "gaussian", "--levels", "0.8,0.95"]
    lines = [
        json.loads(line) for line in call("benchmarks.confidence", *options).stdout.splitlines()
    ]
    assert len(lines) == 2 * 2 * 2
    assert {line["confidence"] for line in lines} == {0.8, 0.95}
    assert all(line["network_kept"] for line in lines if line["promise"] == "network")


HOUSEHOLD_KEYS = {
    *("users", "scenarios", "step_min", "columns", "rows", "binaries", "build_s", "solve_s"),
    *("gap", "cost_eur", "linear_gap_pu"),
}


def test_the_plan_of_households_reaches_its_gap_on_a_small_programme() -> None:
    options = ["--users", "20", "--scenarios", "1", "--step", "60", "--repeat", "1"]
    done = call("benchmarks.households", *options)
    (line,) = map(json.loads, done.stdout.splitlines())
    assert set(line) >= HOUSEHOLD_KEYS
    assert (line["users"], line["scenarios"], line["step_min"]) == (20, 1, 60)
    assert line["binaries"] < line["columns"]
    assert line["status"] == "optimal"
    assert 0.0 <= line["gap"] <= 1e-3
    assert line["linear_gap_pu"] <= 1e-5


EVALUATOR_KEYS = {
    *("what", "case", "candidates", "genes", "us_per_candidate_day", "us_flows_only"),
    *("max_v_error_pu", "threads"),
}
PLANNING_KEYS = {
    *("what", "case", "method", "seed", "budget", "used", "objective", "bound", "gap"),
    *("gap_to_milp", "clean", "seconds"),
}


def test_plans_are_scored_by_an_exact_power_flow_and_set_beside_the_programme() -> None:
    options = ["--budget", "300", "--candidates", "50", "--repeat", "1"]
    done = call("benchmarks.planning", *options, "--methods", "de,milp,cheetah-code")
    evaluator, milp, *searches = map(json.loads, done.stdout.splitlines())
    assert set(evaluator) >= EVALUATOR_KEYS
    assert evaluator["threads"] == 1
    assert evaluator["us_flows_only"] > 0.0
    assert evaluator["us_per_candidate_day"] > 0.0
    assert evaluator["max_v_error_pu"] <= 1e-7
    assert [line["method"] for line in searches] == ["de", "cheetah-code"]
    assert all(set(line) >= PLANNING_KEYS for line in (milp, *searches))
    assert (milp["gap_to_milp"], milp["clean"]) == (0.0, True)
    assert 0.0 <= milp["gap"] <= 2e-3
    for line in searches:
        assert (line["budget"], line["used"], line["bound"]) == (300, 300, milp["bound"])
        assert line["objective"] >= milp["bound"] * (1.0 - 1e-3)


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("benchmarks.households", ["--users", "11"]),
        ("benchmarks.households", ["--step", "45"]),
        ("benchmarks.envelopes", ["--case", "ieee70"]),
        ("benchmarks.envelopes", ["--methods", "best"]),
        ("benchmarks.confidence", ["--errors", "uniform"]),
        ("benchmarks.confidence", ["--levels", "95"]),
        ("benchmarks.planning", ["--methods", "best"]),
        ("benchmarks.planning", ["none.toml"]),
    ],
)
def test_what_there_is_not_gets_one_line(module: str, options: list[str]) -> None:
    done = call(module, *options)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
