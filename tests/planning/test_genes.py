"""Every point of the cube is a plan that keeps its bounds, and every plan has a point."""

import numpy as np
import pytest
from hypothesis import given

from peergrid.planning.genes import genes_of, n_genes, plan_of
from peergrid.planning.plan import Plan
from peergrid.planning.problem import Problem
from tests.planning.problems import broken_bounds, day, laws, points, problems


def same(one: Plan, other: Plan, tol: float = 1e-9) -> bool:
    """Whether two plans build and run the same."""
    scale = 1.0 + np.abs(one.p_inj_kw).max()
    if not np.allclose(one.p_inj_kw, other.p_inj_kw, rtol=0.0, atol=tol * scale):
        return False
    return all(
        np.allclose(one.size[name], other.size[name], rtol=tol, atol=tol) for name in one.size
    )


@given(problems())
@laws(50)
def test_every_point_keeps_sites_sizes_totals_budget_and_energies(problem: Problem) -> None:
    for point in points(problem, 10):
        assert broken_bounds(plan_of(problem, point)) == []


@given(problems())
@laws(25)
def test_the_genes_of_a_plan_stand_for_it(problem: Problem) -> None:
    for point in points(problem, 5):
        plan = plan_of(problem, point)
        assert same(plan, plan_of(problem, genes_of(plan)))


@given(problems())
@laws(15)
def test_genes_lie_in_the_cube_and_are_as_many_as_it_has_dimensions(problem: Problem) -> None:
    for point in points(problem, 3):
        genes = genes_of(plan_of(problem, point))
        assert genes.shape == point.shape == (n_genes(problem),)
        assert np.all((genes >= 0.0) & (genes <= 1.0))


@given(problems())
@laws(20)
def test_points_outside_stand_for_what_the_nearest_point_inside_does(problem: Problem) -> None:
    for point in 3.0 * points(problem, 5) - 1.0:
        inside = plan_of(problem, np.clip(point, 0.0, 1.0))
        assert same(plan_of(problem, point), inside, tol=0.0)


def test_a_bus_that_is_taken_gives_way_to_the_next() -> None:
    problem = day()
    twice = problem.technologies[0]
    fields = {**vars(twice), "sites": 3}
    three = Problem(**{**vars(problem), "technologies": (type(twice)(**fields),)})
    last = len(twice.rows) - 1
    plan = plan_of(three, np.array([1.0, 0.1, 1.0, 0.2, 1.0, 0.3]))
    assert plan.size["pv"][[last, 0, 1]] == pytest.approx([40.0, 80.0, 120.0])
    assert np.sum(plan.size["pv"] > 0.0) == 3


def test_the_middle_of_a_power_gene_is_idleness() -> None:
    problem = day()
    point = np.full(n_genes(problem), 0.5)
    assert not plan_of(problem, point).p_kw["battery"].any()
    point[4:12] = np.linspace(0.36, 0.64, 8)
    assert not plan_of(problem, point).p_kw["battery"].any()
    assert plan_of(problem, point).size["battery"].sum() == pytest.approx(300.0)


def test_a_vehicle_is_charged_in_time_whatever_its_genes_wish() -> None:
    problem = day()
    for wish in (0.0, 0.5, 1.0):
        plan = plan_of(problem, np.full(n_genes(problem), wish))
        (ev,) = [s for s in problem.storages if s.name == "ev"]
        count = plan.size["ev"].max()
        energy = plan.energy_kwh(ev)[np.argmax(plan.size["ev"])]
        assert count >= 10.0
        assert energy[3] >= 40.0 * count - 1e-9
        assert energy[-1] >= 25.0 * count - 1e-9


def test_the_budget_leaves_the_least_totals() -> None:
    for budget in (15_000.0, 40_000.0, 200_000.0):
        plan = plan_of(day(budget_eur=budget), np.ones(2 + 10 + 10))
        assert plan.capex_eur <= budget + 1e-6
        assert plan.size["ev"].sum() >= 10.0
