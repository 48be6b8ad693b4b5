"""``peergrid compare`` and the figures drawn from it."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command

FIGURES = Path("analysis/envelopes.py").resolve()
SHIPPED = Path("scenarios/ieee69_dfe/communities.toml").resolve()


def test_the_published_table_stands_beneath_with_its_caveats(peergrid: Command) -> None:
    result = peergrid("compare", SHIPPED, "--methods", "doe-prop,dfe-joint", "--quiet")
    assert (result.code, result.err) == (0, "")
    rows = [line.split() for line in result.out.splitlines()]
    names = [row[0] for row in rows if row]
    for wanted in ("base", "doe-prop", "dfe-joint"):
        assert wanted in names
    assert ["published", "DFE", "2380", "-19.75", "1086", "-19.7"] in [row[:6] for row in rows]
    for said in (
        "18.74 %",
        "kWh",
        "synthetic",
        "no reproduction",
        "rise",
        "not known",
        "on the same rows",
    ):
        assert said in result.out


def test_json_holds_the_series_and_csv_the_lines(peergrid: Command, tmp_path: Path) -> None:
    out = tmp_path / "lines.csv"
    options = ["--methods", "doe-prop,dfe-joint,doe-prop", "--quiet", "--json", "--out", out]
    result = peergrid("compare", "ieee33", *options)
    found = json.loads(result.out)
    assert [day["method"] for day in found["days"]] == ["base", "doe-prop", "dfe-joint"]
    assert "published" not in found
    day = found["days"][2]
    assert day["loss_change"] == pytest.approx(-0.092, abs=0.002)
    assert len(day["series"]["p_kw"]) == len(day["series"]["p_max_kw"]) == 5
    assert found["days"][0]["jain"] is None
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["base", "doe-prop", "dfe-joint"]
    (tmp_path / "day.json").write_text(result.out, encoding="utf-8")
    _draw(tmp_path / "day.json", tmp_path)


def _draw(day: Path, folder: Path) -> None:
    pytest.importorskip("matplotlib")
    lines = [
        {
            "errors": "gaussian",
            "method": method,
            "promise": promise,
            "confidence": confidence,
            "traded_mwh": 8.0,
            "side_breach_mean": 1.0 - confidence,
            "side_breach_worst": 1.0 - confidence,
            "network_breach_worst_hour": 0.01,
        }
        for method in ("doe-prop", "dfe-joint")
        for promise in ("side", "network")
        for confidence in (0.8, 0.9)
    ]
    study = folder / "lines.jsonl"
    study.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    command = [sys.executable, str(FIGURES), str(day), "--confidence", str(study)]
    done = subprocess.run(
        [*command, "--out", str(folder / "figures")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert names == {"envelopes", "voltages", "losses", "confidence"}


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["ieee70"], "ieee33, ieee69"),
        (["ieee33", "--methods", "best"], "dfe-joint"),
        (["ieee33", "--methods", ","], "dfe-joint"),
        (["ieee33", "--methods", "none", "--out", "table.txt"], "FILE.csv"),
    ],
)
def test_bad_arguments_get_one_line(peergrid: Command, arguments: list[str], wanted: str) -> None:
    result = peergrid("compare", *arguments, "--quiet")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert wanted in result.err
