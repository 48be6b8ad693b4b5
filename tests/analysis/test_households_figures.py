"""The script that puts the three cases of households beside the paper: arrays, tables, pictures."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.results import open_run
from peergrid.scenario.run import prepare, run
from peergrid.study.households.mix import trade_matrix_kwh

pytest.importorskip("matplotlib")

FOLDER = Path("analysis").resolve()
SCENARIOS = Path("scenarios").resolve()
CASES = (0, 1, 2)
TRADING = (1, 2)
FIRST, HOURS = "2016-07-25T18:00", 3
"""The evening: that is when neighbours trade."""


def short(case: int, path: Path) -> Path:
    """An evening of a case, planned with one scenario."""
    file = SCENARIOS / f"ieee119_case{case}.toml"
    market = prepare(file).scenario.market.model_dump(exclude_unset=True)
    if case:
        market["scenarios"] = 1
    return run(prepare(file, hours=HOURS, start=FIRST, market=market), path).path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [short(case, folder / f"{case}.h5") for case in CASES]


@pytest.fixture(scope="module")
def reading() -> Any:
    spec = importlib.util.spec_from_file_location("household_runs", FOLDER / "household_runs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def days(reading: Any, files: list[Path]) -> Any:
    return reading.read_days(files)


def called(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "households.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("case", CASES)
def test_what_is_metered_is_traded_or_the_retailers(
    days: Any, files: list[Path], case: int
) -> None:
    flows, found = days[case].flows, open_run(files[case])
    cleared = found["Participant.P[MW]"] + found["Participant.imbalance[MW]"]
    metered = 1000.0 * cleared.values.T
    account = flows.sell_kw + flows.sell_local_kw - flows.buy_kw - flows.buy_local_kw
    np.testing.assert_allclose(account[:, 0], metered, rtol=0.0, atol=1e-9)
    used = flows.consumption_kw + flows.storage_out_kw - flows.storage_in_kw
    load = 1000.0 * found["Load.P[MW]"].values.T
    for name, rows in (("Appliance", 2), ("Building", 1)):
        if f"{name}.P[MW]" in found:
            power = 1000.0 * found[f"{name}.P[MW]"].values.T
            load = load + power.reshape(rows, *load.shape).sum(axis=0)
    np.testing.assert_allclose(used[:, 0], load, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_money_adds_up(days: Any, case: int) -> None:
    day = days[case]
    assert day.kept["off_eur"] == pytest.approx(0.0, abs=1e-9)
    settled = day.figures.client_cost_eur
    assert day.figures.cost_eur == pytest.approx(settled.sum())
    assert day.formula_eur.sum() == pytest.approx(day.figures.cost_eur, rel=0.01)
    alone = ~((day.flows.sell_kw > 0.0) & (day.flows.sell_local_kw >= 0.0)).any(axis=(1, 2))
    np.testing.assert_allclose(day.formula_eur[alone], settled[alone], rtol=0.0, atol=1e-9)
    assert alone.sum() >= 8


def test_prices_are_those_of_the_tariff(days: Any) -> None:
    tariff = np.genfromtxt(SCENARIOS / "ieee119" / "prices.csv", delimiter=",", skip_header=1)[:, 1]
    first = 24 + 18  # the file begins a day before
    wanted = tariff[first : first + HOURS] / 1000.0
    for case in CASES:
        flows = days[case].flows
        np.testing.assert_allclose(flows.price_import_eur_per_kwh[0], wanted, rtol=1e-9)
        assert set(flows.price_feed_in_eur_per_kwh[0].round(9)) <= {0.0, 0.05}
        assert flows.fee_eur_per_kwh == pytest.approx(0.012 if case else 0.0)
        assert flows.hour_of_day.tolist() == [18.0, 19.0, 20.0]


@pytest.mark.parametrize("case", TRADING)
def test_the_matrix_is_what_was_traded(days: Any, files: list[Path], case: int) -> None:
    matrix = days[case].figures.trade_matrix_kwh
    traded = 1000.0 * open_run(files[case])["Participant.traded[MW]"].values
    assert matrix.sum() > 10.0
    np.testing.assert_allclose(matrix.sum(axis=1), np.maximum(traded, 0.0).sum(axis=0), atol=1e-9)
    np.testing.assert_allclose(matrix.sum(axis=0), np.maximum(-traded, 0.0).sum(axis=0), atol=1e-9)
    np.testing.assert_allclose(matrix, trade_matrix_kwh(days[case].flows), atol=1e-9)
    assert not matrix[~days[case].flows.may_sell].any()


def test_lines_have_their_names(reading: Any, days: Any, files: list[Path]) -> None:
    """In case 0 the last line of a branch carries what its last client draws."""
    found = open_run(files[0])
    assert days[0].figures.lines == reading.LINES
    for line, client in (("94-95", "w6"), ("98-99", "w10")):
        current = found["Line.I[kA]"].values[:, days[0].figures.lines.index(line)]
        load = found["Load.P[MW]"].values[:, days[0].figures.names.index(client)]
        assert current / current[0] == pytest.approx(load / load[0], rel=1e-3)


def test_stores_and_needs(days: Any) -> None:
    for case in TRADING:
        kept = days[case].kept
        begun = kept["cycles_due"] - kept["cycles_not_begun"]
        assert 0 <= kept["cycles_done"] <= begun <= 20
        assert 21.0 <= kept["t_in_min_c"] <= kept["t_in_max_c"] <= 25.0
        assert kept["discomfort_kh"] == 0.0
        given = days[case].flows.energy_kwh(days[case].flows.storage_out_kw).sum()
        taken = days[case].flows.energy_kwh(days[case].flows.storage_in_kw).sum()
        fell = kept["stored_first_kwh"] - kept["stored_last_kwh"]
        trips = fell - (given / 0.95 - 0.95 * taken)
        assert trips == pytest.approx(0.0, abs=1e-6)  # nobody is on the road in the evening
        assert kept["refill_kwh"] == pytest.approx(fell / 0.95)
    assert all(days[0].kept[name] is None for name in ("t_in_min_c", "cycles_due", "departures"))


def test_everything_as_json_and_pictures(files: list[Path], tmp_path: Path) -> None:
    done = called(*files, "--json", "--out", tmp_path / "figs")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"cases", "published", "bands", "notes", "caveats"}
    assert [len(found["cases"][str(case)]["client_cost_eur"]) for case in CASES] == [10, 10, 10]
    assert {one["kind"] for one in found["published"]} >= {"by construction", "calibrated"}
    assert all(isinstance(band["holds"], bool) for band in found["bands"])
    pictures = sorted((tmp_path / "figs").glob("*.png"))
    assert [path.name[:4] for path in pictures] == [f"fig{k}" for k in range(2, 8)]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


def test_tables_for_people(files: list[Path]) -> None:
    done = called(*files)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    rows = [" ".join(row.split()) for row in done.stdout.splitlines()]
    for text in ("case 0, highest", "BY CONSTRUCTION", "NOT REPRODUCED", "CALIBRATED", "FINDING"):
        assert any(text in row for row in rows), text
    for start in ("w10 ", "19 h ", "94-95 ", "overloaded ", "share of neighbours "):
        assert any(row.startswith(start) for row in rows), start
    assert "\x1b" not in done.stdout


def test_files_that_do_not_fit(reading: Any, files: list[Path], tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.h5"
    foreign.write_bytes(b"not HDF5")
    later = tmp_path / "later.h5"
    later.write_bytes(files[1].read_bytes())
    with h5py.File(later, "a") as file:
        file.attrs["start"] = "2016-07-26T16:00:00+00:00"
    for given, wanted in (
        ([tmp_path / "none.h5", *files[1:]], "none.h5: file = 'missing': allowed: an HDF5"),
        ([foreign, *files[1:]], "foreign.h5: file = 'not HDF5'"),
        ([files[1], *files[1:]], "name = 'ieee119_case1': allowed: ieee119_case0: a whole run"),
        ([files[0], later, files[2]], "26T16:00:00+00:00': allowed: 2016-07-25T16:00:00"),
    ):
        with pytest.raises(DataError) as caught:
            reading.read_days(given)
        assert wanted in str(caught.value)
    done = called(tmp_path / "none.h5", *files[1:])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("households: ")
    assert done.stderr.count("\n") == 1
