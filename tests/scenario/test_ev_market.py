"""The case of a published P2P market with vehicles: its data, its keys, and a whole day of it."""

import importlib.util
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peergrid.cosim.ev_fleet import EVFleetSimulator
from peergrid.cosim.pv import PVSimulator
from peergrid.errors import DataError
from peergrid.inputs.tours import read_tours
from peergrid.results import open_run, summary
from peergrid.scenario.load import parse_scenario
from peergrid.scenario.run import check, prepare, run
from tests.scenario.small import write

pytest.importorskip("peergrid.cosim.market")

SCENARIOS = Path("scenarios").resolve()
FOLDER = SCENARIOS / "ieee33_ev_market"
FILE = SCENARIOS / "ieee33_ev_market.toml"
VEHICLES = 21


@pytest.fixture(scope="module")
def tool() -> Any:
    """The script that wrote the data."""
    path = Path("tools/build_ev_market.py").resolve()
    spec = importlib.util.spec_from_file_location("build_ev_market", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the whole day."""
    return run(FILE, tmp_path_factory.mktemp("ev_market") / "day.h5").path


def test_the_data_are_rebuilt_to_the_bit(tool: Any, tmp_path: Path) -> None:
    written = tool.build(tmp_path / "again")
    assert {path.name for path in written} == {path.name for path in FOLDER.glob("*.csv")}
    for path in written:
        assert path.read_bytes() == (FOLDER / path.name).read_bytes(), path.name


def test_the_scenario_is_the_papers_community() -> None:
    setup = prepare(FILE)
    found = check(FILE)
    assert (found["devices"]["pv"], found["devices"]["ev"]) == (11, VEHICLES)
    assert not setup.layout.needs_weather
    scenario = setup.scenario
    assert (scenario.network.v_min_pu, scenario.network.v_max_pu) == (0.9, 1.1)
    table = scenario.ev[0]
    assert (table.e_max_kwh, table.p_max_kw, table.soc_min, table.v2g) == (40.0, 11.0, 0.2, True)
    assert not set(table.buses) & set(scenario.pv[0].buses)
    assert table.bid_share_of_import == 0.85


def test_two_trips_a_day() -> None:
    tours = read_tours(FOLDER / "tours.csv", n_ev=VEHICLES)
    counts = tours.groupby(["ev", "date"]).size()
    assert (counts == 2).all()
    assert len(counts) == 4 * VEHICLES
    today = tours[tours["date"].astype(str) == "2024-09-19"]
    first = today.groupby("ev")["depart_h"].min()
    second = today.groupby("ev")["depart_h"].max()
    assert first.between(8.0, 8.75).all()
    assert second.between(16.0, 16.75).all()


def test_the_totals_are_those_of_table_1(tool: Any, day: Path) -> None:
    found = open_run(day)
    load, pv = (1000.0 * found[name].values.sum(axis=1) for name in ("Load.P[MW]", "PV.P[MW]"))
    assert load == pytest.approx(1000.0 * np.array(tool.CONSUMPTION_MW), abs=0.5)
    assert pv == pytest.approx(1000.0 * np.array(tool.PV_MW), abs=0.5)


def test_the_day_is_as_it_should_be(day: Path) -> None:
    found = summary(day)
    assert (found["status"], found["hours"], found["nonconverged_hours"]) == ("complete", 24.0, 0)
    assert found["ev_departures"] == found["ev_departures_met"] == 2 * VEHICLES
    assert found["voltage_violations"] == 0
    assert found["unconverged_clearings"] == 0
    assert found["payment_imbalance_eur"] < 1e-6
    assert found["savings_eur"] > 0
    assert float(open_run(day)["EV.SoC[%]"].min()) >= 20.0


def test_the_calibration_holds(day: Path) -> None:
    """Near the paper's 57, 26, 17 % of the charging, and 3.75 % of consumption in hour 21."""
    data = open_run(day)
    power = 1000.0 * data["EV.P[MW]"].values
    charge, discharge = np.maximum(-power, 0.0).sum(axis=1), np.maximum(power, 0.0).sum(axis=1)
    shares = [100.0 * charge[a:b].sum() / charge.sum() for a, b in ((0, 10), (10, 16), (16, 24))]
    assert shares == pytest.approx([57.0, 26.0, 17.0], abs=1.0)
    load = 1000.0 * data["Load.P[MW]"].values.sum(axis=1)
    assert 100.0 * discharge[20] / load[20] == pytest.approx(3.75, abs=0.1)


def test_the_script_says_the_same(
    day: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = SCENARIOS / "ieee33_ev_market.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) < 100
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script)])
    runpy.run_path(str(script))
    ours, theirs = open_run(day), open_run("ev_market_mid-market.h5")
    assert set(theirs.data_vars) == set(ours.data_vars)
    assert all(theirs[name].identical(ours[name]) for name in theirs.data_vars)


# -- the keys ------------------------------------------------------------------------------------


def test_only_those_who_bid_are_told_the_prices(tmp_path: Path) -> None:
    more = "[[ev]]\nbuses = [6]\nbid_share_of_import = 0.5\n[prices]\nretail_adder_eur_per_mwh = 9"
    setup = prepare(write(tmp_path, more=more))
    silent, bidding = (
        setup.fleet_params([device for device in setup.layout.devices["ev"] if device.table == k])
        for k in (0, 1)
    )
    assert not {"tariff", "bid_share_of_import"} & set(silent)
    assert bidding["bid_share_of_import"] == 0.5
    assert bidding["tariff"]["retail_adder_eur_per_mwh"] == 9.0
    assert bidding["tariff"] == setup.market_params()["tariff"]


def test_the_market_hears_of_the_network_only_if_it_is_not_the_default(tmp_path: Path) -> None:
    assert "network" not in prepare(write(tmp_path)).market_params()["settings"]
    file = write(tmp_path, more='[market]\nnetwork = "ac"\n')
    assert prepare(file).market_params()["settings"]["network"] == "ac"


def test_a_vehicle_bids_its_share_of_each_hours_price() -> None:
    """Also in the last step of a run, whose prices lie behind it."""
    simulator = EVFleetSimulator()
    calendar = {"start": "2024-09-18T23:00", "timezone": "Europe/Lisbon", "hours": 26}
    simulator.init("EV", step_size=3600, horizon=24, base_dir=str(FOLDER), **calendar)
    tariff = {"wholesale": "prices.csv", "timezone": "Europe/Lisbon"}
    tariff |= {"retail_adder_eur_per_mwh": 0.0}
    simulator.create(1, "EVFleet", num_ev=2, bid_share_of_import=0.85, tariff=tariff)
    simulator.setup_done()
    price = np.loadtxt(FOLDER / "prices.csv", delimiter=",", skiprows=1, usecols=1)[:24]
    for hour in range(26):
        simulator.step(3600 * hour, {}, 0)
        for eid in ("EV-0", "EV-1", "EVFleet-0"):
            message = simulator.get_data({eid: ["flexibility"]})[eid]["flexibility"]
            wanted = 0.85 * np.roll(price, -hour) / 1000.0  # the first one is for hour + 1
            assert message["cost"]["linear"] == pytest.approx(wanted)


HEADER = "time,bus_6 [kW],bus_7 [kW]"
STAMPS = [f"2016-06-{29 + h // 24:02d}T{h % 24:02d}:00" for h in range(20, 48)]
STAMPS += [f"2016-07-{1 + h // 24:02d}T{h % 24:02d}:00" for h in range(48)]
ROWS = [f"{stamp},{10 + k % 5},0" for k, stamp in enumerate(STAMPS)]
TABLE = "[[pv]]\nbuses = [6, 7]\nkwp = 20\nseries = 'pv.csv'\n"


def test_measured_and_modelled_plants_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "pv.csv").write_text("\n".join([HEADER, *ROWS]), encoding="utf-8")
    setup = prepare(write(tmp_path, more=TABLE))
    assert [d.needs_weather for d in setup.layout.devices["pv"]] == [True, True, False, False]
    played = open_run(run(setup, tmp_path / "run.h5").path)["PV.P[MW]"].values
    first = STAMPS.index("2016-06-30T00:00")
    wanted = [10 + k % 5 for k in range(first, first + 3)]
    assert 1000.0 * played[:, 2] == pytest.approx(wanted)
    assert not played[:, [0, 1, 3]].any(), "night, and a plant that measured nothing"


@pytest.mark.parametrize("model", ["perfect", "default"])
def test_a_measured_plant_needs_no_weather_and_its_forecast_may_err(
    tmp_path: Path, model: str
) -> None:
    (tmp_path / "pv.csv").write_text("\n".join([HEADER, *ROWS]), encoding="utf-8")
    simulator = PVSimulator()
    calendar = {"start": "2016-06-30", "horizon": 24, "hours": 24, "seed": 3}
    simulator.init("PV", step_size=3600, forecast=model, base_dir=str(tmp_path), **calendar)
    simulator.create(1, "PV", kwp=20.0, series="pv.csv", bus=6)
    simulator.setup_done()
    simulator.step(0, {}, 0)
    found = simulator.get_data({"PV-0": ["P[MW]", "flexibility"]})["PV-0"]
    first = STAMPS.index("2016-06-30T00:00")
    wanted = [10.0 + k % 5 for k in range(first, first + 25)]
    assert 1000.0 * found["P[MW]"] == pytest.approx(wanted[0])
    assert (found["flexibility"]["p_max_kw"] == pytest.approx(wanted[1:])) == (model == "perfect")
    assert all(sigma > 0.0 for sigma in found["flexibility"]["sigma_kw"]) == (model == "default")


@pytest.mark.parametrize(
    ("header", "rows", "wanted"),
    [
        (HEADER, ROWS[:10], "pv.csv: time = '"),
        (HEADER, [*ROWS[:6], ROWS[6].replace(",0", ",nan"), *ROWS[7:]], "bus_7 at 2016-06-30T00"),
        (HEADER, [*ROWS[:6], ROWS[6].replace(",0", ",-1"), *ROWS[7:]], "0 to the 20 kW of kwp"),
        (HEADER, [*ROWS[:6], ROWS[6].replace(",0", ",21"), *ROWS[7:]], "= 21.0: allowed: 0 to"),
        (HEADER.replace("bus_7", "bus_8"), ROWS, "header = 'bus_8': allowed: bus_N of the plants"),
        (
            HEADER.replace("bus_7 [kW]", "bus_7 [MW]"),
            ROWS,
            "bus_7 = '[MW]': allowed: the unit [kW]",
        ),
        (None, [], "file = "),
    ],
)
def test_bad_series(tmp_path: Path, header: str | None, rows: list[str], wanted: str) -> None:
    if header is not None:
        (tmp_path / "pv.csv").write_text("\n".join([header, *rows]), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        prepare(write(tmp_path, more=TABLE))
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[[ev]]\nbuses = [2]\nbid_share_of_import = -0.1", "-0.1: allowed: 0 or more"),
        ("[[ev]]\nbuses = [2]\nbid_share_of_import = 1.1", "1.1: allowed: at most 1"),
        ("[[ev]]\nbuses = [2]\nbid_share_of_import = nan", "nan: allowed: a finite number"),
        ("[[ev]]\nbuses = [2]\nwear_rise_eur_per_mwh = -1", "= -1: allowed: 0 or more"),
        ("[[pv]]\nbuses = [2]\nkwp = 1\nseries = 3", "pv[0].series = 3: allowed: text"),
        (
            "[[pv]]\nbuses = [2, 2]\nkwp = 1\nseries = 'x.csv'",
            "pv[0].buses = [2, 2]: allowed: each",
        ),
        ("[market]\nnetwork = 'dc'", "market.network = 'dc': allowed: 'envelope', 'ac' or 'none'"),
    ],
)
def test_bad_keys(text: str, wanted: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_scenario(text, where="day.toml")
    assert wanted in str(caught.value)
