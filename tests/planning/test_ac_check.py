"""Pandapower agrees with our power flow, and finds limits that a plan breaks."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandapower as pp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peergrid.network.from_pandapower import from_pandapower
from peergrid.network.power_flow import base_injections
from peergrid.planning.ac_check import AcCheck, ac_check
from peergrid.planning.figures import figures_of
from peergrid.planning.genes import n_genes, plan_of
from peergrid.planning.plan import Plan
from peergrid.planning.problem import Problem
from tests.planning.problems import day, laws, points, problems, random_problem
from tests.strategies import radial_nets


def checked(plan: Plan) -> AcCheck:
    return ac_check(plan, figures_of(plan))


def agrees(plan: Plan) -> bool:
    """Whether voltages and violations are those of our own power flow."""
    figures = figures_of(plan)
    found = ac_check(plan, figures)
    return (
        found.converged
        and found.max_v_error_pu < 1e-8
        and found.violation_pu == pytest.approx(figures.violation_pu, abs=1e-6)
    )


@given(problems(max_steps=3))
@laws(5)
def test_pandapower_agrees_on_random_feeders(problem: Problem) -> None:
    none = np.zeros(problem.feeder.n_bus, dtype=np.complex128)
    feeder = replace(problem.feeder, y_parent_pu=none, y_child_pu=none)
    problem = replace(problem, feeder=feeder)
    for point in points(problem, 2):
        assert agrees(plan_of(problem, point))


@given(radial_nets(), st.integers(0, 2**32 - 1))
@laws(4)
def test_pandapower_agrees_on_nets_that_are_given(net: pp.pandapowerNet, seed: int) -> None:
    feeder = from_pandapower(net)
    own = np.flatnonzero(feeder.bus_id >= 0)
    p_inj, q_inj = base_injections(feeder, 2)
    given: dict[str, Any] = {"p_inj_kw": p_inj, "q_inj_kvar": q_inj, "technologies": (), "net": net}
    rng = np.random.default_rng(seed)
    problem = random_problem(feeder, rng, steps=2, kinds=[], **given)
    problem = replace(problem, feeder=feeder, max_loading=1e9, v_min_pu=0.1, v_max_pu=9.0)
    figures = figures_of(Plan.nothing(problem))
    found = ac_check(figures.plan, figures)
    assert found.converged
    assert found.max_v_error_pu < 1e-8
    below = own[own > 0]
    if len(below):
        assert found.v_min_pu == pytest.approx(figures.flow.vm_pu[below].min(), abs=1e-8)


def test_a_clean_plan_is_clean() -> None:
    problem = day(v_min_pu=0.9)
    plan = plan_of(problem, np.full(n_genes(problem), 0.5))
    found = checked(plan)
    assert found.is_clean
    assert found.violation_pu == 0.0
    assert found.max_v_error_pu < 1e-8
    assert found.loss_kwh == pytest.approx(3.0 * figures_of(plan).loss_kw.sum(), rel=1e-6)


@pytest.mark.parametrize(
    "limits", [{"v_min_pu": 0.99}, {"v_max_pu": 0.96}, {"max_loading": 0.2}], ids=str
)
def test_a_broken_limit_is_found(limits: dict[str, float]) -> None:
    problem = day(**limits)
    plan = plan_of(problem, np.full(n_genes(problem), 0.5))
    found, figures = checked(plan), figures_of(plan)
    assert not found.is_clean
    assert found.violation_pu > 0.001
    assert found.violation_pu == pytest.approx(figures.violation_pu, abs=1e-7)


def test_a_plan_that_raises_voltages_and_overloads_a_line_is_found() -> None:
    problem = day()
    plan = Plan.nothing(problem)
    plan.size["pv"][-1] = 9000.0
    found = checked(plan)
    assert found.converged
    assert not found.is_clean
    assert found.v_max_pu > problem.v_max_pu
    assert found.max_loading > problem.max_loading


def test_a_plan_without_a_power_flow_is_not_clean() -> None:
    figures = figures_of(Plan.nothing(day()))
    broken = replace(figures.plan, problem=day(p_inj_kw=np.full((12, 8), -1e5)))
    found = ac_check(broken, figures)
    assert not found.converged
    assert not found.is_clean
    assert found.to_dict()["violation_pu"] is None
