"""The reader: what open_run makes of whole, foreign, truncated and hostile files."""

import pickle
import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.results import RunFile, RunHeader, open_events, open_run, read_state
from peergrid.results.layout import SCHEMA_ATTR

START = "2016-06-30T02:00:00+02:00"


def write_run(path: Path, rows: int = 3) -> Path:
    header = RunHeader(start=START, step_s=900.0, rows=rows, attrs={"seed": 3})
    with RunFile.create(path, header, overwrite=True) as run:
        for row in range(rows):
            buses = {f"Grid-0.Bus-{i}": 1.0 - i / 100 - row / 1000 for i in (10, 2, 1)}
            run.write(
                row,
                {
                    "Vm[pu]": buses,
                    "P[MW]": {"Grid-0.Bus-2": 0.1},
                    "h": {"M-0.Market-0": [1.0] * (row + 1)},
                },
                events=[{"who": "Grid-0", "what": "odd", "value": 1}],
                states={"Grid-0": {"k": row}},
            )
    return path


def test_dataset_has_a_variable_per_model_and_attribute(tmp_path: Path) -> None:
    data = open_run(write_run(tmp_path / "run.h5"))
    assert sorted(map(str, data.data_vars)) == ["Bus.P[MW]", "Bus.Vm[pu]", "Market.h"]
    assert data["Bus.Vm[pu]"].dims == ("time", "Bus")
    assert data["Bus.Vm[pu]"].attrs["units"] == "pu"
    assert list(data["Bus"].values) == ["Grid-0.Bus-1", "Grid-0.Bus-2", "Grid-0.Bus-10"]
    np.testing.assert_allclose(data["Bus.Vm[pu]"].values[0], [0.99, 0.98, 0.90])
    assert np.isnan(data["Bus.P[MW]"].sel(Bus="Grid-0.Bus-1")).all()
    assert data["Market.h"].shape == (3, 1, 3)
    assert str(data["time"].values[1]) == "2016-06-30T00:15:00.000000000"
    assert (data.attrs["seed"], data.attrs["rows"], data.attrs["status"]) == (3, 3, "complete")


def foreign(path: Path, **datasets: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file.create_dataset(f"Series/{name}", data=value)
    return path


def test_files_of_mosaik_hdf5_open_too(tmp_path: Path) -> None:
    path = foreign(
        tmp_path / "m.h5",
        **{
            "G-0.Bus-1/Vm": np.array([1.0, 0.9]),
            "G-0.Bus-2/price[EUR/MWh]": np.array([1, 2, 3]),
            "G-0.Bus-2/on": np.array([True, False, True]),
            "G-0.Bus-2/name": np.array([b"a", b"b"]),
        },
    )
    data = open_run(path)
    assert sorted(map(str, data.data_vars)) == ["Bus.Vm", "Bus.on", "Bus.price[EUR/MWh]"]
    np.testing.assert_array_equal(data["Bus.price[EUR/MWh]"].sel(Bus="G-0.Bus-2"), [1, 2, 3])
    np.testing.assert_array_equal(data["Bus.Vm"].sel(Bus="G-0.Bus-1"), [1.0, 0.9, np.nan])
    assert list(data["time"].values) == [0, 1, 2]
    dated = open_run(path, start="2020-01-01", step_s=900)
    assert str(dated["time"].values[1]).startswith("2020-01-01T00:15")
    assert open_events(path).empty
    with pytest.raises(DataError, match="ISO"):
        open_run(path, start="yesterday", step_s=900)


@pytest.mark.parametrize("keep", [0, 7, 100, 2048, 0.5, 0.95])
def test_truncated_files_are_one_clear_line(tmp_path: Path, keep: float) -> None:
    path = write_run(tmp_path / "run.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    for read in (open_run, open_events, read_state):
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing"):
        open_run(tmp_path / "none.h5")
    with pytest.raises(DataError, match="missing"):
        open_run(tmp_path)
    text = tmp_path / "text.h5"
    text.write_text("time,value\n")
    with pytest.raises(DataError, match="not HDF5"):
        open_run(text)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["a"] = 1.0
    with pytest.raises(DataError, match="mosaik-hdf5"):
        open_run(other)
    newer = write_run(tmp_path / "newer.h5")
    with h5py.File(newer, "r+") as file:
        file.attrs[SCHEMA_ATTR] = 99
    with pytest.raises(DataError, match="newer peergrid"):
        open_run(newer)


def _external_link(file: Any, secret: Path) -> None:
    file["Series/A.B/x"] = h5py.ExternalLink(str(secret), "/x")


def _soft_link(file: Any, secret: Path) -> None:
    file["Series/A.B/x"] = h5py.SoftLink("/Series")


def _external_storage(file: Any, secret: Path) -> None:
    file.create_dataset("Series/A.B/x", (4,), "f8", external=[(str(secret), 0, 32)])


def _virtual_elsewhere(file: Any, secret: Path) -> None:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "x", (4,))
    file.create_virtual_dataset("Series/A.B/x", layout)


def _giant(file: Any, secret: Path) -> None:
    file.create_dataset("Series/A.B/x", (1 << 50,), "f8", chunks=(1024,))


def _bomb(file: Any, secret: Path) -> None:
    file.create_dataset("Series/A.B/x", (1 << 34,), "f8", chunks=(1 << 20,), compression=9)


def _deep(file: Any, secret: Path) -> None:
    file.create_group("Series/A.B/" + "x/" * 40)


def _loop(file: Any, secret: Path) -> None:
    group = file.create_group("Series/A.B")
    group["again"] = file["Series"]


HOSTILE = [
    _external_link,
    _soft_link,
    _external_storage,
    _virtual_elsewhere,
    _giant,
    _bomb,
    _deep,
    _loop,
]


@pytest.mark.parametrize("attack", HOSTILE)
@pytest.mark.parametrize("ours", [True, False])
def test_hostile_files_are_refused(tmp_path: Path, attack: Any, ours: bool) -> None:
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.arange(4.0)
    path = tmp_path / "bad.h5"
    if ours:
        write_run(path)
    with h5py.File(path, "a") as file:
        attack(file, secret)
    for read in (open_run, open_events, read_state):
        with pytest.raises(DataError):
            read(path)


class Trap:
    """Would leave a mark if anyone unpickled it."""

    def __reduce__(self) -> Any:
        return (open, ("unpickled.txt", "w"))


def test_objects_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_run(tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["trap"] = np.void(pickle.dumps(Trap()))
        file.attrs["array"] = np.arange(3)
        file["State/Grid-0"].create_dataset("9", data=np.frombuffer(pickle.dumps(Trap()), "u1"))
        del file["Events"]
        file.create_dataset("Events", (1,), h5py.vlen_dtype(np.uint8))
    assert "trap" not in open_run(path).attrs
    assert read_state(path) == (3, {"Grid-0": {"k": 2}})
    with pytest.raises(DataError, match="Events"):
        open_events(path)
    assert not (tmp_path / "unpickled.txt").exists()


def test_own_files_with_strange_parts_are_refused(tmp_path: Path) -> None:
    def spoil_rows(file: Any) -> None:
        del file["rows"]

    def spoil_columns(file: Any) -> None:
        columns = file["Blocks/0/columns"][:2]
        del file["Blocks/0/columns"]
        file["Blocks/0/columns"] = columns

    def spoil_values(file: Any) -> None:
        del file["Blocks/0/values"]
        file["Blocks/0/values"] = np.array([b"x"])

    def spoil_step(file: Any) -> None:
        file.attrs["step_s"] = "long"

    for spoil in (spoil_rows, spoil_columns, spoil_values, spoil_step):
        path = write_run(tmp_path / "run.h5")
        with h5py.File(path, "r+") as file:
            spoil(file)
        with pytest.raises(DataError):
            open_run(path)


def test_size_limit(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.h5")
    with pytest.raises(DataError, match="10 bytes in all"):
        open_run(path, max_bytes=10)


def test_torn_state_slots_are_passed_over(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        for slot in file["State/Grid-0"].values():
            if slot[:].tobytes().startswith(b"2 "):
                slot[6:10] = np.frombuffer(struct.pack("I", 7), "u1")
    assert read_state(path) == (2, {"Grid-0": {"k": 1}})
