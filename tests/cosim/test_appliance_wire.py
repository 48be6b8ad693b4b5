"""What appliances say and understand on the wire: local days, signs, bad parameters."""

import math
from typing import Any

import pytest

from peergrid.cosim.appliance import ApplianceSimulator
from peergrid.devices.flexibility import parse
from peergrid.errors import DataError

EID = "Appliance-0"


def started(params: dict[str, Any], **sim_params: Any) -> ApplianceSimulator:
    simulator = ApplianceSimulator()
    simulator.init("Sim", **sim_params)
    simulator.create(1, "Appliance", **{"phases_kw": [2.0, 1.0], "phase_min": 60.0, **params})
    return simulator


def powers(simulator: ApplianceSimulator, steps: int, **asked: Any) -> list[float]:
    """Powers of the first steps [kW], without set-points unless some are given."""
    inputs = {EID: {name: {"M": value} for name, value in asked.items()}}
    unit, drawn = round(simulator.step_s), []
    for index in range(steps):
        simulator.step(index * unit, inputs, unit)
        drawn.append(1000.0 * simulator._outputs[EID]["P[MW]"])
        assert parse(simulator._outputs[EID]["flexibility"]).steps == simulator.calendar.horizon
    return drawn


def starts(drawn: list[float], first_kw: float = 2.0) -> list[int]:
    return [k for k, power in enumerate(drawn) if power == pytest.approx(first_kw)]


def test_signs_and_what_is_left() -> None:
    simulator = started({"habit_h": 1.0, "tan_phi": 0.4, "homes": 3.0, "cycles_per_day": 2})
    rows = []
    for index in range(6):
        simulator.step(index * 3600, {}, 1)
        rows.append(simulator._outputs[EID])
    assert [row["P[MW]"] for row in rows] == pytest.approx([0, 0.006, 0.003, 0.006, 0.003, 0])
    assert [row["Q[MVar]"] for row in rows] == pytest.approx([0.4 * r["P[MW]"] for r in rows])
    assert [row["running"] for row in rows] == [False, True, True, True, True, False]
    assert [row["cycles_left"] for row in rows] == [2, 1, 1, 0, 0, 0]
    assert rows[0]["flexibility"]["p_ref_kw"][:5] == [-6.0, -3.0, -6.0, -3.0, 0.0]
    assert simulator.create(1, "Appliance", phases_kw=[2.0])[0]["extra_info"] == {
        "name": "Appliance-1",
        "cycle_kwh": 0.5,
    }


def test_it_begins_when_asked() -> None:
    asked = {"P_set[MW]": -0.002}
    assert starts(powers(started({"habit_h": 12.0}), 30, **asked)) == [0, 24]
    held = {"P_set[MW]": 0.0}
    assert starts(powers(started({"latest_h": 20.0}), 30, **held)) == [18]


def test_the_envelope_delays_but_does_not_forbid() -> None:
    closed = {"P_min[MW]": -0.005, "P_load[MW]": 0.0035}
    assert starts(powers(started({"latest_h": 20.0}), 24, **closed)) == [18]
    narrow = {"P_min[MW]": -0.005, "P_load[MW]": 0.003}
    assert starts(powers(started({"latest_h": 20.0}), 24, **narrow)) == [0]


@pytest.mark.parametrize(
    ("start", "step_s", "expected"),
    [
        ("2016-06-30T00:00", 3600, [18, 42]),
        ("2016-06-30T18:00", 3600, [0, 24]),
        ("2016-06-30T19:00", 3600, [23, 47]),
        ("2016-03-27T00:00", 3600, [17, 41]),
        ("2016-10-30T00:00", 3600, [19, 43]),
        ("2016-10-29T00:00", 3600, [18, 43]),
        ("2016-06-30T00:00", 7200, [9, 21]),
        ("2016-06-30T01:00", 7200, [9, 21]),
    ],
)
def test_the_habit_is_an_hour_of_the_local_clock(
    start: str, step_s: int, expected: list[int]
) -> None:
    """Summer time begins and ends, runs begin in the middle of a day, steps are long."""
    simulator = started({"habit_h": 18.0}, start=start, step_size=step_s)
    drawn = powers(simulator, 48 * 3600 // step_s)
    assert starts(drawn, 2.0 if step_s == 3600 else 1.5) == expected


def test_quarters_of_an_hour_in_a_zone_of_half_hours() -> None:
    """Hourly steps begin at half past: windows are rounded inwards."""
    where = {"timezone": "Asia/Kolkata", "start": "2016-06-30T00:30"}
    hourly = started({"earliest_h": 6.0, "latest_h": 10.0, "habit_h": 10.0}, **where)
    assert starts(powers(hourly, 24)) == [7]
    fine = started({"phase_min": 25.0, "habit_h": 10.0, "latest_h": 12.0}, step_size=900, **where)
    drawn = powers(fine, 96)
    assert starts(drawn) == [38]
    assert sum(drawn) / 4.0 == pytest.approx(3.0 * 25.0 / 60.0)


def test_a_day_that_is_too_short_has_fewer_cycles() -> None:
    """The hour from 2 to 3 does not exist on that day."""
    night = {"phases_kw": [2.0], "earliest_h": 1.0, "latest_h": 4.0, "cycles_per_day": 3}
    drawn = powers(started(night, start="2016-03-27"), 47)
    assert starts(drawn) == [1, 2, 24, 25, 26]


def test_a_horizon_shorter_than_the_window() -> None:
    simulator = started({"habit_h": 12.0}, horizon=4)
    drawn = powers(simulator, 11)
    message = simulator._outputs[EID]["flexibility"]
    assert not any(drawn)
    assert message["p_min_kw"] == message["p_max_kw"] == message["p_ref_kw"] == [0, -2, -1, 0]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"phases_kw": None}, "phases_kw"),
        ({"phases_kw": []}, "phases_kw"),
        ({"phases_kw": [0.0, 1.0]}, "phases_kw"),
        ({"phases_kw": [1.0, 0.0]}, "phases_kw"),
        ({"phases_kw": [1.0, -1.0, 1.0]}, "phases_kw[1]"),
        ({"phases_kw": [1.0, math.nan]}, "phases_kw[1]"),
        ({"phase_min": 0.0}, "phase_min"),
        ({"earliest_h": 25.0}, "earliest_h"),
        ({"earliest_h": 9.0, "latest_h": 8.0}, "latest_h"),
        ({"earliest_h": 9.0, "habit_h": 8.0}, "habit_h"),
        ({"cycles_per_day": 1.5}, "cycles_per_day"),
        ({"cycles_per_day": 0}, "cycles_per_day"),
        ({"cycles_per_day": 13}, "latest_h"),
        ({"earliest_h": 20.5, "latest_h": 22.9}, "latest_h"),
        ({"homes": 0.0}, "homes"),
        ({"tan_phi": math.inf}, "tan_phi"),
        ({"colour": 1}, "colour"),
    ],
)
def test_bad_creation_parameters_are_named(params: dict[str, Any], field: str) -> None:
    with pytest.raises(DataError) as caught:
        started(params)
    assert caught.value.field == field
    assert caught.value.where == "Sim.Appliance-0"
