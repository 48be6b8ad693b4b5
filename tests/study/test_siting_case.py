"""From a scenario with ``[plan]`` to a planning problem."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from peergrid.errors import DataError, PeergridError
from peergrid.inputs.loads import bus_loads
from peergrid.inputs.prices import load_prices
from peergrid.inputs.span import Span, parse_start
from peergrid.network.library import load_feeder
from peergrid.planning.ac_check import ac_check
from peergrid.planning.figures import figures_of
from peergrid.planning.plan import Plan
from peergrid.planning.problem import Plant, Storage
from peergrid.study.siting.case import Case, case_of
from tests.study.siting_file import BATTERY, EV, PV, WIND, write, write_series

DAY = "2016-06-29T22:00Z"


def plant(case: Case, name: str) -> Plant:
    found = next(t for t in case.problem.technologies if t.name == name)
    assert isinstance(found, Plant)
    return found


def storage(case: Case, name: str) -> Storage:
    found = next(t for t in case.problem.technologies if t.name == name)
    assert isinstance(found, Storage)
    return found


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case_of(write(tmp_path_factory.mktemp("case"), PV, WIND, BATTERY, EV))


def test_loads_are_those_of_a_run(everything: Case) -> None:
    problem, feeder = everything.problem, load_feeder("ieee12")
    span = Span(start=parse_start("2016-06-30"), hours=24)
    at = np.flatnonzero(feeder.p_load_kw)
    wanted = bus_loads(
        "simbench",
        feeder.p_load_kw[at],
        feeder.q_load_kvar[at],
        span,
        seed=1,
        bus_ids=feeder.bus_id[at].tolist(),
    )
    rows = [problem.feeder.index_of(int(bus)) for bus in feeder.bus_id[at]]
    assert np.allclose(problem.p_inj_kw[rows], -wanted.p_kw, rtol=1e-12)
    assert np.allclose(problem.q_inj_kvar[rows], -wanted.q_kvar, rtol=1e-12)
    assert problem.p_inj_kw.sum() == pytest.approx(-wanted.p_kw.sum())


def test_prices_and_limits_are_those_of_the_file(everything: Case) -> None:
    problem = everything.problem
    found = load_prices("nl-day-ahead", Span(start=parse_start("2016-06-30"), hours=24))
    assert np.allclose(problem.price_import_eur_per_kwh, found.import_eur_per_mwh / 1000.0)
    assert np.allclose(problem.price_feed_in_eur_per_kwh, found.feed_in_eur_per_mwh / 1000.0)
    assert (problem.v_min_pu, problem.v_max_pu, problem.max_loading) == (0.94, 1.05, 1.0)
    assert (problem.dt_h, problem.steps, problem.feeder.slack_vm_pu) == (1.0, 24, 1.02)
    assert (problem.budget_eur, problem.objective, problem.name) == (np.inf, "cost", "siting.toml")


def test_every_bus_but_the_root_is_a_candidate(everything: Case) -> None:
    for technology in everything.problem.technologies:
        assert technology.rows.tolist() == list(range(1, 12))


def test_pandapower_checks_answers_on_the_scenarios_own_net(everything: Case) -> None:
    plan = Plan.nothing(everything.problem)
    plan.size["pv"][5] = 200.0
    checked = ac_check(plan, figures_of(plan))
    assert everything.problem.net is everything.setup.net
    assert checked.is_clean
    assert checked.max_v_error_pu < 1e-7


def test_costs_are_annuity_and_upkeep_of_the_days(everything: Case, tmp_path: Path) -> None:
    yearly = 900.0 * (0.05 / (1.0 - 1.05**-25) + 0.015)
    assert plant(everything, "pv").cost_eur == pytest.approx(yearly / 365.0, rel=1e-12)
    assert plant(everything, "wind").cost_eur == pytest.approx(
        180_000.0 * (0.05 / (1.0 - 1.05**-20) + 0.025) / 365.0, rel=1e-12
    )
    text = "[plan]\ninterest = 0\n" + PV
    two_days = case_of(write(tmp_path, text, hours=48))
    assert plant(two_days, "pv").cost_eur == pytest.approx(900.0 * (0.04 + 0.015) / 365.0 * 2.0)


def test_turbines_are_whole(everything: Case, tmp_path: Path) -> None:
    wind = plant(everything, "wind")
    assert (wind.unit, wind.whole, wind.max_per_site) == ("turbines", True, 3.0)
    assert wind.capex_eur == pytest.approx(180_000.0)
    more = "sites = 2\ntotal_min_kw = 101\ntotal_max_kw = 399\n"
    some = plant(case_of(write(tmp_path, WIND + more)), "wind")
    assert (some.total_min, some.total_max) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[[plan.wind]]\nmax_kw = 99", "plan.wind[0].max_kw = 99.0: allowed: at least 100 kW"),
        (
            "[[plan.wind]]\nmax_kw = 199\ntotal_min_kw = 150",
            "plan.wind[0].total_min_kw = 150.0: allowed: at most 100 kW",
        ),
        (WIND + "turbine = 'none'", "plan.wind[0].turbine = 'none': allowed: Skystream3.7"),
        (PV + "series = 'none.csv'", "plan.pv[0].series: file = "),
        (PV + "series = 'plants'", "plan.pv[0].series = 'plants': allowed: a .csv file"),
        (PV + "[weather]\nsource = 'sky.csv'", "weather.latitude = None: allowed: latitude and"),
        ("", "plan = None: allowed: a table [plan] that says what may be built"),
        (PV + "[[battery]]\nbuses = [3]\ne_max_kwh = 9\np_max_kw = 3", "[[battery]] = '1 table(s)"),
        (PV + "[[ev]]\nbuses = [3]", "[[ev]] = '1 table(s)': allowed: none beside [plan]"),
        (PV + "[[flexible_load]]\nbuses = [3]\np_rated_kw = 1", "[[flexible_load]] = '1 table(s)'"),
        (PV + "[[generator]]\nbuses = [3]\np_max_kw = 1", "[[generator]] = '1 table(s)'"),
        (PV + "[[appliance]]\nbuses = [3]\nphases_kw = [1]", "[[appliance]] = '1 table(s)'"),
        (
            PV + "[[building]]\nbuses = [3]\np_max_kw = 1\nr_k_per_kw = 5\nc_kwh_per_k = 5",
            "[[building]] = '1 table(s)'",
        ),
        (
            PV + "[simulators]\nload = { python = 'other:Load' }",
            "simulators.load = 'another simulator': allowed: peergrid's own",
        ),
        ("[plan]\nobjective = 'traded'\nexclusive = false\n" + PV, "plan.exclusive = False"),
        (
            "[plan]\nbudget_eur = 100\n" + PV + "total_min_kwp = 1",
            "plan.budget_eur = 100.0: allowed: at least 900",
        ),
        (
            EV + "arrive_h = 6\nsoc_start = 0.2",
            "plan.ev: energy at the start = 10.0: allowed: ",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(
    tmp_path: Path, text: str, wanted: str
) -> None:
    with pytest.raises(PeergridError) as caught:
        case_of(write(tmp_path, text))
    line = str(caught.value)
    assert line.startswith(f"siting.toml: {wanted}")
    assert "\n" not in line


def test_days_must_be_whole(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"siting.toml: hours = 30: .* must repeat"):
        case_of(write(tmp_path, PV, hours=30))


def test_the_objective_can_be_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "[plan]\nbudget_eur = 5_000\n" + PV)
    case = case_of(path, objective="traded")
    assert (case.problem.objective, case.problem.budget_eur) == ("traded", 5000.0)
    relaxed = write(tmp_path, "[plan]\nexclusive = false\n" + PV)
    assert not case_of(relaxed).problem.exclusive
    with pytest.raises(DataError, match=r"siting.toml: plan.exclusive = False: .*wash trading"):
        case_of(relaxed, objective="traded")


def test_several_tables_have_their_own_buses(tmp_path: Path) -> None:
    text = "[plan]\nbuses = [4, 7]\n" + PV + PV + "buses = [12, 3]\nazimuth_deg = 90\n"
    case = case_of(write(tmp_path, text))
    first, second = case.problem.plants
    label = case.problem.feeder.bus_id
    assert [t.name for t in (first, second)] == ["pv-1", "pv-2"]
    assert label[first.rows].tolist() == [4, 7]
    assert label[second.rows].tolist() == [12, 3]
    assert first.available_kw.argmax() > second.available_kw.argmax()


def test_series_state_power_over_nameplate(tmp_path: Path) -> None:
    sun = np.linspace(0.0, 1.0, 24)
    columns = {"pv [kW/kWp]": sun.tolist(), "wind [kW/kW]": sun[::-1].tolist()}
    write_series(tmp_path / "plants.csv", columns, start=DAY)
    text = PV + "series = 'plants.csv'\n" + WIND + "series = 'plants.csv'\n"
    case = case_of(write(tmp_path, text))
    assert np.allclose(plant(case, "pv").available_kw, sun)
    wind = plant(case, "wind")
    assert np.allclose(wind.available_kw, sun[::-1])
    assert (wind.unit, wind.whole, wind.max_per_site, wind.capex_eur) == ("kW", False, 300, 1800)


def test_a_series_above_its_nameplate_is_refused(tmp_path: Path) -> None:
    columns = {"pv [kW/kWp]": [0.5] * 23 + [1.2]}
    write_series(tmp_path / "plants.csv", columns, start=DAY)
    with pytest.raises(DataError, match=r"plants.csv: pv at 2016-06-30T21:00Z = 1.2: .* 0 to 1"):
        case_of(write(tmp_path, PV + "series = 'plants.csv'"))


def test_plants_that_are_there_run_at_full_power(everything: Case, tmp_path: Path) -> None:
    there = "[[pv]]\nbuses = [5]\nkwp = 50\n[[wind]]\nbuses = [9]\ncount = 2\n"
    case = case_of(write(tmp_path, PV, WIND, there))
    more = case.problem.p_inj_kw - everything.problem.p_inj_kw
    feeder = case.problem.feeder
    assert np.allclose(more[feeder.index_of(5)], 50.0 * plant(case, "pv").available_kw)
    assert np.allclose(more[feeder.index_of(9)], 2.0 * plant(case, "wind").available_kw)


def test_fixed_loads_and_the_scale_of_the_others_count(everything: Case, tmp_path: Path) -> None:
    write_series(tmp_path / "own.csv", {"bus_6 [kW]": [7.0] * 72}, start="2016-06-29T20:00Z")
    more = "[load]\nscale = 2\n[plant]\nload_scale = 3\n"
    own = "[[fixed_load]]\nbuses = [6]\nseries = 'own.csv'\ntan_phi = 0.5\n"
    case = case_of(write(tmp_path, more, PV, own))
    wanted_p = 2.0 * everything.problem.p_inj_kw
    wanted_q = 2.0 * everything.problem.q_inj_kvar
    row = case.problem.feeder.index_of(6)
    wanted_p[row] -= 7.0
    wanted_q[row] -= 3.5
    assert np.allclose(case.problem.p_inj_kw, wanted_p)
    assert np.allclose(case.problem.q_inj_kvar, wanted_q)


def test_batteries_are_as_full_at_the_end(everything: Case) -> None:
    battery = storage(everything, "battery")
    assert (battery.unit, battery.whole, battery.e_start_kwh) == ("kWh", False, 0.5)
    assert battery.e_min_kwh.tolist() == [0.1] * 24 + [0.5]
    assert np.all(battery.charge_kw == 0.5)
    assert battery.wear_eur_per_kwh == pytest.approx(0.005)


def test_a_stay_across_midnight(everything: Case) -> None:
    ev = storage(everything, "ev")
    hour = np.arange(24)
    plugged = (hour < 7) | (hour >= 18)
    assert (ev.unit, ev.whole, ev.e_start_kwh) == ("vehicles", True, 25.0)
    assert np.allclose(ev.charge_kw, 11.0 * plugged)
    assert np.allclose(ev.discharge_kw, ev.charge_kw)
    assert ev.demand_kwh.nonzero()[0].tolist() == [17]
    assert ev.demand_kwh[17] == 10.0
    assert ev.e_min_kwh[7] == pytest.approx(40.0)
    assert ev.e_min_kwh[6] == pytest.approx(40.0 - 0.95 * 11.0)
    assert ev.e_min_kwh[24] == pytest.approx(25.0)


def test_a_stay_within_the_day_begins_away(tmp_path: Path) -> None:
    text = EV + "arrive_h = 8\ndepart_h = 17\nv2g = false\nrevenue_eur_per_kwh = 0.3\n"
    case = case_of(write(tmp_path, text, hours=48))
    ev = storage(case, "ev")
    hour = np.arange(48) % 24
    assert np.allclose(ev.charge_kw, 11.0 * ((hour >= 8) & (hour < 17)))
    assert not ev.discharge_kw.any()
    assert ev.demand_kwh.nonzero()[0].tolist() == [7, 31]
    assert ev.e_min_kwh[[17, 41]] == pytest.approx([40.0, 40.0])
    assert ev.e_min_kwh[0] == pytest.approx(20.0)  # the trip, and soc_min when it is back
    owning = 1500.0 * (0.05 / (1.0 - 1.05**-12) + 0.02) / 365.0 * 2.0
    assert ev.cost_eur == pytest.approx(owning - 0.3 * 20.0)


def test_departures_inside_a_step_lose_the_step(tmp_path: Path) -> None:
    half = case_of(write(tmp_path, EV + "depart_h = 7.5\narrive_h = 17.5\n", step_s=1800))
    whole = case_of(write(tmp_path, EV + "depart_h = 7.5\narrive_h = 17.5\n"))
    assert np.flatnonzero(storage(half, "ev").charge_kw == 0.0).tolist() == list(range(15, 35))
    assert np.flatnonzero(storage(whole, "ev").charge_kw == 0.0).tolist() == list(range(7, 18))
    assert half.problem.dt_h == 0.5


def test_two_days_have_their_own_weather(tmp_path: Path) -> None:
    case = case_of(write(tmp_path, PV, BATTERY, hours=48))
    sun = plant(case, "pv").available_kw
    assert (case.problem.steps, len(sun)) == (48, 48)
    assert not np.allclose(sun[:24], sun[24:])
    days = pd.Series(sun).groupby(np.arange(48) // 24).max()
    assert (days > 0.1).all()
