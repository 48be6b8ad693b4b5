"""The tables of ``[plan]``: defaults, and one clear line for what is wrong."""

from pathlib import Path

import pytest

from peergrid.errors import DataError
from peergrid.scenario.load import load_scenario, parse_scenario
from peergrid.scenario.plan_tables import PlanTable
from peergrid.scenario.run import prepare

PV = "[[plan.pv]]\nmax_kwp = 400\n"
WIND = "[[plan.wind]]\nmax_kw = 300\n"
BATTERY = "[[plan.battery]]\nmax_kwh = 600\n"
EV = "[[plan.ev]]\nmax_vehicles = 20\n"
FEEDER = '[network]\ncase = "ieee12"\n'


def plan_of(text: str) -> PlanTable:
    plan = parse_scenario(text).plan
    assert plan is not None
    return plan


def test_a_scenario_has_no_plan_unless_it_says_so() -> None:
    assert parse_scenario("").plan is None
    assert load_scenario("scenarios/ieee33_day.toml").plan is None


def test_defaults() -> None:
    plan = plan_of(PV + WIND + BATTERY + EV)
    assert (plan.objective, plan.exclusive, plan.buses, plan.budget_eur) == (
        "cost",
        True,
        "all",
        None,
    )
    pv, wind, battery, ev = (table for _, _, table in plan.tables())
    assert [(t.sites, t.life_years, t.upkeep_share, t.capex_eur) for t in (pv, wind)] == [
        (1, 25.0, 0.015, 900.0),
        (1, 20.0, 0.025, 1800.0),
    ]
    assert [(t.life_years, t.capex_eur) for t in (battery, ev)] == [(15.0, 250.0), (12.0, 1500.0)]
    assert (pv.max_per_site, pv.total_min, pv.total_max) == (400.0, 0.0, None)
    assert [t.unit for t in (pv, wind, battery, ev)] == ["kWp", "kW", "kWh", "vehicles"]


def test_several_tables_of_a_kind_are_counted_and_named() -> None:
    plan = plan_of(PV + "[[plan.pv]]\nmax_kwp = 10\nname = 'roof'\n" + PV + EV)
    assert [(field, name) for field, name, _ in plan.tables()] == [
        ("pv[0]", "pv-1"),
        ("pv[1]", "roof"),
        ("pv[2]", "pv-3"),
        ("ev[0]", "ev"),
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[plan]\n", "plan = 'nothing to build': allowed: one or more of [[plan.pv]]"),
        ("[plan]\nobjectiv = 'cost'\n" + PV, "plan.objectiv = 'cost': allowed: one of battery"),
        ("[plan]\nobjective = 'x'\n" + PV, "plan.objective = 'x': allowed: 'cost' or 'traded'"),
        ("[plan]\nbuses = 'al'\n" + PV, "plan.buses = 'al': allowed: 'all' or a list of buses"),
        ("[plan]\nbuses = [2, 3.5]\n" + PV, "plan.buses[1] = 3.5: allowed: a whole number"),
        ("[plan]\nbuses = []\n" + PV, "plan.buses = []: allowed: at least 1"),
        ("[plan]\ninterest = -0.1\n" + PV, "plan.interest = -0.1: allowed: 0 or more"),
        (PV + "tilt = 3", "plan.pv[0].tilt = 3: allowed: one of azimuth_deg"),
        (PV + "buses = [2, 5, 2]", "plan.pv[0].buses[2] = 2: allowed: each bus once"),
        (PV + "total_min_kwp = 401", "plan.pv[0].total_min_kwp = 401.0: allowed: at most 400"),
        (PV + "name = 'a b'", "plan.pv[0].name = 'a b': allowed: text like"),
        (PV + "name = 'wind'\n" + WIND, "plan.wind[0].name = 'wind': allowed: each name once"),
        (PV + "series = 'a.csv'\ntilt_deg = 10", "plan.pv[0].tilt_deg = 10.0: allowed: only with"),
        (WIND + "series = 'a.csv'\nturbine = 'x'", "plan.wind[0].turbine = 'x': allowed: only w"),
        (
            WIND + "total_min_kw = 9\ntotal_max_kw = 8",
            "plan.wind[0].total_min_kw = 9.0: allowed: at most total_max_kw = 8",
        ),
        (BATTERY + "hours = 0", "plan.battery[0].hours = 0: allowed: above 0"),
        (BATTERY + "soc_start = 0.05", "plan.battery[0].soc_start = 0.05: allowed: at least soc"),
        (EV + "depart_h = 24", "plan.ev[0].depart_h = 24: allowed: below 24"),
        (EV + "arrive_h = 7", "plan.ev[0].arrive_h = 7.0: allowed: another hour than depart_h"),
        (EV + "trip_kwh = 41", "plan.ev[0].trip_kwh = 41.0: allowed: at most 40 kWh"),
        ("[[plan.ev]]\nmax_vehicles = 1.5", "plan.ev[0].max_vehicles = 1.5: allowed: a whole"),
        ("[[plan.pv]]", "plan.pv[0].max_kwp = None: allowed: a value"),
    ],
)
def test_one_line_names_field_value_and_what_is_allowed(text: str, wanted: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_scenario(text, where="day.toml")
    line = str(caught.value)
    assert line.startswith(f"day.toml: {wanted}")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (PV + "buses = [2, 3, 99]", "plan.pv[0].buses[2] = 99: allowed: a bus of ieee12: 1 to 12"),
        (PV + "buses = [2, 1]", "plan.pv[0].buses[1] = 1: allowed: any bus but the root: 2 to 12"),
        ("[plan]\nbuses = [1]\n" + PV, "plan.buses[0] = 1: allowed: any bus but the root"),
    ],
)
def test_candidates_are_buses_below_the_root(tmp_path: Path, text: str, wanted: str) -> None:
    path = tmp_path / "day.toml"
    path.write_text(FEEDER + text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        prepare(path)
    assert str(caught.value).startswith(f"day.toml: {wanted}")
