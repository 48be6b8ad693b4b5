"""The commands on good input."""

import json
import subprocess
import sys
from pathlib import Path

import pandapower
import pytest

import peergrid as package
from peergrid.results import open_run
from tests.cli.conftest import Command
from tests.scenario.small import write


def test_version(peergrid: Command) -> None:
    assert peergrid("--version").out.strip() == f"peergrid {package.__version__}"


def test_run_prints_the_summary_and_where_the_file_is(peergrid: Command, tmp_path: Path) -> None:
    out = tmp_path / "out" / "run.h5"
    result = peergrid("run", write(tmp_path), "--hours", 2, "--seed", 5, "--out", out, "--quiet")
    assert (result.code, result.err) == (0, "")
    assert "lowest voltage" in result.out
    assert "complete" in result.out
    assert f"results: {out}" in result.out
    assert open_run(out).attrs["seed"] == 5


def test_run_without_out_goes_to_runs(
    peergrid: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = peergrid("run", path, "--start", "2016-01-14", "--json", "--quiet")
    found = json.loads(result.out)
    assert (found["status"], found["hours"], found["file"]) == ("complete", 3.0, "runs/small.h5")
    assert str(open_run("runs/small.h5")["time"].values[0]).startswith("2016-01-13T23")


def test_summary_and_comparison(peergrid: Command, tmp_path: Path) -> None:
    first, second = tmp_path / "a.h5", tmp_path / "b.h5"
    for out, seed in ((first, 1), (second, 2)):
        peergrid("run", write(tmp_path), "--out", out, "--seed", seed, "--quiet")
    assert json.loads(peergrid("summary", first, "--json").out)["status"] == "complete"
    both = json.loads(peergrid("summary", first, "--against", second, "--json").out)
    assert both["this"]["import_kwh"] != both["against"]["import_kwh"]
    assert "difference" in peergrid("summary", first, "--against", second).out


def test_export(peergrid: Command, tmp_path: Path) -> None:
    out = tmp_path / "run.h5"
    peergrid("run", write(tmp_path), "--out", out, "--quiet")
    listed = peergrid("export", out, "--csv").out.split()
    assert str(tmp_path / "run" / "Bus.csv") in listed
    assert peergrid("export", out, "--parquet", "--out", tmp_path / "p").code == 0
    assert (tmp_path / "p" / "Bus.parquet").is_file()
    wrong = peergrid("export", out)
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)


def test_check(peergrid: Command, tmp_path: Path) -> None:
    path = write(tmp_path)
    assert "fine (11 participants: 11 load, 2 ev, 1 battery, 2 pv)" in peergrid("check", path).out
    found = json.loads(peergrid("check", path, "--json").out)
    assert found["name"] == "small"
    assert list(tmp_path.iterdir()) == [path]


def test_check_of_a_message(peergrid: Command, tmp_path: Path) -> None:
    path = tmp_path / "message.json"
    message = {"kind": "PEBC", "t0_s": 0, "dt_s": 3600, "p_min_kw": [-2, -3], "p_max_kw": [0, 0]}
    path.write_text(json.dumps(message), encoding="utf-8")
    assert json.loads(peergrid("check", path, "--json").out) == {
        "kind": "PEBC",
        "steps": 2,
        "fixed": False,
    }


def test_feeder(peergrid: Command, tmp_path: Path) -> None:
    case = json.loads(peergrid("feeder", "ieee33", "--json").out)
    assert case["buses"] == 33
    assert case["load_kw"] == pytest.approx(3715.0)
    assert case["load_kvar"] == pytest.approx(2300.0)
    assert case["loss_kw"] == pytest.approx(202.677, abs=5e-4)
    assert case["loss_kvar"] == pytest.approx(135.141, abs=5e-4)
    assert case["vm_min_pu"] == pytest.approx(0.91309, abs=5e-6)
    assert case["vm_min_bus"] == 18
    saved = tmp_path / "net.json"
    text = peergrid("feeder", "ieee33", "--slack", "1.02", "--out", saved).out
    assert "lowest voltage 0.93508 pu at bus 18" in text
    assert pandapower.from_json(str(saved)).ext_grid.vm_pu.iloc[0] == 1.02
    assert json.loads(peergrid("feeder", saved, "--json").out)["vm_min_pu"] > case["vm_min_pu"]
    assert peergrid("feeder", "ieee33", "--out", saved).code == 2


def test_schema(peergrid: Command) -> None:
    assert "pv" in json.loads(peergrid("schema").out)["properties"]
    assert "p_max_kw" in json.loads(peergrid("schema", "flexibility").out)["properties"]
    assert peergrid("schema", "other").code == 2


def test_init_writes_a_scenario_that_runs_on_its_own_data(
    peergrid: Command, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    assert len(peergrid("init", folder).out.splitlines()) == 6
    scenario = folder / "scenario.toml"
    text = scenario.read_text(encoding="utf-8")
    for old, new in (
        ('"try2010:4"', '"weather.csv"\nlatitude = 52.4\nlongitude = 13.1'),
        ('"simbench" ', '"load.csv" '),
        ('"nl-day-ahead" ', '"prices.csv" '),
        ("v2g = true", 'v2g = true\ntours = "tours.csv"'),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    market = 'market = { python = "tests.scenario.stub_market:StubMarket", params = {} }'
    scenario.write_text(f"{text}\n[simulators]\n{market}\n", encoding="utf-8")
    result = peergrid("run", scenario, "--out", tmp_path / "run.h5", "--quiet", "--json")
    assert result.err == ""
    assert json.loads(result.out)["status"] == "complete"


def test_init_never_overwrites(peergrid: Command, tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("mine", encoding="utf-8")
    result = peergrid("init", tmp_path)
    assert result.code == 2
    assert "prices.csv" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["prices.csv"]


def test_a_failed_run_exits_with_1_and_one_line(peergrid: Command, tmp_path: Path) -> None:
    more = (
        "[[generator]]\nbuses = [6]\np_max_kw = 5\n[simulators]\nmarket = MARKET\n"
        "generator = { python = 'tests.scenario.stub_market:FailingGenerator' }"
    )
    out = tmp_path / "run.h5"
    result = peergrid("run", write(tmp_path, more=more), "--hours", 9, "--out", out, "--quiet")
    assert result.code == 1
    assert result.err == f"peergrid: {out}: failed: ValueError: the fuel ran out\n"
    assert json.loads(peergrid("summary", out, "--json").out)["status"].startswith("failed")


def test_as_a_process(tmp_path: Path) -> None:
    """No traceback and nothing else on stderr, seen from outside."""
    path = write(tmp_path, more="[weather]\nsourcce = 1")
    command = [sys.executable, "-c", "from peergrid.cli.main import main; main()"]
    done = subprocess.run([*command, "check", str(path)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("peergrid: small.toml: weather.sourcce = 1: allowed: one of ")
    assert done.stderr.count("\n") == 1
    debug = subprocess.run(
        [*command, "--debug", "check", str(path)], capture_output=True, text=True
    )
    assert "Traceback" in debug.stderr


def test_unknown_commands_and_options(peergrid: Command) -> None:
    assert peergrid("fly").code == 2
    assert peergrid("run", "--fast").code == 2
