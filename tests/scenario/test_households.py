"""Appliances and buildings in a scenario: their tables, their wiring, a run with the market."""

from pathlib import Path

import numpy as np
import pytest

from peergrid.errors import DataError
from peergrid.results import open_run, summary
from peergrid.scenario.load import parse_scenario
from peergrid.scenario.run import prepare, run
from peergrid.scenario.wiring import Wired, build
from tests.scenario.small import write

WASHING = """
[[appliance]]
buses = [5, 6, 7]
phases_kw = [2.0, 0.4, 0.4, 1.2]
habit_h = [1, 2, 3]
homes = 20
cycles_per_day = 2
"""
HEATING = """
[[building]]
buses = [5, 8]
p_max_kw = [3, 4]
r_k_per_kw = 8
c_kwh_per_k = 3
homes = 5
"""
SOFT = "[market]\nenforcement = 'soft'\n"


def test_phases_are_one_list_for_all_buses() -> None:
    washing, heating = parse_scenario(WASHING + HEATING).assets().values()
    assert [table.params(2) for table in washing] == [
        {
            "phases_kw": [2.0, 0.4, 0.4, 1.2],
            "phase_min": 15.0,
            "earliest_h": 0.0,
            "latest_h": 24.0,
            "habit_h": 3.0,
            "cycles_per_day": 2,
            "homes": 20.0,
            "tan_phi": 0.0,
        }
    ]
    found = heating[0].params(1)
    assert (found["p_max_kw"], found["mode"], found["theta_min_c"]) == (4.0, "heat", 20.0)
    assert not {"theta_start_c", "theta_set_c"} & set(found)


def connected(wired: Wired) -> set[tuple[str, str]]:
    return {(sid, attribute) for sid, _, attribute in wired.fed}


def test_who_hears_whom(tmp_path: Path) -> None:
    """They count as loads, act in their order, and only buildings hear of the weather."""
    wired = build(prepare(write(tmp_path, more=WASHING + HEATING)))
    wired.world.shutdown()
    sent = {p["bus"]: p["resources"] for p in wired.setup.market_params()["participants"]}
    assert [(r["name"].split("-")[0], r["side"]) for r in sent[5]] == [
        *[(name, "load") for name in ("Load", "Appliance", "Building")],
        *[(name, "generation") for name in ("EV", "Battery", "PV")],
    ]
    found = connected(wired)
    weather = ("T_air[C]", "T_air_forecast[C]")
    assert {name for sid, name in found if sid == "Building-0" and name in weather} == {*weather}
    assert not {name for sid, name in found if sid == "Appliance-0" and name in weather}
    envelope = {"P_set[MW]", "P_min[MW]", "P_max[MW]", "P_load[MW]"}
    assert {name for sid, name in found if sid == "Appliance-0"} == envelope
    assert {name for sid, name in found if sid == "Building-0"} == envelope | {*weather}


def test_a_building_alone_brings_the_weather(tmp_path: Path) -> None:
    text = "hours = 2\n[network]\ncase = 'ieee12'\n"
    for name, table, wanted in (("a", WASHING, False), ("b", HEATING, True)):
        path = tmp_path / f"{name}.toml"
        path.write_text(text + table, encoding="utf-8")
        assert prepare(path).layout.needs_weather is wanted


LISTED = "participants = 'listed'\n[[participant]]\nbus = 5\n"


@pytest.mark.parametrize("listed", ["", LISTED])
def test_a_night_with_the_market(tmp_path: Path, listed: str) -> None:
    more = SOFT + listed + WASHING + HEATING
    path = run(write(tmp_path, more=more, market=False), tmp_path / "run.h5").path
    data, found = open_run(path), summary(path)
    assert (found["status"], found["nonconverged_hours"]) == ("complete", 0)
    assert found["max_power_balance_error_kw"] < 1e-3
    assert found["payment_imbalance_eur"] < 1e-6
    washing = 1000.0 * data["Appliance.P[MW]"].values
    asked = 1000.0 * data["Resource.P_set[MW]"].values
    begun = washing > 0.0
    assert begun.any()
    trading = begun[:, :1] if listed else begun
    assert trading.sum(axis=1).tolist() == np.isclose(asked, -20.0).sum(axis=1).tolist()
    if listed:  # the others do as they are used to
        assert begun[:, 1:].tolist() == [[False, False], [False, False], [True, False]]
    assert data["Appliance.running"].values.sum() == begun.sum()
    assert data["Appliance.cycles_left"].values[-1].sum() == 6 - begun.sum()
    assert data["Building.P[MW]"].values.min() >= 0.0
    assert data["Building.T_in[C]"].values == pytest.approx(22.0, abs=2.0)
    assert not data["Building.discomfort[Kh]"].values.any()


BUILDING = "[[building]]\nbuses = [2]\np_max_kw = 3\nr_k_per_kw = 8\nc_kwh_per_k = 3\n"
APPLIANCE = "[[appliance]]\nbuses = [2, 3]\nphases_kw = [2.0, 1.0]\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[[appliance]]\nbuses = [2]", "appliance[0].phases_kw = None: allowed: a value"),
        ("[[appliance]]\nbuses = [2]\nphases_kw = []", "phases_kw = []: allowed: at least 1"),
        ("[[appliance]]\nbuses = [2]\nphases_kw = [1, -1, 1]", "phases_kw[1] = -1: allowed: 0 or"),
        ("[[appliance]]\nbuses = [2]\nphases_kw = [1, 0]", "= [1.0, 0.0]: allowed: the first and"),
        (APPLIANCE + "habit_h = [1]", "appliance[0].habit_h = [1.0]: allowed: one number, or one"),
        (APPLIANCE + "habit_h = 25", "habit_h = 25: allowed: at most 24"),
        (
            APPLIANCE + "earliest_h = 6\nhabit_h = [6, 5]",
            "appliance[0].habit_h = 5.0: allowed: inside the window, 6 to 24",
        ),
        (
            APPLIANCE + "earliest_h = [6, 9]\nlatest_h = 9",
            "appliance[0].earliest_h = 9.0: allowed: below latest_h = 9",
        ),
        (APPLIANCE + "cycles_per_day = 1.5", "cycles_per_day = 1.5: allowed: a whole number"),
        (APPLIANCE + "homes = 0", "appliance[0].homes = 0: allowed: above 0"),
        ("[[building]]\nbuses = [2]\np_max_kw = 3", "building[0].r_k_per_kw = None: allowed: a"),
        (BUILDING + "mode = 'dry'", "building[0].mode = 'dry': allowed: 'heat' or 'cool'"),
        (BUILDING + "cop = [3, 4]", "building[0].cop = [3.0, 4.0]: allowed: one number, or one"),
        (BUILDING + "homes = 1.5", "building[0].homes = 1.5: allowed: a whole number"),
        (
            BUILDING + "theta_min_c = [24]",
            "building[0].theta_min_c = 24.0: allowed: below theta_max_c = 24",
        ),
        (
            BUILDING + "theta_set_c = 25",
            "building[0].theta_set_c = 25.0: allowed: inside the comfort band, 20 to 24",
        ),
    ],
)
def test_bad_keys(text: str, wanted: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_scenario(text, where="day.toml")
    assert str(caught.value).startswith("day.toml: ")
    assert wanted in str(caught.value)


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        (
            APPLIANCE + "phase_min = [30, 90]\nearliest_h = 20\nlatest_h = [21, 22]",
            "appliance[0].latest_h = 22.0: allowed: room for 1 x 3 steps of 1 h after "
            "earliest_h = 20",
        ),
        (
            APPLIANCE + "cycles_per_day = 25",
            "appliance[0].latest_h = 24.0: allowed: room for 25 x 1 steps of 1 h after "
            "earliest_h = 0",
        ),
        (
            APPLIANCE + "earliest_h = 20.5\nlatest_h = 21.5",
            "appliance[0].latest_h = 21.5: allowed: room for 1 x 1 steps of 1 h after "
            "earliest_h = 20.5",
        ),
    ],
)
def test_cycles_must_fit_into_their_window(tmp_path: Path, table: str, wanted: str) -> None:
    with pytest.raises(DataError) as caught:
        prepare(write(tmp_path, more=table))
    assert str(caught.value) == f"small.toml: {wanted}"
