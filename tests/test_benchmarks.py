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
