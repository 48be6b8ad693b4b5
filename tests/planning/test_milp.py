"""The programme finds what enumeration finds, and its answers keep every limit."""

from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray
from scipy.optimize import linprog

from peergrid.errors import DataError, SolverError
from peergrid.milp.model import Limits
from peergrid.network.feeder import Feeder
from peergrid.planning.ac_check import ac_check
from peergrid.planning.evaluate import Evaluator
from peergrid.planning.figures import figures_of
from peergrid.planning.genes import genes_of, n_genes
from peergrid.planning.milp import Programme, by_milp
from peergrid.planning.plan import Plan
from peergrid.planning.problem import Plant, Problem, Storage, Technology
from peergrid.planning.search import SearchSettings, search
from tests.planning.problems import broken_bounds, day, laws, problems

Floats = NDArray[np.float64]
QUICK = Limits(gap=1e-4, time_limit_s=20.0, restarts=False)
GAP = 1e-3


def solved(problem: Problem) -> Programme:
    """The programme's answer, which keeps all limits and bounds, and does not beat its bound."""
    found = by_milp(problem, limits=QUICK)
    assert found.is_clean
    assert ac_check(found.plan, found.figures).is_clean
    assert broken_bounds(found.plan, tol=2e-6) == []
    assert found.bound <= found.score
    assert found.score == figures_of(found.plan).score
    return found


def plant(**given: Any) -> Plant:
    fields: dict[str, Any] = {
        "name": "wind",
        "unit": "kW",
        "rows": np.array([4, 8, 11]),
        "sites": 2,
        "max_per_site": 3.0,
        "whole": True,
        "capex_eur": 100.0,
        "cost_eur": 20.0,
        "available_kw": np.array([100.0, 150.0]),
    }
    return Plant(**{**fields, **given})


def battery(**given: Any) -> Storage:
    steps = given.pop("steps", 4)
    fields: dict[str, Any] = {
        "name": "battery",
        "unit": "kWh",
        "rows": np.array([6]),
        "sites": 1,
        "max_per_site": 300.0,
        "total_min": 300.0,
        "charge_kw": np.full(steps, 0.5),
        "discharge_kw": np.full(steps, 0.5),
        "e_min_kwh": np.zeros(steps + 1),
        "e_max_kwh": np.ones(steps + 1),
        "e_start_kwh": 0.5,
        "demand_kwh": np.zeros(steps),
        "wear_eur_per_kwh": 0.001,
    }
    return Storage(**{**fields, **given})


def short(steps: int, *technologies: Technology, **given: Any) -> Problem:
    """The first hours of a day on the 12-bus feeder."""
    whole = day()
    fields: dict[str, Any] = {
        "p_inj_kw": whole.p_inj_kw[:, :steps],
        "q_inj_kvar": whole.q_inj_kvar[:, :steps],
        "price_import_eur_per_kwh": np.array([0.1, 0.3, 0.15, 0.4])[:steps],
        "price_feed_in_eur_per_kwh": np.full(steps, 0.05),
        "technologies": technologies,
        "dt_h": 1.0,
        "v_min_pu": 0.9,
    }
    return replace(whole, **{**fields, **given})


def cheapest(problem: Problem) -> float:
    """Least score over all sites and whole sizes of the only plant, limits kept."""
    (only,) = problem.technologies
    best = np.inf
    sizes = range(int(only.max_per_site) + 1)
    for sites in combinations(range(len(only.rows)), only.slots):
        for size in product(sizes, repeat=only.slots):
            plan = Plan.nothing(problem)
            plan.size[only.name][list(sites)] = size
            if broken_bounds(plan) or figures_of(plan).violation_pu > 0.0:
                continue
            best = min(best, figures_of(plan).score)
    return best


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"v_max_pu": 1.03},
        {"max_loading": 0.12},
        {"budget_eur": 250.0},
        {"technologies": (plant(total_max=4.0),)},
        {"technologies": (plant(total_min=5.0, cost_eur=60.0),)},
        {"technologies": (plant(sites=1),)},
        {"technologies": (plant(sites=9),)},
        {"objective": "traded"},
    ],
    ids=str,
)
def test_the_programme_finds_the_best_of_all_plans(given: dict[str, Any]) -> None:
    problem = short(2, plant(), **{k: v for k, v in given.items() if k != "technologies"})
    problem = replace(problem, technologies=given.get("technologies", problem.technologies))
    best = cheapest(problem)
    found = solved(problem)
    assert found.score == pytest.approx(best, rel=GAP)
    assert found.bound <= best + 1e-6 * abs(best)


def no_losses(problem: Problem) -> Problem:
    """On a feeder that is so short that next to nothing is lost."""
    return replace(problem, feeder=problem.feeder.scaled_impedance(1e-3))


@pytest.mark.parametrize("feed_in", [0.05, 0.0])
@pytest.mark.parametrize("load", [1.0, 0.0])
def test_dispatch_is_that_of_a_linear_programme(feed_in: float, load: float) -> None:
    problem = short(4, battery(), price_feed_in_eur_per_kwh=np.full(4, feed_in))
    problem = no_losses(replace(problem, p_inj_kw=load * problem.p_inj_kw))
    drawn = -problem.p_inj_kw.sum(axis=0)
    # columns: charge, discharge, import, export, four each
    one, none = np.eye(4), np.zeros((4, 4))
    balance = np.hstack([one, -one, -one, one])
    stored = np.hstack([0.95 * np.tri(4), -np.tri(4) / 0.95, none, none])
    cost = np.concatenate(
        [np.full(8, 0.001), problem.price_import_eur_per_kwh, -problem.price_feed_in_eur_per_kwh]
    )
    found = linprog(
        cost,
        A_ub=np.vstack([stored, -stored]),
        b_ub=np.full(8, 150.0),
        A_eq=balance,
        b_eq=-drawn,
        bounds=[(0.0, 150.0)] * 8 + [(0.0, None)] * 8,
    )
    assert solved(problem).score == pytest.approx(found.fun, rel=2e-4, abs=0.05)


def test_a_storage_never_burns_what_is_worth_nothing() -> None:
    prices = np.array([-0.2, -0.1, -0.3, 0.2])
    cheap = battery(wear_eur_per_kwh=0.0)
    problem = short(
        4, cheap, price_import_eur_per_kwh=prices, price_feed_in_eur_per_kwh=prices - 0.05
    )
    found = solved(problem)
    assert found.score <= figures_of(Plan.nothing(replace(problem, technologies=()))).score


def test_a_storage_does_not_burn_where_a_voltage_would_like_it_to() -> None:
    sun = plant(
        name="pv",
        rows=np.array([11]),
        sites=1,
        max_per_site=600.0,
        total_min=600.0,
        whole=False,
        available_kw=np.ones(4),
        cost_eur=0.0,
    )
    problem = short(4, sun, battery(rows=np.array([11]), e_min_kwh=np.full(5, 0.0)))
    assert solved(replace(problem, v_max_pu=1.12)).figures.v_max_pu.max() > 1.05
    for limit in (1.05, 1.03):
        with pytest.raises(SolverError, match="no plan keeps voltages"):
            by_milp(replace(problem, v_max_pu=limit), limits=QUICK)


def test_a_long_search_finds_nothing_much_better() -> None:
    problem = day()
    found = solved(problem)
    evaluator = Evaluator(problem)
    settings = SearchSettings(budget=4000)
    for method in ("de", "cmaes"):
        rival = search(method, evaluator, n_genes(problem), seed=1, settings=settings)
        assert found.score <= rival.score * (1.0 + GAP)
        assert found.bound <= rival.score


@given(problems(max_steps=3, max_bus=5, objective="cost", v_min_pu=0.3, v_max_pu=2.0))
@laws(10)
def test_random_problems_are_solved_at_least_as_well_as_by_search(problem: Problem) -> None:
    problem = replace(problem, max_loading=1e3)
    found = by_milp(problem, limits=QUICK)
    assert found.is_clean
    assert broken_bounds(found.plan, tol=2e-6) == []
    evaluator = Evaluator(problem)
    rival = search("de", evaluator, n_genes(problem), seed=1, settings=SearchSettings(budget=1000))
    room = GAP * abs(rival.score) + 1e-6 * problem.worst_cost_eur
    assert found.score <= rival.score + room
    assert found.bound <= rival.score + room


def test_a_plan_of_the_programme_has_a_point_with_its_score() -> None:
    changes: list[dict[str, Any]] = [{}, {"budget_eur": 150_000.0}]
    for change in changes:
        problem = day(**change)
        found = solved(problem)
        score = Evaluator(problem)(genes_of(found.plan))[0]
        assert score == pytest.approx(found.score, rel=1e-6)


def test_the_budget_and_totals_are_kept_and_whole_sizes_whole() -> None:
    problem = day(budget_eur=60_000.0)
    found = solved(problem)
    assert found.plan.capex_eur <= 60_000.0 * (1.0 + 1e-6)
    vehicles = found.plan.size["ev"]
    assert vehicles.sum() >= 10.0
    assert np.array_equal(vehicles, np.round(vehicles))


@pytest.mark.parametrize(
    "given", [{"v_min_pu": 1.03, "v_max_pu": 1.05}, {"max_loading": 0.01}], ids=str
)
def test_limits_that_no_plan_keeps_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(SolverError, match="no plan keeps voltages"):
        by_milp(day(**given), limits=QUICK)


def test_one_step_one_candidate_and_no_technologies() -> None:
    nothing = solved(short(1))
    assert nothing.score == pytest.approx(figures_of(Plan.nothing(short(1))).score)
    single = plant(rows=np.array([5]), sites=1, available_kw=np.array([100.0]), cost_eur=1.0)
    assert solved(short(1, single)).plan.size["wind"] == pytest.approx([3.0])
    at_root = plant(rows=np.array([0]), sites=1, available_kw=np.array([100.0]), cost_eur=1.0)
    assert solved(short(1, at_root)).plan.size["wind"] == pytest.approx([3.0])


def test_quarters_of_an_hour() -> None:
    problem = short(4, battery(), dt_h=0.25)
    found = solved(problem)
    rival = search("cmaes", Evaluator(problem), 6, seed=0, settings=SearchSettings(budget=3000))
    assert found.score == pytest.approx(rival.score, rel=GAP)
    assert found.score >= found.bound


def with_branch(feeder: Feeder, row: int, **columns: float) -> Feeder:
    """A feeder with other values of one branch."""
    changed = {name: getattr(feeder, name).copy() for name in columns}
    for name, value in columns.items():
        changed[name][row] = value
    return replace(feeder, **changed)


@pytest.mark.parametrize(
    "columns",
    [
        {"r_pu": 0.0, "x_pu": 0.0},
        {"r_pu": 0.0},
        {"r_pu": 1e-9, "x_pu": 1e-9},
        {"ratio": 0.97},
        {"g_sh_pu": 0.002, "b_sh_pu": 0.05},
    ],
    ids=str,
)
def test_branches_without_resistance_ratios_and_shunts(columns: dict[str, float]) -> None:
    problem = short(2, plant())
    feeder = with_branch(with_branch(problem.feeder, 2, **columns), 6, **columns)
    problem = replace(problem, feeder=feeder)
    found = by_milp(problem, limits=QUICK)
    assert found.is_clean
    assert found.score == pytest.approx(cheapest(problem), rel=GAP)


def test_a_programme_for_trade_is_no_worse_than_its_start() -> None:
    problem = day(objective="traded")
    found = by_milp(problem, limits=Limits(gap=1e-3, time_limit_s=2.0, restarts=False))
    assert found.is_clean
    assert found.bound <= found.score
    rival = search(
        "de", Evaluator(problem), n_genes(problem), seed=0, settings=SearchSettings(budget=3000)
    )
    assert found.score <= rival.score * (1.0 - GAP)


def test_trade_without_exclusivity_is_refused() -> None:
    with pytest.raises(DataError, match="wash trading"):
        day(objective="traded", exclusive=False)


def test_the_bound_holds_where_a_plan_lifts_voltages_far() -> None:
    heavy = day(v_min_pu=0.8)
    heavy = replace(heavy, p_inj_kw=2.2 * heavy.p_inj_kw, q_inj_kvar=2.2 * heavy.q_inj_kvar)
    assert figures_of(Plan.nothing(heavy)).v_min_pu.min() < 0.9
    found = solved(heavy)
    evaluator = Evaluator(heavy)
    settings = SearchSettings(budget=6000)
    rival = search("de", evaluator, n_genes(heavy), seed=1, settings=settings)
    assert found.bound <= rival.score
    assert found.score <= rival.score * (1.0 + GAP)
