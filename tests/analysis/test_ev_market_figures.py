"""The script that puts a run beside the paper: its numbers and its picture."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peergrid.scenario.run import prepare, run

pytest.importorskip("matplotlib")
pytest.importorskip("peergrid.cosim.market")

SCRIPT = Path("analysis/ev_market.py").resolve()
SCENARIO = Path("scenarios/ieee33_ev_market.toml").resolve()


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("ev_market", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A day, and three hours."""
    folder = tmp_path_factory.mktemp("runs")
    return [run(prepare(SCENARIO, hours=h), folder / f"{h}.h5").path for h in (24, 3)]


def called(*arguments: object) -> str:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_papers_table_is_copied_as_it_is(script: Any) -> None:
    row = dict(zip(script.COLUMNS, script.TABLE_1.T, strict=True))
    assert np.abs(row["pv"] + row["discharge"] + row["imports"] - row["supply"]).max() < 0.0021
    assert np.abs(row["consumption"] + row["charge"] - row["demand"]).max() < 0.0021
    assert np.abs(script.paper_imbalance_mw()).max() == pytest.approx(0.002)
    shares = script.charging_shares(row["charge"])
    assert list(shares.values()) == pytest.approx([57.0, 26.0, 17.0], abs=0.5)
    peak = 100.0 * row["discharge"][script.PEAK - 1] / row["consumption"][script.PEAK - 1]
    assert peak == pytest.approx(script.PAPER_PEAK_SHARE, abs=0.005)


def test_the_script_and_the_data_have_the_same_table(script: Any) -> None:
    for name, unit in (("load.csv", "consumption"), ("pv.csv", "pv")):
        path = SCENARIO.with_suffix("") / name
        rows = np.genfromtxt(path, delimiter=",", skip_header=1)[:24, 1:]
        column = script.TABLE_1[:, script.COLUMNS.index(unit)]
        assert rows.sum(axis=1) == pytest.approx(1000.0 * column, abs=0.5)


def test_numbers_of_a_day(files: list[Path]) -> None:
    found = json.loads(called(*files, "--json"))
    ours = {name: np.array(values) for name, values in found["ours_mw"].items()}
    assert ours["supply"] == pytest.approx(ours["demand"], abs=1e-5)
    assert ours["consumption"] == pytest.approx(found["paper_mw"]["consumption"], abs=5e-4)
    assert ours["pv"] == pytest.approx(found["paper_mw"]["pv"], abs=5e-4)
    assert sum(found["charging_share_percent"].values()) == pytest.approx(100.0)
    assert found["departures"] == found["departures_met"] == 42
    day, short = found["settlement"]
    assert (day["rule"], day["consumers"], day["producers"]) == ("mid-market", 21, 11)
    assert day["consumers_gain_eur"] == pytest.approx(day["producers_gain_eur"])
    assert short["producers"] == 0
    made = found["clearing"]
    assert 0 < made["median_iterations"] <= made["most_iterations"]
    assert 0.0 < made["median_gap_percent"] <= made["largest_gap_percent"] < 0.01
    assert made["paper"]["iterations"] == 1169
    assert found["methods"] is None


def test_a_short_run_is_printed_and_drawn(files: list[Path], tmp_path: Path) -> None:
    picture = tmp_path / "short.png"
    text = called(files[1], "--out", picture)
    assert "night, 1 to 10" in text
    assert "same size and class" in text
    assert "--methods FILE.jsonl, from python -m benchmarks.market --case ieee33" in text
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_picture_of_a_day(script: Any, files: list[Path], tmp_path: Path) -> None:
    figure = script.draw(script.open_run(files[0]))
    assert len(figure.axes) == 4
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes)
    figure.savefig(tmp_path / "day.png")
    assert (tmp_path / "day.png").stat().st_size > 10_000


LINES = [
    {"method": "admm", "iterations": 38, "seconds": 0.05, "gap": 3e-8, "status": "converged"},
    {
        "method": "central-ecos",
        "iterations": 31,
        "seconds": 0.1,
        "gap": -7e-12,
        "status": "exact: x",
    },
    {"method": "neighbours", "status": "passed the limit of 600 s"},
    {"method": "another", "iterations": 2, "seconds": float("nan"), "gap": 0.0912},
]


def test_methods_beside_the_paper(files: list[Path], tmp_path: Path) -> None:
    lines = tmp_path / "methods.jsonl"
    texts = [json.dumps({"case": "ieee33", **line}) for line in LINES]
    other = json.dumps({"case": "ieee69", "method": "admm", "iterations": 9999})
    lines.write_text("\n".join([*texts, "", other, ""]), encoding="utf-8")
    text = called(files[1], "--methods", lines)
    rows = [" ".join(row.split()) for row in text.splitlines()]
    assert "this package, exact network 38 0.050 0.000003 converged" in rows
    assert "central, relaxed, ECOS 31 0.100 0.000000 exact" in rows
    assert "the paper's ADMM, rebuilt - - - passed the limit of 600 s" in rows
    assert "another 2 - 9.120000 -" in rows
    assert "the paper, its data 1169 3927 9.12 published" in rows
    assert "9999" not in text
    found = json.loads(called(files[1], "--methods", lines, "--json"))["methods"]
    assert [line.get("gap_percent") for line in found] == pytest.approx([3e-6, -7e-10, None, 9.12])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [('{"case": "ieee69", "method": "admm"}', "no line has case = 'ieee33'"), ("{", "line 1")],
)
def test_a_file_without_methods(script: Any, tmp_path: Path, text: str, wanted: str) -> None:
    lines = tmp_path / "methods.jsonl"
    lines.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=wanted):
        script.methods_of(lines)
