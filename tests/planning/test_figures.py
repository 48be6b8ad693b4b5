"""Figures of a plan: power and money balance, and what is traded is bought and sold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from peergrid.errors import SolverError
from peergrid.planning.figures import Figures, figures_of
from peergrid.planning.genes import plan_of
from peergrid.planning.plan import Plan
from peergrid.planning.problem import Problem
from tests.planning.problems import day, laws, points, problems


def some_figures(problem: Problem, count: int = 3) -> list[Figures]:
    return [figures_of(plan_of(problem, point)) for point in points(problem, count)]


def size_kw(problem: Problem) -> float:
    """What errors of powers are compared with."""
    return 1e3 * problem.feeder.base_mva


@given(problems())
@laws(25)
def test_import_and_what_is_fed_in_cover_load_and_losses(problem: Problem) -> None:
    for f in some_figures(problem):
        plan = f.plan
        storages = sum(plan.p_kw[s.name].sum(axis=0) for s in problem.storages)
        fed_in = problem.p_inj_kw.sum(axis=0) + f.generated_kw + storages
        atol = 1e-8 * size_kw(problem)
        np.testing.assert_allclose(f.import_kw - f.export_kw + fed_in, f.loss_kw, rtol=0, atol=atol)
        np.testing.assert_allclose(plan.p_inj_kw.sum(axis=0), fed_in, rtol=0, atol=atol)


@given(problems())
@laws(25)
def test_nobody_buys_and_sells_at_once(problem: Problem) -> None:
    for f in some_figures(problem):
        assert not np.any((f.surplus_kw > 0.0) & (f.deficit_kw > 0.0))
        assert not np.any((f.import_kw > 0.0) & (f.export_kw > 0.0))
        net = f.surplus_kw - f.deficit_kw
        np.testing.assert_array_equal(net, f.plan.p_inj_kw)


@given(problems())
@laws(25)
def test_traded_is_at_most_what_either_side_has(problem: Problem) -> None:
    for f in some_figures(problem):
        sold, bought = f.surplus_kw.sum(axis=0), f.deficit_kw.sum(axis=0)
        assert np.all((f.traded_kw <= sold) & (f.traded_kw <= bought))
        assert np.all((f.traded_kw == sold) | (f.traded_kw == bought))
        assert f.traded_kwh == pytest.approx(float(f.traded_kw.sum()) * problem.dt_h)


@given(problems())
@laws(25)
def test_contributions_add_up_to_what_is_traded(problem: Problem) -> None:
    problem = replace(problem, p_inj_kw=-np.abs(problem.p_inj_kw), v_min_pu=0.1)
    for f in some_figures(problem):
        parts = f.contribution_kw()
        assert parts.keys() == {t.name for t in problem.technologies}
        assert all(np.all(part >= 0.0) for part in parts.values())
        total = np.sum(list(parts.values()), axis=0) if parts else np.zeros(problem.steps)
        np.testing.assert_allclose(total, f.traded_kw, rtol=1e-9, atol=1e-9 * size_kw(problem))


@given(problems())
@laws(20)
def test_contributions_leave_out_what_was_there_before(problem: Problem) -> None:
    for f in some_figures(problem):
        total = sum(f.contribution_kw().values())
        assert np.all(total <= f.traded_kw + 1e-9 * size_kw(problem))


@given(problems())
@laws(20)
def test_money_is_energy_owning_and_wear(problem: Problem) -> None:
    for f in some_figures(problem):
        plan = f.plan
        paid = (f.import_kw * problem.price_import_eur_per_kwh).sum() * problem.dt_h
        earned = (f.export_kw * problem.price_feed_in_eur_per_kwh).sum() * problem.dt_h
        owned = sum(t.cost_eur * plan.size[t.name].sum() for t in problem.technologies)
        worn = 0.0
        for s in problem.storages:
            charged = np.maximum(-plan.p_kw[s.name], 0.0).sum() * problem.dt_h
            given_back = np.maximum(plan.p_kw[s.name], 0.0).sum() * problem.dt_h
            worn += s.wear_eur_per_kwh * (charged + given_back)
        cost = float(paid - earned + owned + worn)
        assert f.cost_eur == pytest.approx(cost, rel=1e-9, abs=1e-9 * size_kw(problem))
        assert f.score == (f.cost_eur if problem.objective == "cost" else -f.traded_kwh)


@given(problems())
@laws(20)
def test_capex_is_sizes_times_price_and_units_are_what_is_built(problem: Problem) -> None:
    for f in some_figures(problem):
        units = list(f.plan.units())
        capex = sum(u.size * u.technology.capex_eur for u in units)
        assert f.plan.capex_eur == pytest.approx(capex, rel=1e-6, abs=1e-3 * len(units) + 1e-9)
        injected = problem.p_inj_kw.copy()
        for u in units:
            injected[u.row] += u.p_kw
        atol = 1e-5 * (1.0 + np.abs(injected).max())
        np.testing.assert_allclose(injected, f.plan.p_inj_kw, rtol=0.0, atol=atol)


@given(problems())
@laws(20)
def test_a_violation_is_the_largest_excess(problem: Problem) -> None:
    for f in some_figures(problem):
        vm, worst = f.flow.vm_pu[1:], 0.0
        worst = max(worst, problem.v_min_pu - vm.min(), vm.max() - problem.v_max_pu)
        worst = max(worst, f.loading.max() - problem.max_loading)
        assert f.violation_pu == pytest.approx(worst, abs=1e-12)


def test_nothing_built_trades_nothing_and_costs_the_import() -> None:
    problem = day()
    f = figures_of(Plan.nothing(problem))
    assert f.traded_kwh == 0.0
    assert f.owning_cost_eur == f.wear_cost_eur == 0.0
    assert f.cost_eur == pytest.approx(3.0 * float(f.import_kw @ problem.price_import_eur_per_kwh))
    assert f.plan.to_dict() == []


def test_a_surplus_where_it_is_used_is_not_traded() -> None:
    problem = day()
    plan = Plan.nothing(problem)
    place = int(np.argmin(problem.p_inj_kw[1:, 0]))
    plan.size["pv"][place] = 1.0
    f = figures_of(plan)
    assert f.generated_kw.sum() > 0.0
    assert f.traded_kwh == 0.0
    assert f.contribution_kw()["pv"].sum() == 0.0


def test_a_plan_without_a_power_flow_is_refused_by_its_step() -> None:
    load = np.zeros((12, 8))
    load[5, 3] = -1e6
    with pytest.raises(SolverError, match="step 3 has no solution"):
        figures_of(Plan.nothing(day(p_inj_kw=load)))
