"""Scores are the objective of what a point stands for, and worse than any where limits break."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from peergrid.planning.evaluate import Evaluator
from peergrid.planning.figures import Figures, figures_of
from peergrid.planning.genes import genes_of, plan_of
from peergrid.planning.problem import Problem
from tests.planning.problems import day, laws, points, problems

Floats = NDArray[np.float64]
ROUND_OFF_PU = 1e-7


def wide(problem: Problem) -> Problem:
    """Without limits of the network."""
    return replace(problem, v_min_pu=0.1, v_max_pu=9.0, max_loading=1e9)


def loads_of(figures: Figures) -> float:
    """What errors of an energy bill are compared with [EUR, kWh]."""
    problem = figures.problem
    price = float(np.abs(problem.price_import_eur_per_kwh).max())
    return 1.0 + float(np.abs(figures.plan.p_inj_kw).sum()) * problem.dt_h * max(price, 1.0)


@given(problems())
@laws(25)
def test_the_score_of_a_feasible_point_is_the_objective_of_its_plan(problem: Problem) -> None:
    problem = wide(problem)
    some = points(problem, 5)
    for point, score in zip(some, Evaluator(problem)(some), strict=True):
        figures = figures_of(plan_of(problem, point))
        assert score == pytest.approx(figures.score, abs=1e-8 * loads_of(figures))


@given(problems(objective="cost"))
@laws(20)
def test_the_cost_is_the_sum_of_its_terms(problem: Problem) -> None:
    problem = wide(problem)
    some = points(problem, 3)
    for point, score in zip(some, Evaluator(problem)(some), strict=True):
        plan = plan_of(problem, point)
        head = figures_of(plan).flow.head_p_kw
        price = np.where(
            head > 0.0, problem.price_import_eur_per_kwh, problem.price_feed_in_eur_per_kwh
        )
        cost = float(head @ price) * problem.dt_h
        for technology in problem.technologies:
            cost += technology.cost_eur * float(plan.size[technology.name].sum())
        for storage in problem.storages:
            moved = float(np.abs(plan.p_kw[storage.name]).sum()) * problem.dt_h
            cost += storage.wear_eur_per_kwh * moved
        assert score == pytest.approx(cost, abs=1e-8 * loads_of(figures_of(plan)))


@given(problems(objective="traded"))
@laws(20)
def test_traded_is_the_smaller_of_all_surplus_and_all_deficit(problem: Problem) -> None:
    problem = wide(problem)
    some = points(problem, 3)
    for point, score in zip(some, Evaluator(problem)(some), strict=True):
        net = plan_of(problem, point).p_inj_kw
        sold, bought = np.maximum(net, 0.0).sum(axis=0), np.maximum(-net, 0.0).sum(axis=0)
        traded = float(np.minimum(sold, bought).sum()) * problem.dt_h
        assert score == pytest.approx(-traded, rel=1e-12, abs=1e-9)


@given(problems())
@laws(40)
def test_a_point_is_feasible_where_the_power_flow_keeps_the_limits(problem: Problem) -> None:
    some = points(problem, 8)
    evaluator = Evaluator(problem)
    for point, score in zip(some, evaluator(some), strict=True):
        figures = figures_of(plan_of(problem, point))
        if figures.violation_pu > ROUND_OFF_PU:
            assert evaluator.violation(score) > 0.0
        elif figures.violation_pu == 0.0 and _slack(figures) > ROUND_OFF_PU:
            assert evaluator.violation(score) == 0.0


def _slack(figures: Figures) -> float:
    """Distance of voltages [pu] and loadings [1] from their limits."""
    problem, vm = figures.problem, figures.flow.vm_pu[1:]
    near = (vm.min() - problem.v_min_pu, problem.v_max_pu - vm.max())
    return float(min(*near, problem.max_loading - figures.loading.max()))


@given(problems())
@laws(20)
def test_the_violation_is_the_sum_of_what_the_power_flow_exceeds(problem: Problem) -> None:
    problem = replace(problem, max_loading=0.2 * problem.max_loading)
    some = points(problem, 4)
    evaluator = Evaluator(problem)
    for point, score in zip(some, evaluator(some), strict=True):
        flow = figures_of(plan_of(problem, point)).flow
        vm = flow.vm_pu[1:]
        over = np.maximum(problem.v_min_pu - vm, 0.0) + np.maximum(vm - problem.v_max_pu, 0.0)
        total = over.sum() + np.maximum(flow.loading - problem.max_loading, 0.0).sum()
        assert evaluator.violation(score) == pytest.approx(total, rel=1e-5, abs=1e-6)


@given(problems())
@laws(20)
def test_infeasible_points_are_worse_than_feasible_ones(problem: Problem) -> None:
    some = points(problem, 8)
    free, tight = (
        Evaluator(wide(problem))(some),
        Evaluator(replace(problem, v_min_pu=5.0, v_max_pu=9.0))(some),
    )
    assert free.max() < tight.min()


@given(problems(), st.floats(0.0, 1.0))
@laws(20)
def test_the_violation_grows_as_limits_tighten(problem: Problem, share: float) -> None:
    some = points(problem, 5)
    band = problem.v_max_pu - problem.v_min_pu
    tight = replace(
        problem,
        v_min_pu=problem.v_min_pu + 0.4 * share * band,
        v_max_pu=problem.v_max_pu - 0.4 * share * band,
        max_loading=problem.max_loading * (1.0 - 0.5 * share),
    )
    loose_scores, tight_scores = Evaluator(problem)(some), Evaluator(tight)(some)
    assert np.all(tight_scores >= loose_scores - 1e-12 * np.abs(loose_scores))


@given(problems(max_steps=8))
@laws(15)
def test_scores_do_not_depend_on_order_or_company(problem: Problem) -> None:
    some = points(problem, 6)
    evaluator = Evaluator(problem)
    together = evaluator(some)
    assert np.array_equal(evaluator(some[::-1])[::-1], together)
    alone = np.array([evaluator(point)[0] for point in some])
    assert np.array_equal(alone, together)


@given(problems())
@laws(15)
def test_energies_follow_the_powers(problem: Problem) -> None:
    for point in points(problem, 3):
        plan = plan_of(problem, point)
        for storage in problem.storages:
            size, energy = plan.size[storage.name], plan.energy_kwh(storage)
            for k, p_kw in enumerate(plan.p_kw[storage.name]):
                e = size[k] * storage.e_start_kwh
                for t, p in enumerate(p_kw):
                    e += storage.eta_charge * max(-p, 0.0) * problem.dt_h
                    e -= max(p, 0.0) / storage.eta_discharge * problem.dt_h
                    e -= size[k] * storage.demand_kwh[t]
                    assert energy[k, t + 1] == pytest.approx(e, rel=1e-9, abs=1e-9)


def test_a_plan_without_a_power_flow_is_infeasible() -> None:
    problem = day(technologies=(), p_inj_kw=np.full((12, 8), -1e5))
    evaluator = Evaluator(problem)
    (score,) = evaluator(np.zeros((1, 0)))
    assert np.isfinite(score)
    assert evaluator.violation(score) >= 1.0


def test_the_score_of_nothing_is_what_the_community_pays_now() -> None:
    problem = day(technologies=())
    figures = figures_of(plan_of(problem, np.zeros(0)))
    bill = float(figures.flow.head_p_kw @ problem.price_import_eur_per_kwh) * problem.dt_h
    assert Evaluator(problem)(np.zeros((1, 0))) == pytest.approx(bill)


def test_a_plan_scores_the_same_through_its_genes() -> None:
    problem = day()
    for point in points(problem, 20):
        plan = plan_of(problem, point)
        score = Evaluator(problem)(genes_of(plan))[0]
        assert score == pytest.approx(Evaluator(problem)(point)[0], rel=1e-9)
