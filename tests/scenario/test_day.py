"""The day on the 33-bus feeder, end to end: the scenario file, and the script that users copy."""

import runpy
from pathlib import Path

import pytest

from peergrid.results import open_run, summary
from peergrid.scenario.run import run

pytest.importorskip("peergrid.cosim.market")

SCENARIOS = Path("scenarios").resolve()


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the scenario file."""
    out = tmp_path_factory.mktemp("day") / "day.h5"
    return run(SCENARIOS / "ieee33_day.toml", out).path


def test_the_day_is_as_it_should_be(day: Path) -> None:
    found = summary(day)
    assert (found["status"], found["hours"], found["nonconverged_hours"]) == ("complete", 24.0, 0)
    assert found["ev_departures"] == found["ev_departures_met"] > 0
    assert found["max_power_balance_error_kw"] < 1e-3
    assert found["payment_imbalance_eur"] < 1e-6
    assert found["voltage_violations"] == 0
    assert found["unconverged_clearings"] == 0
    assert found["traded_kwh"] > 0
    assert found["savings_eur"] > 0


def test_there_is_power_to_export_at_noon(day: Path) -> None:
    head = open_run(day)["ExternalGrid.P[MW]"].values[:, 0]
    assert head.min() < -0.1
    assert head.max() > 0.5


def test_the_script_says_the_same(
    day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (SCENARIOS / "ieee33_day.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 100
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(SCENARIOS / "ieee33_day.py"))
    ours, theirs = open_run(day), open_run("ieee33_day.h5")
    assert set(theirs.data_vars) == set(ours.data_vars)
    assert all(theirs[name].identical(ours[name]) for name in theirs.data_vars)
