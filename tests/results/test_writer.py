"""The writer: layout, lags, late and odd values, resume, and a writer that is killed."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.results import RunFile, RunHeader, mark_failed, open_events, open_run, read_state
from peergrid.results.layout import SeriesInfo, info_from_names

START = "2016-06-30T00:00:00+00:00"
NAN = math.nan


def header(rows: int | None, **attrs: Any) -> RunHeader:
    return RunHeader(start=START, step_s=3600.0, rows=rows, attrs=attrs)


def lagged(full_id: str, attr: str) -> SeriesInfo:
    lag = 1 if attr.startswith("cost") else 0
    return SeriesInfo(model="Agent", unit="EUR" if lag else "MW", lag_steps=lag)


def contents(path: Path) -> dict[str, Any]:
    """Every dataset that a reader sees, by name; states come in either of two slots."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:

        def take(name: str, member: Any) -> None:
            if isinstance(member, h5py.Dataset) and not name.startswith(("Blocks", "State")):
                found[name] = member[()]

        file.visititems(take)
        found["status"] = file.attrs["status"]
    return found


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(
        np.asarray(left[k]).tobytes() == np.asarray(right[k]).tobytes() for k in left
    )


def series(path: Path, full_id: str, attr: str) -> list[float]:
    with h5py.File(path, locking=False) as file:
        return list(file["Series"][full_id][attr][:])


def test_layout_is_that_of_mosaik_hdf5_with_time_units_and_attributes(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with RunFile.create(path, header(2, seed=7, limits={"v": [0.9, 1.1]})) as run:
        run.write_relations({"M-0.A-1": ["M-0.A-2"], "M-0.A-2": []})
        for row in (0, 1):
            run.write(row, {"price[EUR/MWh]": {"M-0.A-1": 30.0 + row, "M-0.A-2": None}})
    with h5py.File(path) as file:
        data = file["Series"]["M-0.A-1"]["price[EUR/MWh]"]
        assert data.shape == (2,)
        assert data.dtype == np.float64
        assert list(data[:]) == [30.0, 31.0]
        assert data.attrs["unit"] == "EUR/MWh"
        assert np.isnan(file["Series/M-0.A-2/price[EUR/MWh]"][:]).all()
        assert list(file["time"][:]) == [0.0, 3600.0]
        assert file["Relations/M-0.A-1"][0].tolist() == [
            b"/Relations/M-0.A-2",
            b"/Series/M-0.A-2",
        ]
        assert file["Relations/M-0.A-2"].shape == (0, 2)
        assert (file.attrs["seed"], file.attrs["start"]) == (7, START)
        assert file.attrs["limits"] == '{"v": [0.9, 1.1]}'
        assert file.attrs["status"] == "complete"
        assert data.virtual_sources()[0].file_name == "."


def test_long_scenario_text_survives(tmp_path: Path) -> None:
    text = "x°" * 100_000
    path = tmp_path / "run.h5"
    RunFile.create(path, header(1, scenario=text)).close()
    assert open_run(path).attrs["scenario"] == text


def test_lagged_values_land_in_the_row_they_describe(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with RunFile.create(path, header(3), describe=lagged) as run:
        for row in range(-1, 4):
            run.write(row, {"cost[EUR]": {"M.A": row - 1.0}, "P[MW]": {"M.A": float(row)}})
    assert series(path, "M.A", "cost[EUR]") == [0.0, 1.0, 2.0]
    assert series(path, "M.A", "P[MW]") == [0.0, 1.0, 2.0]


def test_late_series_none_booleans_and_integers(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with RunFile.create(path, header(4)) as run:
        run.write(0, {"n": {"M.A": 1, "M.B": True}, "x": {"M.A": None}})
        run.write(1, {"n": {"M.A": 2.5}})
        run.write(2, {"n": {"M.A": None, "M.C": np.float32(3)}, "late": {"M.A": 5}})
        run.write(3, {"n": {"M.A": NAN}, "x": {"M.A": np.int64(4)}})
    np.testing.assert_array_equal(series(path, "M.A", "n"), [1, 2.5, NAN, NAN])
    np.testing.assert_array_equal(series(path, "M.B", "n"), [1, NAN, NAN, NAN])
    np.testing.assert_array_equal(series(path, "M.C", "n"), [NAN, NAN, 3, NAN])
    np.testing.assert_array_equal(series(path, "M.A", "late"), [NAN, NAN, 5, NAN])
    np.testing.assert_array_equal(series(path, "M.A", "x"), [NAN, NAN, NAN, 4])
    assert open_run(path)["A.n"].shape == (4, 1)
    assert open_run(path)["A.n"].attrs["units"] == ""


def test_lists_grow_are_padded_and_cut_to_what_was_used(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with RunFile.create(path, header(4)) as run:
        run.write(0, {"h": {"M.A": [1.0, 2.0], "M.B": None}, "k": {"M.A": 9.0}})
        run.write(1, {"h": {"M.A": [1.0] * 5, "M.B": [3]}, "k": {"M.A": [8.0, None]}})
        run.write(2, {"h": {"M.A": [], "M.B": 4.0}})
    with h5py.File(path) as file:
        first, second = file["Series/M.A/h"][:], file["Series/M.B/h"][:]
        k = file["Series/M.A/k"][:]
        assert file.attrs["status"] == "running"
    assert first.shape == (3, 5)
    np.testing.assert_array_equal(first[0], [1, 2, NAN, NAN, NAN])
    assert np.isnan(first[2]).all()
    np.testing.assert_array_equal(second[:, 0], [NAN, 3, 4])
    np.testing.assert_array_equal(k, [[9], [8], [NAN]])
    assert open_run(path)["A.h"].shape == (3, 1, 5)


def test_texts_and_mappings_are_an_event_once_and_never_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with RunFile.create(path, header(2)) as run:
        for row in (0, 1):
            run.write(row, {"flexibility": {"M.A": {"p": 1}}, "name": {"M.A": "x"}})
    events = open_events(path)
    assert list(events["what"]) == [
        "flexibility is not recorded: dict",
        "name is not recorded: str",
    ]


def test_events_and_their_values(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    long = "é" * 500
    with RunFile.create(path, header(400)) as run:
        for row in range(400):
            given: list[dict[str, Any]] = [
                {"who": "Grid", "what": "diverged", "value": 2.5},
                {"what": long},
            ]
            run.write(row, {"a": {"M.A": 1.0}}, events=given)
        run.write(400, {}, events=[{"who": "Market", "what": "mode", "value": "fallback"}])
    events = open_events(path)
    assert len(events) == 801
    assert events["value"][0] == 2.5
    assert events["what"][1] == "é" * 120
    assert events["what"].iloc[-1] == "mode: fallback"
    assert events["time"][0].isoformat() == "2016-06-30T00:00:00"
    assert math.isnan(events["value"][1])


def test_early_stop_unplanned_length_and_failure_say_so(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with RunFile.create(path, header(None)) as run:
        for row in range(200):
            run.write(row, {"a": {"M.A": float(row)}})
    assert series(path, "M.A", "a") == [float(k) for k in range(200)]
    assert open_run(path).attrs["status"] == "closed"
    with RunFile.create(path, header(5), overwrite=True) as run:
        run.write(0, {"a": {"M.A": 0.0}})
    assert series(path, "M.A", "a") == [0.0]
    assert open_run(path).attrs["status"] == "running"
    mark_failed(path, "the grid\nsimulator died")
    assert open_run(path).attrs["status"] == "failed: the grid simulator died"
    assert open_run(path).sizes["time"] == 1


def feed(run: RunFile, first: int, last: int) -> None:
    """A run in which everything happens: lags, late series, lists that grow, events, states."""
    for row in range(first, last):
        values: dict[str, Any] = {
            "P[MW]": {f"M.A-{i}": row + i / 10 for i in range(12)},
            "cost[EUR]": {"M.A-1": row - 1.0},
            "h": {"M.A-1": [float(row)] * (1 + row % 7)},
        }
        if row >= 9:
            values["late/x[EUR/MWh]"] = {"M.A-2": row * 2.0}
        events = [{"who": "M", "what": "odd", "value": row}] if row % 3 == 0 else []
        states = {"M": {"row": row, "draws": [row] * row}} if (row + 1) % 4 == 0 else {}
        run.write(row, values, events=events, states=states)


@pytest.mark.parametrize("stop", [1, 8, 9, 13])
def test_a_resumed_run_leaves_the_same_datasets_as_an_unbroken_one(
    tmp_path: Path, stop: int
) -> None:
    whole, broken = tmp_path / "whole.h5", tmp_path / "broken.h5"
    with RunFile.create(whole, header(20), describe=lagged) as run:
        feed(run, 0, 21)
    with RunFile.create(broken, header(20), describe=lagged) as run:
        feed(run, 0, stop + 3)
    with RunFile.append(broken, stop, describe=lagged) as run:
        assert open_run(broken).sizes["time"] == stop
        feed(run, stop, 21)
    unbroken, resumed = contents(whole), contents(broken)
    assert same(unbroken, resumed)
    assert read_state(whole) == read_state(broken)


def test_resume_refuses_rows_the_file_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with RunFile.create(path, header(5)) as run:
        feed(run, 0, 3)
    with pytest.raises(DataError, match="0 to the 3 whole rows"):
        RunFile.append(path, 4)
    with pytest.raises(DataError, match="missing"):
        RunFile.append(tmp_path / "none.h5", 0)
    with pytest.raises(DataError, match="exists"):
        RunFile.create(path, header(5))
    with pytest.raises(DataError, match="names other than"):
        RunFile.create(tmp_path / "new.h5", header(5, status="fine"))


def test_state_is_the_latest_that_all_simulators_have(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    with RunFile.create(path, header(9)) as run:
        run.write(0, {}, states={"A": {"x": 0}, "B": {"y": [0] * 1000}})
        run.write(1, {}, states={"A": {"x": 1}, "B": {"y": [1]}})
        run.write(2, {}, states={"A": {"x": 2}})
        assert read_state_of_running(path) == (2, {"A": {"x": 1}, "B": {"y": [1]}})
        run.write(3, {}, states={"A": {"x": 3}, "B": {"y": [3] * 5000}})
    assert read_state(path) == (4, {"A": {"x": 3}, "B": {"y": [3] * 5000}})
    with RunFile.create(path, header(2), overwrite=True) as run, pytest.raises(DataError):
        run.write(0, {}, states={"A": {"x": object()}})
    assert read_state(path) == (0, {})


def read_state_of_running(path: Path) -> Any:
    copy = path.with_name("copy.h5")
    shutil.copy(path, copy)
    return read_state(copy)


def test_a_running_file_is_read_by_others_and_can_be_copied(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    run = RunFile.create(path, header(6))
    for row in range(6):
        run.write(row, {"a": {"M.A": float(row)}})
        code = (
            "import sys; from peergrid.results import open_run;"
            "print(open_run(sys.argv[1])['A.a'].values[:, 0].tolist())"
        )
        if row in (0, 3):
            seen = subprocess.run(
                [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
            )
            assert seen.stdout.strip() == str([float(k) for k in range(row + 1)])
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "copied.h5"
    shutil.copy(path, copy)
    run.close()
    path.unlink()
    assert series(copy, "M.A", "a") == [float(k) for k in range(6)]


WRITER = """
import sys
from peergrid.results import RunFile, RunHeader
from tests.results.test_writer import feed, header, lagged
rows = None if sys.argv[2] == "unplanned" else 100_000
run = RunFile.create(sys.argv[1], header(rows), describe=lagged)
print("go", flush=True)
feed(run, 0, 100_000)
"""


@pytest.mark.parametrize("mode", ["planned", "unplanned"])
def test_a_killed_writer_leaves_all_whole_hours_and_can_be_resumed(
    tmp_path: Path, mode: str
) -> None:
    rng = np.random.default_rng(len(mode))
    for attempt in range(4):
        path = tmp_path / f"{attempt}.h5"
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), mode], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.3))
            os.kill(process.pid, signal.SIGKILL)
        check_killed(path)


def check_killed(path: Path) -> int:
    """A killed file of :func:`feed` holds whole rows, and can be gone on with; returns rows."""
    data = open_run(path)
    rows = data.sizes["time"]
    if rows:
        expected = np.arange(rows)[:, None] + np.arange(12) / 10
        np.testing.assert_array_equal(data["Agent.P[MW]"].values, expected)
        costs = data["Agent.cost[EUR]"].sel(Agent="M.A-1").values[: rows - 1]
        np.testing.assert_array_equal(costs, np.arange(rows - 1))
        assert len(open_events(path)) >= (rows + 2) // 3
        plain = series(path, "M.A-3", "P[MW]")[:rows]
        assert plain == [row + 0.3 for row in range(rows)]
    row, states = read_state(path)
    assert row == 4 * (rows // 4)
    if row:
        assert states["M"]["row"] == row - 1
    with RunFile.append(path, row, describe=lagged) as run:
        feed(run, row, row + 3)
    assert open_run(path).sizes["time"] == row + 3
    return rows


def test_names_suggest_a_model() -> None:
    assert info_from_names("PyPower.0-bus_12", "Vm").model == "0-bus"
    assert info_from_names("G.12", "Vm").model == "12"
