"""What devices say and understand on the wire: signs, units, silence, bad parameters."""

import math
from dataclasses import replace
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


def test_reactive_power_is_offered_as_stated() -> None:
    """EUR/MVArh and EUR/MVAr2h become EUR/kvarh and EUR/kvar2h."""
    machine = CASES["generator"].simulator()
    machine.init("G")
    cost = {"q_cost_eur_per_mvarh": 2.0, "q_cost_quadratic_eur_per_mvar2h": 0.5}
    machine.create(1, "Generator", p_max_kw=200.0, q_up_share=0.6, q_down_share=0.3, **cost)
    machine.create(1, "Generator", p_max_kw=200.0, q_up_share=0.6)
    machine.create(1, "Generator", p_max_kw=200.0)
    asked = {f"Generator-{k}": {"Q_set[MVar]": {"M": -1.0}} for k in range(3)}
    machine.step(0, asked, 1)
    offers = [values["flexibility"]["q"] for values in machine._outputs.values()]
    assert offers[0] == {"box": [-60.0, 120.0], "cost": 0.002, "quadratic": 5e-7}
    assert offers[1:] == [{"box": [0.0, 120.0]}, {"disc_kva": 1.1 * 200.0}]
    given = [values["Q[MVar]"] for values in machine._outputs.values()]
    assert given == pytest.approx([-0.06, 0.0, 0.0])


@pytest.mark.parametrize("part", ["pv", "wind"])
def test_plants_offer_a_share_of_their_nameplate(part: str, monkeypatch: Any) -> None:
    cost = {"q_cost_eur_per_mvarh": 1.0, "q_cost_quadratic_eur_per_mvar2h": 0.5}
    case = CASES[part]
    params = {**case.params, "q_share": 0.44, **cost}
    monkeypatch.setitem(CASES, part, replace(case, params=params))
    simulator, inputs = at_noon(part)
    for sent in inputs.values():
        sent["Q_set[MVar]"] = {"M": 1.0}
    simulator.step(0, inputs, 1)
    values = simulator._outputs[f"{case.model}-0"]
    most = 0.44 * (10.0 if part == "pv" else 95.0)
    offer = values["flexibility"]["q"]
    if part == "wind":
        most = offer["box"][1]
        assert 40.0 < most < 45.0
    assert offer == {"box": [-most, most], "cost": 0.001, "quadratic": 5e-7}
    assert 1000.0 * values["Q[MVar]"] == pytest.approx(most)


def plant_csv(folder: Path, name: str = "power.csv", days: int = 3) -> list[float]:
    """A file for bus 3 that starts with 30 June in Berlin; returns the powers [kW]."""
    powers = [float(10 + k % 5) for k in range(24 * days)]
    stamps = [
        f"2016-{6 + (k >= 24)}-{30 if k < 24 else k // 24:02d}T{k % 24:02d}:00"
        for k in range(24 * days)
    ]
    rows = [f"{stamp},{p}" for stamp, p in zip(stamps, powers, strict=True)]
    (folder / name).write_text("\n".join(["time,bus_3 [kW]", *rows]))
    return powers


@pytest.mark.parametrize(("forecast", "exact"), [("perfect", True), ("default", False)])
def test_measured_wind(tmp_path: Path, forecast: str, exact: bool) -> None:
    powers = plant_csv(tmp_path)
    simulator = CASES["wind"].simulator()
    simulator.init("W", base_dir=str(tmp_path), forecast=forecast)
    simulator.create(1, "WindTurbine", rated_kw=20.0, series="power.csv", bus=3, sigma_share=0.15)
    simulator.setup_done()
    simulator.step(0, {}, 1)
    values = simulator._outputs["WindTurbine-0"]
    message = parse(values["flexibility"])
    assert values["P[MW]"] == powers[0] / 1000.0
    assert (message.p_max_kw.tolist() == powers[1:25]) == exact
    assert message.sigma_kw == pytest.approx(0.15 * message.p_max_kw)
    assert message.q == {"disc_kva": 22.0}


def test_measured_wind_beside_turbines(tmp_path: Path) -> None:
    powers = plant_csv(tmp_path)
    simulator = CASES["wind"].simulator()
    simulator.init("W", base_dir=str(tmp_path), start="2016-06-30", forecast="perfect")
    simulator.create(1, "WindTurbine")
    simulator.create(1, "WindTurbine", rated_kw=20.0, series="power.csv", bus=3)
    simulator.setup_done()
    simulator.step(0, {"WindTurbine-0": {"wind_speed[m/s]": {"W": 8.0}}}, 1)
    values = simulator._outputs
    assert values["WindTurbine-0"]["P[MW]"] > 0.02
    assert values["WindTurbine-1"]["P[MW]"] == powers[0] / 1000.0


def test_more_than_the_rated_power_is_refused(tmp_path: Path) -> None:
    plant_csv(tmp_path)
    simulator = CASES["wind"].simulator()
    simulator.init("W", base_dir=str(tmp_path))
    simulator.create(1, "WindTurbine", rated_kw=12.0, series="power.csv", bus=3)
    with pytest.raises(DataError, match="0 to the 12 kW of rated_kw"):
        simulator.setup_done()


def test_a_load_with_its_own_series(tmp_path: Path) -> None:
    """Beside nominal ones; it is not scaled with them, but with what comes unforeseen."""
    powers = plant_csv(tmp_path)
    simulator = CASES["load"].simulator()
    scales = {"scale": 2.0, "load_scale": 1.1}
    simulator.init("L", base_dir=str(tmp_path), forecast="perfect", **scales)
    nominal = {"p_nom_kw": 50.0, "q_nom_kvar": 20.0}
    simulator.create(1, "Load", bus=3, **nominal)
    simulator.create(1, "Load", bus=3, series="power.csv", tan_phi=0.4, sigma_share=0.06)
    simulator.create(1, "Load", bus=4, **nominal, sigma_share=0.1)
    simulator.setup_done()
    simulator.step(0, {}, 1)
    own = simulator._outputs["Load-1"]
    assert own["P[MW]"] == pytest.approx(1.1 * powers[0] / 1000.0)
    assert own["Q[MVar]"] == pytest.approx(0.4 * own["P[MW]"])
    messages = [parse(values["flexibility"]) for values in simulator._outputs.values()]
    assert messages[1].p_ref_kw.tolist() == [-p for p in powers[1:25]]
    for message, share in zip(messages, (0.0, 0.06, 0.1), strict=True):
        assert message.sigma_kw == pytest.approx(-share * message.p_ref_kw)
    alone = CASES["load"].simulator()
    alone.init("L", forecast="perfect", scale=2.0, load_scale=1.1)
    alone.create(1, "Load", bus=3, **nominal)
    alone.step(0, {}, 1)
    assert alone._outputs["Load-0"]["P[MW]"] == simulator._outputs["Load-0"]["P[MW]"]


def test_a_load_that_is_negative_is_refused(tmp_path: Path) -> None:
    plant_csv(tmp_path)
    path = tmp_path / "power.csv"
    path.write_text(path.read_text().replace(",12.0", ",-12.0", 1))
    simulator = CASES["load"].simulator()
    simulator.init("L", base_dir=str(tmp_path))
    simulator.create(1, "Load", bus=3, series="power.csv")
    with pytest.raises(DataError, match=r"bus_3 at 2016-06-30T00:00Z = -12.0: allowed: 0 or more"):
        simulator.setup_done()


@pytest.mark.parametrize(
    ("start", "before"),
    [("2016-06-29T23:00", 1), ("2016-06-30T00:00", 24), ("2016-06-30T13:00", 11)],
)
def test_flexible_loads_count_local_days(start: str, before: int) -> None:
    """Its quota is of the day from midnight on; before the run it drew its rated power."""
    simulator = started(CASES["flexible_load"], start=start)
    drawn = []
    for index in range(before + 25):
        asked = {} if index < before else {"FlexibleLoad-0": {"P_set[MW]": {"M": 0.0}}}
        simulator.step(index * 3600, asked, 1)
        drawn.append(simulator._outputs["FlexibleLoad-0"])
    assert [row["P[MW]"] for row in drawn[:before]] == [0.008] * before
    assert drawn[before - 1]["E[MWh]"] == pytest.approx(0.192)
    assert drawn[before - 1]["flexibility"]["e_now_kwh"] == 0.0
    assert [row["P[MW]"] for row in drawn[before : before + 24]] == [0.0] * 12 + [0.016] * 12
    assert drawn[before + 23]["E[MWh]"] == pytest.approx(0.192)
    assert not any(row["unserved[MWh]"] for row in drawn)
    assert drawn[-2]["Q[MVar]"] == pytest.approx(0.4 * 0.016)


def test_the_quota_of_a_day_with_25_hours() -> None:
    simulator = started(CASES["flexible_load"], start="2016-10-30")
    for index in range(25):
        assert not simulator._outputs.get("FlexibleLoad-0", {}).get("unserved[MWh]")
        simulator.step(index * 3600, {}, 1)
    assert simulator._outputs["FlexibleLoad-0"]["E[MWh]"] == pytest.approx(25 * 0.008)


def test_what_the_envelope_keeps_away_is_counted() -> None:
    simulator = started(CASES["flexible_load"], start="2016-06-30")
    closed = {"FlexibleLoad-0": {"P_min[MW]": {"M": -0.005}, "P_set[MW]": {"M": -0.009}}}
    for index in range(24):
        assert not simulator._outputs.get("FlexibleLoad-0", {}).get("unserved[MWh]")
        simulator.step(index * 3600, closed, 1)
    rows = simulator._outputs
    assert rows["FlexibleLoad-0"]["unserved[MWh]"] == pytest.approx(24 * 0.003)
    assert rows["FlexibleLoad-0"]["cut_cost[EUR]"] == pytest.approx(24 * 0.003 * 120.0)
    assert rows["FlexibleLoad-1"]["unserved[MWh]"] == 0.0
    simulator.step(24 * 3600, {}, 1)
    assert simulator._outputs["FlexibleLoad-0"]["unserved[MWh]"] == 0.0


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
        ("generator", {"p_max_kw": 5.0, "q_up_share": -0.1}, "q_up_share"),
        ("generator", {"p_max_kw": 5.0, "q_cost_eur_per_mvarh": -1.0}, "q_cost_eur_per_mvarh"),
        ("pv", {"kwp": 1.0, "q_share": -0.1}, "q_share"),
        ("pv", {"kwp": 1.0, "sigma_share": "much"}, "sigma_share"),
        ("wind", {"series": "wind.csv", "bus": 3}, "rated_kw"),
        ("wind", {"series": "wind.csv", "bus": 3, "rated_kw": 9.0, "count": 2}, "count"),
        ("wind", {"series": 3, "bus": 3, "rated_kw": 9.0}, "series"),
        ("wind", {"series": None}, "series"),
        ("wind", {"series": "wind.csv", "rated_kw": 9.0}, "bus"),
        ("load", {"p_nom_kw": math.nan}, "p_nom_kw"),
        ("load", {"p_nom_kw": 1.0, "tan_phi": 0.4}, "tan_phi"),
        ("load", {"series": "load.csv", "p_nom_kw": 1.0}, "p_nom_kw"),
        ("load", {"series": 3}, "series"),
        ("load", {"p_nom_kw": 1.0, "sigma_share": -1.0}, "sigma_share"),
        ("flexible_load", {}, "p_rated_kw"),
        ("flexible_load", {"p_rated_kw": 1.0, "p_max_over_rated": 0.9}, "p_max_over_rated"),
        ("flexible_load", {"p_rated_kw": 1.0, "tan_phi": math.inf}, "tan_phi"),
        (
            "battery",
            {"e_max_kwh": 1.0, "p_max_kw": 1.0, "wear_rise_eur_per_mwh": -1.0},
            "wear_rise_eur_per_mwh",
        ),
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
