"""Figures of merit and exports, on a run small enough to count by hand."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from peergrid.errors import DataError
from peergrid.results import (
    RunFile,
    RunHeader,
    open_run,
    summary,
    to_csv,
    to_parquet,
)

ROWS = 2
PEOPLE = [{"id": "Market-0.Participant-0", "name": "Ada", "bus": 2}]


def hour(row: int) -> dict[str, dict[str, Any]]:
    """Ada's PV feeds Ben's load; the rest comes over the feeder head."""
    pv, load, loss = 0.03, 0.1 + 0.01 * row, 0.002
    one, two = "Market-0.Participant-0", "Market-0.Participant-1"
    return {
        "P[MW]": {
            "Load-0.Load-0": load,
            "PV-0.PV-0": pv,
            "Battery-0.Battery-0": -0.005,
            "EVFleet-0.EVFleet-0": -0.02,
            "EVFleet-0.EV-0": -0.02,
            "Grid-0.ExternalGrid-0": load - pv + 0.005 + 0.02 + loss,
            "Grid-0.Bus-0": 0.0,
            "Grid-0.Bus-1": load - pv + 0.025,
            one: 0.03,
            two: -0.1,
        },
        "P_loss[MW]": {"Grid-0.Grid-0": loss},
        "Q_loss[MVar]": {"Grid-0.Grid-0": 0.001},
        "converged": {"Grid-0.Grid-0": row == 0},
        "Vm[pu]": {"Grid-0.Bus-0": 1.0, "Grid-0.Bus-1": 0.94 - 0.01 * row},
        "loading[%]": {"Grid-0.Line-0": 90.0 + 20 * row, "Grid-0.Trafo-0": 40.0},
        "imbalance[MW]": {one: -0.01, two: 0.0},
        "traded[MW]": {one: 0.02, two: -0.02, "Market-0.Market-0": 0.02},
        "import[MW]": {one: 0.0, two: 0.08},
        "export[MW]": {one: 0.0, two: 0.0},
        "cost[EUR]": {one: -2.0, two: 10.0},
        "saving[EUR]": {one: 0.5, two: 0.25},
        "retailer_bill[EUR]": {"Market-0.Market-0": 8.5},
        "network_fees[EUR]": {"Market-0.Market-0": 0.5},
        "operator_cost[EUR]": {"Market-0.Market-0": 1.0 + row / 4},
        "status": {"Market-0.Market-0": row},
        "breaches": {"Market-0.Market-0": 1},
        "departures": {"EVFleet-0.EV-0": 1},
        "departures_met": {"EVFleet-0.EV-0": row},
    }


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    path = tmp_path / "run.h5"
    attrs = {"v_min_pu": 0.935, "v_max_pu": 1.05, "participants": PEOPLE}
    header = RunHeader(start="2016-06-30T00:00Z", step_s=1800.0, rows=ROWS, attrs=attrs)
    with RunFile.create(path, header) as run:
        for row in range(ROWS):
            run.write(row, hour(row), events=[{"who": "PV-0", "what": "Curtailed", "value": 1.0}])
    return path


EXPECTED = {
    "status": "complete",
    "hours": 1.0,
    "events": 2,
    "curtailment_events": 2,
    "savings_eur": 1.5,
    "cost_eur": 16.0,
    "loss_kwh": 2.0,
    "loss_kvarh": 1.0,
    "traded_kwh": 20.0,
    "import_kwh": 102.0,
    "export_kwh": 0.0,
    "retail_import_kwh": 80.0,
    "vm_min_pu": 0.93,
    "vm_max_pu": 1.0,
    "voltage_violations": 1,
    "overloads": 1,
    "max_loading_pct": 110.0,
    "nonconverged_hours": 1,
    "unconverged_clearings": 1,
    "envelope_breaches": 2,
    "ev_departures": 2,
    "ev_departures_met": 1,
    "payment_imbalance_eur": 0.25,
}


def test_every_figure(run_file: Path) -> None:
    found = summary(run_file)
    assert {name: found[name] for name in EXPECTED} == pytest.approx(EXPECTED)
    assert found["max_power_balance_error_kw"] == pytest.approx(0.0, abs=1e-9)
    assert found["max_bus_balance_error_kw"] == pytest.approx(0.0, abs=1e-9)
    ada, ben = found["participants"]
    assert (ada["name"], ada["bus"], ben["name"]) == ("Ada", 2, "Market-0.Participant-1")
    assert ada["energy_out_kwh"] == pytest.approx(20.0)
    assert ben["energy_in_kwh"] == pytest.approx(100.0)
    assert (ada["sold_kwh"], ben["bought_kwh"]) == pytest.approx((20.0, 20.0))
    assert (ada["cost_eur"], ben["saving_eur"]) == pytest.approx((-4.0, 0.5))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert summary(open_run(run_file))["events"] is None


def test_a_false_record_shows(run_file: Path, tmp_path: Path) -> None:
    data = open_run(run_file)
    data["Load.P[MW]"][1] += 0.001
    assert summary(data)["max_power_balance_error_kw"] == pytest.approx(1.0)


def test_slack_bus_may_be_net_of_the_head(run_file: Path) -> None:
    data = open_run(run_file)
    data["Bus.P[MW]"][:, 0] = -data["ExternalGrid.P[MW]"].values[:, 0]
    assert summary(data)["max_bus_balance_error_kw"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", [None, "Market.status", "Bus.Vm[pu]", "Participant.P[MW]"])
def test_whatever_is_missing_is_none(run_file: Path, name: str | None) -> None:
    data = open_run(run_file)
    if name is None:
        found = summary(xr.Dataset())
        assert found["hours"] == 0.0
    else:
        data[name] = data[name] * np.nan
        found = summary(data.assign_attrs(participants="{not json", step_s="x"))
    assert json.dumps(found, allow_nan=False)
    assert any(value is None for value in found.values())


def test_figures_of_a_foreign_file_are_none(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        file["Series/S-0.A-1/x"] = np.arange(3)
    found = summary(path)
    assert found["hours"] == 3.0
    assert found["cost_eur"] is None
    assert found["participants"] == []


def test_wide_csv_has_a_column_per_series_with_units(run_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "wide.csv"
    assert to_csv(run_file, target) == [target]
    table = pd.read_csv(target)
    assert len(table) == ROWS
    assert table["Grid-0.Bus-1/Vm[pu]"].tolist() == pytest.approx([0.94, 0.93])


def test_a_file_per_model(run_file: Path, tmp_path: Path) -> None:
    for export, suffix, read in (
        (to_csv, ".csv", pd.read_csv),
        (to_parquet, ".parquet", pd.read_parquet),
    ):
        written = export(run_file, tmp_path / "tables")
        assert tmp_path / "tables" / f"Bus{suffix}" in written
        table = read(tmp_path / "tables" / f"Bus{suffix}")
        assert list(table.columns) == ["time", "entity", "P[MW]", "Vm[pu]"]
        assert table["entity"].tolist() == ["Grid-0.Bus-0", "Grid-0.Bus-1"] * 2
        assert table["Vm[pu]"].tolist() == pytest.approx([1.0, 0.94, 1.0, 0.93])


def test_lists_and_odd_model_names_in_exports(tmp_path: Path) -> None:
    path = tmp_path / "run.h5"
    header = RunHeader(start="2016-06-30T00:00Z", step_s=3600.0, rows=1)
    with RunFile.create(path, header) as run:
        run.write(0, {"h": {"M-0.../x-0": [1.0, 2.0]}})
    (written,) = to_csv(path, tmp_path / "out")
    assert written.parent == tmp_path / "out"
    assert pd.read_csv(written)["h#1"].tolist() == [2.0]


def test_parquet_without_pyarrow_says_what_to_install(
    run_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install mosaik-peergrid"):
        to_parquet(run_file, tmp_path / "x.parquet")


def test_exports_that_cannot_be_written(run_file: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="a place to write"):
        to_csv(run_file, tmp_path / "file")
