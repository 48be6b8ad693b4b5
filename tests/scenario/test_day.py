"""The day on the 33-bus feeder, end to end: the scenario file, and the script that users copy."""

import runpy
from pathlib import Path

import pytest
import xarray

from peergrid.results import open_run, summary
from peergrid.scenario.run import prepare, run

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


def test_the_official_grid_in_place_of_ours_gives_the_same_voltages(
    day: Path, tmp_path: Path
) -> None:
    text = (SCENARIOS / "ieee33_day.toml").read_text(encoding="utf-8")
    text += '\n[simulators]\ngrid = { python = "mosaik_components.pandapower:Simulator" }\n'
    file = tmp_path / "official.toml"
    file.write_text(text, encoding="utf-8")
    theirs = open_run(run(file, tmp_path / "official.h5").path)["Bus.Vm[pu]"].values
    assert abs(theirs - open_run(day)["Bus.Vm[pu]"].values).max() < 1e-6


def test_same_seed_same_bits_and_another_seed_another_day(tmp_path: Path) -> None:
    def played(name: str, seed: int) -> xarray.Dataset:
        setup = prepare(SCENARIOS / "ieee33_day.toml", hours=6, seed=seed)
        return open_run(run(setup, tmp_path / name).path)

    first, again, other = played("a.h5", 1), played("b.h5", 1), played("c.h5", 2)
    assert all(first[name].identical(again[name]) for name in first.data_vars)
    assert not first["Load.P[MW]"].identical(other["Load.P[MW]"])
    assert not first["EV.E[MWh]"].identical(other["EV.E[MWh]"])
