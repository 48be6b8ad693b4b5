"""What devices say and understand on the wire: signs, units, silence, bad parameters."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peergrid.cosim.common import forecast_settings
from peergrid.cosim.ev_fleet import EVFleetSimulator
from peergrid.devices.flexibility import parse
from peergrid.errors import DataError
from tests.cosim.device_cases import CASES, Inputs, random_inputs, started

NOON = "2016-06-30T12:00+02:00"


def at_noon(part: str, **sim_params: Any) -> tuple[Any, Inputs]:
    case = CASES[part]
    simulator = started(case, **{"start": NOON, **sim_params})
    sky = started(CASES["weather"], start=NOON)
    sky.step(0, {}, 1)
    weather = sky._outputs["Weather-0"]
    sent = {name: {"W": value} for name, value in weather.items()}
    return simulator, {f"{case.model}-{k}": dict(sent) for k in range(case.num)}


def test_weather_forecast_is_what_comes() -> None:
    sky = started(CASES["weather"], start="2016-06-30T05:00+02:00")
    sky.step(0, {}, 1)
    said = sky._outputs["Weather-0"]["GHI_forecast[W/m2]"]
    came = []
    for index in range(1, 25):
        sky.step(index * 3600, {}, 1)
        came.append(sky._outputs["Weather-0"]["GHI[W/m2]"])
    assert said == came
    assert max(came) > 400.0


def test_pv_runs_free_and_is_held_back() -> None:
    simulator, inputs = at_noon("pv")
    simulator.step(0, inputs, 1)
    free = simulator._outputs["PV-0"]["P[MW]"]
    assert 0.002 < free < 0.01
    inputs["PV-0"]["P_set[MW]"] = {"M": 0.001}
    inputs["PV-0"]["Q_set[MVar]"] = {"M": 1.0}
    inputs["PV-1"]["P_max[MW]"] = {"M": 0.001}
    inputs["PV-1"]["P_load[MW]"] = {"L": 0.0005, "K": 0.0005}
    simulator.step(3600, inputs, 1)
    one, other = simulator._outputs["PV-0"], simulator._outputs["PV-1"]
    assert one["P[MW]"] == 0.001
    assert one["Q[MVar]"] == pytest.approx(math.sqrt(0.011**2 - 0.001**2))
    assert other["P[MW]"] == pytest.approx(0.002)
    assert parse(one["flexibility"]).p_max_kw[0] > 1.0, "the message knows no set-point"


@pytest.mark.parametrize("part", ["pv", "wind"])
def test_plants_without_weather_say_nothing(part: str) -> None:
    simulator = started(CASES[part])
    simulator.step(0, {}, 1)
    for values in simulator._outputs.values():
        assert values == {"P[MW]": None, "Q[MVar]": None, "flexibility": None}


@pytest.mark.parametrize("part", ["pv", "wind"])
def test_plants_persist_without_forecast_lists(part: str) -> None:
    simulator, inputs = at_noon(part, forecast="perfect")
    now_only: Inputs = {
        eid: {name: value for name, value in sent.items() if "_forecast" not in name}
        for eid, sent in inputs.items()
    }
    simulator.step(0, now_only, 1)
    values = next(iter(simulator._outputs.values()))
    ahead = parse(values["flexibility"]).p_max_kw
    if part == "wind":
        assert ahead == pytest.approx(np.full(24, 1000.0 * values["P[MW]"]))
    else:
        assert ahead[0] == pytest.approx(1000.0 * values["P[MW]"], rel=0.2)
        assert ahead[12] == 0.0
        assert ahead[23] == pytest.approx(1000.0 * values["P[MW]"], rel=0.2)


def test_perfect_forecasts_come_true() -> None:
    case = CASES["load"]
    simulator = started(case, forecast="perfect", load_scale=1.5)
    simulator.step(0, {}, 1)
    said = parse(simulator._outputs["Load-1"]["flexibility"])
    assert not said.sigma_kw.any()
    simulator.step(3600, {}, 1)
    came = simulator._outputs["Load-1"]
    assert 1000.0 * came["P[MW]"] == pytest.approx(-1.5 * said.p_ref_kw[0])
    assert 1000.0 * came["Q[MVar]"] == pytest.approx(-1.5 * said.q_ref_kvar[0])
    assert came["P[MW]"] > 0.0


def test_default_forecasts_err_by_about_sigma() -> None:
    simulator = started(CASES["load"], hours=400)
    errors = []
    said = None
    for index in range(300):
        simulator.step(index * 3600, {}, 1)
        values = simulator._outputs["Load-0"]
        if said is not None:
            errors.append((-1000.0 * values["P[MW]"] - said.p_ref_kw[0]) / said.sigma_kw[0])
        said = parse(values["flexibility"])
    assert np.std(errors) == pytest.approx(1.0, abs=0.25)


def test_battery_reports_the_end_of_the_step() -> None:
    simulator = started(CASES["battery"])
    simulator.step(0, {"Battery-0": {"P_set[MW]": {"M": -0.004}}}, 1)
    values = simulator._outputs["Battery-0"]
    assert values["P[MW]"] == -0.004
    assert values["E[MWh]"] == pytest.approx((10.0 + 0.95 * 4.0) / 1000.0)
    assert values["SoC[%]"] == pytest.approx(69.0)
    assert values["flexibility"]["e_now_kwh"] == pytest.approx(13.8)
    created = CASES["battery"].simulator()
    created.init("B")
    entity = created.create(1, "Battery", **CASES["battery"].params)[0]
    assert entity["extra_info"]["e_start_kwh"] == 10.0


def write_tours(path: Path, rows: list[str]) -> str:
    path.write_text("ev,date,depart_h,return_h,km,energy_kwh\n" + "\n".join(rows) + "\n")
    return path.name


def fleet(tmp_path: Path, rows: list[str], **params: Any) -> EVFleetSimulator:
    simulator = EVFleetSimulator()
    simulator.init("E", base_dir=str(tmp_path), start="2016-06-30")
    tours = write_tours(tmp_path / "tours.csv", rows)
    simulator.create(1, "EVFleet", **{"num_ev": 2, "tours": tours, **params})
    simulator.setup_done()
    return simulator


def test_vehicle_leaves_with_its_promise_and_comes_back(tmp_path: Path) -> None:
    simulator = fleet(tmp_path, ["0,2016-06-30,8.0,10.0,50,9.0"])
    seen = []
    for index in range(12):
        simulator.step(index * 3600, {"EV-0": {"P_set[MW]": {"M": 0.05}}}, 1)
        seen.append(simulator._outputs["EV-0"])
    assert [row["departures"] for row in seen] == [0] * 7 + [1] + [0] * 4
    assert [row["departures_met"] for row in seen] == [row["departures"] for row in seen]
    assert [row["plugged"] for row in seen] == [1] * 8 + [0] * 2 + [1] * 2
    assert seen[7]["E[MWh]"] == pytest.approx(0.036)
    assert seen[9]["E[MWh]"] == pytest.approx(0.027)
    assert seen[0]["P[MW]"] > 0.0, "told to discharge, it does so while the departure allows it"
    stays = simulator._outputs["EV-1"]
    assert stays["SoC[%]"] == 100.0, "without set-point it charges at once"
    assert simulator._outputs["EVFleet-0"]["n_plugged"] == 2


def test_fleet_set_point_is_shared(tmp_path: Path) -> None:
    simulator = fleet(tmp_path, [])
    simulator.step(0, {"EVFleet-0": {"P_set[MW]": {"M": 0.006}}}, 1)
    outputs = simulator._outputs
    assert outputs["EVFleet-0"]["P[MW]"] == pytest.approx(0.006)
    assert outputs["EV-0"]["P[MW]"] == pytest.approx(0.003)


def test_departure_comes_before_the_envelope(tmp_path: Path) -> None:
    simulator = fleet(tmp_path, ["0,2016-06-30,2.0,10.0,50,9.0"], soc_start=0.3)
    closed = {"P_min[MW]": {"M": 0.0}, "P_max[MW]": {"M": 0.0}}
    simulator.step(0, {"EV-0": closed, "EV-1": closed}, 1)
    assert simulator._outputs["EV-0"]["P[MW]"] == pytest.approx(-0.011)
    assert simulator._outputs["EV-1"]["P[MW]"] == 0.0


def test_tour_beyond_the_battery_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"energy_kwh of vehicle 1.*at most the battery's 40 kWh"):
        fleet(tmp_path, ["1,2016-06-30,8.0,10.0,300,54.0"])


def test_vehicles_draw_the_same_tours_in_any_fleet() -> None:
    together, apart = EVFleetSimulator(), EVFleetSimulator()
    together.init("E")
    together.create(1, "EVFleet", num_ev=4)
    apart.init("E")
    apart.create(4, "EVFleet", num_ev=1)
    for index in range(20):
        together.step(index * 3600, {}, 1)
        apart.step(index * 3600, {}, 1)
        vehicles = [f"EV-{k}" for k in range(4)]
        assert [together._outputs[e] for e in vehicles] == [apart._outputs[e] for e in vehicles]


@pytest.mark.parametrize(
    ("part", "params", "field"),
    [
        ("pv", {"kwp": -1.0}, "kwp"),
        ("pv", {}, "kwp"),
        ("pv", {"kwp": 1.0, "tilt_deg": 91.0}, "tilt_deg"),
        ("wind", {"turbine": "windmill"}, "name"),
        ("wind", {"count": 0}, "count"),
        ("generator", {"p_max_kw": 5.0, "p_min_kw": 6.0}, "p_min_kw"),
        ("load", {"p_nom_kw": math.nan}, "p_nom_kw"),
        ("battery", {"e_max_kwh": 0.0, "p_max_kw": 1.0}, "e_max_kwh"),
        ("battery", {"e_max_kwh": 1.0, "p_max_kw": 1.0, "soc_start": 0.05}, "soc_start"),
        ("ev", {"num_ev": 0}, "num_ev"),
        ("ev", {"v2g": "yes"}, "v2g"),
        ("ev", {"colour": 1}, "colour"),
        ("weather", {"source": "moon"}, "source"),
    ],
)
def test_bad_creation_parameters_are_named(part: str, params: dict[str, Any], field: str) -> None:
    simulator = CASES[part].simulator()
    simulator.init("Sim")
    with pytest.raises(DataError) as caught:
        simulator.create(1, CASES[part].model, **params)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "sim_params",
    [
        {"colour": 1},
        {"horizon": 0},
        {"horizon": 49},
        {"hours": 0},
        {"seed": -1},
        {"start": "soon"},
        {"forecast": "oracle"},
        {"forecast": {"settings": {"pv.magic": 1}}},
        {"step_size": 1000.0},
    ],
)
def test_bad_simulator_parameters_are_refused(sim_params: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        started(CASES["battery"], **sim_params)


def test_forecast_settings_can_be_changed() -> None:
    changed = forecast_settings({"model": "perfect", "settings": {"pv.own_24": 0.3}})
    assert changed.of("pv").own_24 == 0.3
    assert changed.of("wind").own_24 == 0.0


def test_missing_set_points_are_silence() -> None:
    case = CASES["generator"]
    simulator = started(case)
    silent = {"Generator-0": {"P_set[MW]": {"A": None, "B": math.nan}}}
    simulator.step(0, silent, 1)
    assert simulator._outputs["Generator-0"]["P[MW]"] == 0.0
    assert random_inputs(case, simulator)(1) != silent
