"""Files of plans: what is written comes back, and nothing strange gets in."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.results import (
    PlanContent,
    PlanRecord,
    RunFile,
    RunHeader,
    open_plans,
    open_run,
    write_plans,
)
from peergrid.results.layout import SCHEMA_ATTR
from peergrid.results.plans import COORDS, VARIABLES

SIZES = {"technology": 2, "bus": 3, "step": 4, "instant": 5}


def values(rng: np.random.Generator, *, of_plan: bool) -> dict[str, Any]:
    """Random numbers for all variables that plans have, or have in common."""
    found = {}
    for name, (dims, _, _) in VARIABLES.items():
        own = dims[0] == "plan"
        if own == of_plan and name not in ("seed", "trace_effort", "trace_score"):
            found[name] = rng.random([SIZES[dim] for dim in dims[own:]])
    return found


def content(**changes: Any) -> PlanContent:
    rng = np.random.default_rng(0)
    trace = [(1.0, 9.0), (5.0, 3.0), (6.0, 2.5)]
    plain = PlanContent(
        name="small",
        network="ieee12",
        objective="cost",
        start="2016-06-30T02:00:00+02:00",
        step_s=900.0,
        technologies=["pv", "Akku-Süd"],
        units=["kWp", "kWh"],
        values={
            **values(rng, of_plan=False),
            "bus": np.array([1, 2, 7]),
            "parent": np.array([-1, 0, 1]),
        },
        records=[
            PlanRecord(label="base", method="base", values=values(rng, of_plan=True)),
            PlanRecord(
                label="ga 3",
                method="ga",
                seed=3,
                values={**values(rng, of_plan=True), "bound": None},
                trace=trace,
            ),
        ],
        attrs={"v_min_pu": 0.95, "chosen": "ga 3", "scenario": "x" * 70_000, "budget": None},
    )
    return replace(plain, **changes)


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "plan.h5"
    write_plans(path, content(**changes))
    return path


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    wanted, data = content(), open_plans(written(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["plan.h5"]
    assert data.sizes == {"plan": 2, "trace": 3, **SIZES}
    for k, record in enumerate(wanted.records):
        for name, value in record.values.items():
            expected = np.nan if value is None else value
            np.testing.assert_array_equal(data[name].values[k], expected, err_msg=name)
    for name, value in wanted.values.items():
        np.testing.assert_array_equal(data[name].values, value, err_msg=name)
    assert [*data["technology"].values] == ["pv", "Akku-Süd"]
    assert [*data["seed"].values] == [-1, 3]
    assert float(data["score"].sel(plan="ga 3")) == wanted.records[1].values["score"]
    assert np.isnan(data["trace_score"].sel(plan="base")).all()
    np.testing.assert_array_equal(data["trace_effort"].sel(plan="ga 3"), [1.0, 5.0, 6.0])
    assert str(data["time"].values[1]) == "2016-06-30T00:15:00.000000000"
    assert (data.attrs["chosen"], len(data.attrs["scenario"])) == ("ga 3", 70_000)
    assert "budget" not in data.attrs


def test_every_variable_says_its_unit(tmp_path: Path) -> None:
    data = open_plans(written(tmp_path))
    for name, variable in VARIABLES.items():
        assert data[name].attrs["units"] == ("EUR" if variable.unit is None else variable.unit)
        assert data[name].attrs["long_name"]
    traded = open_plans(written(tmp_path, objective="traded"))
    assert traded["score"].attrs["units"] == "kWh"
    assert set(data.data_vars) == set(VARIABLES) - set(COORDS)


def test_the_day_alone_can_be_written(tmp_path: Path) -> None:
    data = open_plans(written(tmp_path, records=content().records[:1]))
    assert data.sizes["trace"] == 0


def test_a_file_that_is_there_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    before = written(tmp_path).read_bytes()
    spoilt = PlanRecord(label="base", method="base", values={"vm_pu": np.zeros((3, 7))})
    for changes in (
        {"records": [spoilt]},
        {"records": content().records[1:]},
        {"records": []},
        {"technologies": ["pv"]},
    ):
        with pytest.raises(DataError):
            written(tmp_path, **changes)
    assert (tmp_path / "plan.h5").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["plan.h5"]
    with pytest.raises(DataError, match="a place to write"):
        write_plans(tmp_path / "none" / "plan.h5", content())


def test_files_of_runs_and_of_plans_are_told_apart(tmp_path: Path) -> None:
    run = tmp_path / "run.h5"
    with RunFile.create(run, RunHeader(start="2016-06-30T00:00+00:00", step_s=3600.0)) as file:
        file.write(0, {"Vm[pu]": {"Grid-0.Bus-1": 1.0}})
    with pytest.raises(DataError, match="peergrid plan"):
        open_plans(run)
    with pytest.raises(DataError, match=SCHEMA_ATTR):
        open_run(written(tmp_path))


def test_missing_foreign_and_newer_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing"):
        open_plans(tmp_path / "none.h5")
    text = tmp_path / "text.h5"
    text.write_text("plan,score\n")
    with pytest.raises(DataError, match="not HDF5"):
        open_plans(text)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["a"] = 1.0
    with pytest.raises(DataError, match=SCHEMA_ATTR):
        open_plans(other)
    newer = written(tmp_path)
    with h5py.File(newer, "r+") as file:
        file.attrs[SCHEMA_ATTR] = "plans 2"
    with pytest.raises(DataError, match="newer peergrid"):
        open_plans(newer)


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.1, 0.5, 0.95])
def test_truncated_files_are_one_clear_line(tmp_path: Path, keep: float) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(DataError) as caught:
        open_plans(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def put(name: str, value: Any) -> Any:
    def spoil(file: Any) -> None:
        del file[name]
        if value is not None:
            file[name] = value

    return spoil


def give(name: str, value: Any) -> Any:
    return lambda file: file.attrs.__setitem__(name, value)


def _giant(file: Any) -> None:
    del file["Values/vm_pu"]
    file.create_dataset("Values/vm_pu", (1 << 20, 1 << 20, 4), "f8", chunks=(1, 1024, 4))


def _virtual(file: Any) -> None:
    del file["Values/score"]
    layout = h5py.VirtualLayout((2,), "f8")
    layout[:] = h5py.VirtualSource(".", "Values/cost_eur", (2,))
    file.create_virtual_dataset("Values/score", layout)


SPOILT = {
    "nothing": put("Values/vm_pu", None),
    "no labels": put("Labels", None),
    "a group": lambda file: (put("Values/vm_pu", None)(file), file.create_group("Values/vm_pu")),
    "texts": put("Values/score", np.array([b"a", b"b"])),
    "objects": lambda file: (
        put("Values/score", None)(file),
        file.create_dataset("Values/score", (2,), h5py.vlen_dtype(np.uint8)),
    ),
    "numbers as texts": put("Labels/plan", np.arange(2.0)),
    "texts of any length": put("Labels/plan", ["base", "ga"]),
    "another length": put("Values/import_kw", np.zeros((2, 5))),
    "another rank": put("Values/import_kw", np.zeros(2)),
    "a scalar": put("Values/import_kw", 1.0),
    "empty": put("Values/import_kw", h5py.Empty("f8")),
    "no instant more": put("Values/energy_kwh", np.zeros((2, 2, 4))),
    "elsewhere": put("Values/score", h5py.ExternalLink("other.h5", "/x")),
    "a link": put("Values/score", h5py.SoftLink("/Values/cost_eur")),
    "giant": _giant,
    "virtual": _virtual,
    "start": give("start", "yesterday"),
    "first year": give("start", "0001-01-01T00:00+14:00"),
    "step": give("step_s", "long"),
    "no step": give("step_s", 0.0),
    "no number": give("step_s", np.nan),
    "endless": give("step_s", 1e300),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_strange_files_are_refused(tmp_path: Path, spoil: Any) -> None:
    path = written(tmp_path)
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(DataError) as caught:
        open_plans(path)
    assert str(path) in str(caught.value)


def test_size_limit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="100 bytes in all"):
        open_plans(written(tmp_path), max_bytes=100)
