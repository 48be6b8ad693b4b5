"""Laws of the published clearing by neighbours on small feeders: it finds the AC optimum."""

from dataclasses import replace
from functools import cache
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

from peergrid.devices.flexibility import parse
from peergrid.errors import DataError, ModelError
from peergrid.market.admm import Settings, Status
from peergrid.market.build import build_agents
from peergrid.market.by_admm import clear_by_admm
from peergrid.market.by_neighbours import (
    NeighbourClearing,
    NeighbourSettings,
    clear_by_neighbours,
)
from peergrid.market.problem import Grid, Problem
from peergrid.network.feeder import Feeder

LIMITED = NeighbourSettings(max_iterations=600)
CASES = ("chain", "branching", "export", "envelope")
each_case = pytest.mark.parametrize("case", CASES)


def feeder(parent: list[int], **columns: Any) -> Feeder:
    """A 10 kV feeder of lines with 1 MVA base."""
    n = len(parent)
    parts = {
        "name": "small",
        "base_mva": 1.0,
        "bus_id": np.arange(n),
        "vn_kv": np.full(n, 10.0),
        "parent": np.array(parent),
        "r_pu": np.full(n, 0.02),
        "x_pu": np.full(n, 0.015),
        "ratio": np.ones(n),
        "shift_deg": np.zeros(n),
        "branch_kind": ("line",) * n,
        "branch_index": np.arange(n) - 1,
        "g_sh_pu": np.zeros(n),
        "b_sh_pu": np.zeros(n),
        "p_load_kw": np.zeros(n),
        "q_load_kvar": np.zeros(n),
        "slack_vm_pu": 1.0,
        "i_max_ka": np.full(n, 1.0),
        "rating_assumed": np.zeros(n, dtype=bool),
    }
    return Feeder(**(parts | columns))


def pv(power_kw: list[float]) -> dict[str, Any]:
    return {"kind": "PEBC", "p_min_kw": [0.0] * len(power_kw), "p_max_kw": power_kw}


def vehicle(steps: int, need_kwh: float, reach_kw: float = 100.0) -> dict[str, Any]:
    """A fleet that must have ``need_kwh`` more at the end."""
    return {
        "kind": "FRBC",
        "p_min_kw": [-reach_kw] * steps,
        "p_max_kw": [reach_kw] * steps,
        "e_min_kwh": [0.0] * steps + [100.0 + need_kwh],
        "e_max_kwh": 100.0 + need_kwh + reach_kw,
        "e_now_kwh": 100.0,
        "eta_charge": 0.95,
        "eta_discharge": 0.95,
        "cost": {"wear": 0.005},
    }


def community(
    parent: list[int], messages: list[dict[str, Any]], owner: list[int], load_kw: list[float]
) -> Problem:
    """Participants at all buses but the root; load by step, the same everywhere."""
    steps, members = len(load_kw), len(parent) - 1
    parsed = [parse({"t0_s": 0, "dt_s": 3600, **message}) for message in messages]
    firm = np.repeat(-np.array(load_kw)[None, :], members, axis=0)
    limits = np.full(firm.shape, np.inf)
    return Problem(
        agents=build_agents(parsed, steps, 1.0),
        owner=np.array(owner, dtype=np.int64),
        pool=np.zeros(members, dtype=np.int64),
        firm_kw=firm,
        price_import_eur_per_kwh=np.array([0.10, 0.08, 0.12, 0.09])[:steps],
        price_feed_in_eur_per_kwh=np.full(steps, 0.04),
        box_min_kw=-limits,
        box_max_kw=limits,
        grid=Grid.of(feeder(parent), np.arange(1, members + 1), 0.3 * firm),
    )


def problem_of(case: str) -> Problem:
    """A chain of three buses; a tree of five; a tree that exports; a tree with an envelope."""
    if case == "chain":
        return community([-1, 0, 1], [pv([150.0, 60.0]), vehicle(2, 50.0)], [0, 1], [120.0, 200.0])
    sun = [300.0, 150.0, 0.0, 50.0] if case != "export" else [900.0, 150.0, 0.0, 700.0]
    tree = [-1, 0, 1, 1, 2]
    load = [120.0, 150.0, 200.0, 160.0]
    generator = {"kind": "PEBC", "p_min_kw": [0.0] * 4, "p_max_kw": [80.0] * 4}
    generator["cost"] = {"linear": 0.07, "quadratic": 0.0003}
    problem = community(tree, [pv(sun), vehicle(4, 80.0), generator], [1, 2, 3], load)
    if case == "envelope":
        box_max = problem.box_max_kw.copy()
        box_max[1] = 50.0
        return replace(problem, box_max_kw=box_max)
    return problem


@cache
def cleared(case: str) -> NeighbourClearing:
    return clear_by_neighbours(problem_of(case), replace(LIMITED, wait_for_seed=True))


@each_case
def test_reaches_the_ac_optimum(case: str) -> None:
    result = cleared(case)
    best = clear_by_admm(problem_of(case), Settings(tolerance_gap=0.0))
    assert result.status is Status.CONVERGED
    assert result.objective_eur == pytest.approx(best.objective_eur, rel=1e-3)
    assert result.box_violation_kw < 0.01


@each_case
def test_prices_are_those_of_the_ac_optimum(case: str) -> None:
    result = cleared(case)
    best = clear_by_admm(problem_of(case), Settings(tolerance_gap=0.0))
    np.testing.assert_allclose(result.theta_eur_per_kwh, best.theta_eur_per_kwh, atol=2e-4)
    losses = best.loss_price_eur_per_kwh
    np.testing.assert_allclose(result.loss_price_eur_per_kwh, losses, atol=2e-4)
    reactive = best.price_eur_per_kvarh
    np.testing.assert_allclose(result.price_eur_per_kvarh, reactive, atol=2e-4)


@each_case
def test_theta_stays_between_feed_in_and_import_price(case: str) -> None:
    problem, theta = problem_of(case), cleared(case).theta_eur_per_kwh
    assert (theta >= problem.price_feed_in_eur_per_kwh - 1e-12).all()
    assert (theta <= problem.price_import_eur_per_kwh + 1e-12).all()


@each_case
def test_neighbours_agree(case: str) -> None:
    result = clear_by_neighbours(problem_of(case), LIMITED)
    told = result.neighbours
    assert result.iterations == told.stop_iteration
    assert told.mismatch_kw <= LIMITED.tolerance_kw
    assert np.abs(told.trade_kw.sum(axis=0)).max() <= LIMITED.tolerance_kw
    assert told.voltage_error_pu < 2e-4


@each_case
def test_the_published_rule_is_recorded_beside_ours(case: str) -> None:
    result = cleared(case)
    told = result.neighbours
    assert told.stop_iteration is not None
    assert told.seed_stop_iteration is not None
    assert result.iterations == max(told.stop_iteration, told.seed_stop_iteration)
    assert told.seed_objective_eur == pytest.approx(result.objective_eur, rel=0.05)


def test_energy_is_balanced() -> None:
    problem, result = problem_of("branching"), cleared("branching")
    assert result.grid is not None
    drawn = result.grid.loss_kw - problem.positions_kw(result.schedule_kw).sum(axis=0)
    np.testing.assert_allclose(result.import_kw[0], drawn, atol=1e-6)


def test_a_limit_ends_it_as_a_status() -> None:
    problem, seen = problem_of("chain"), []
    few = clear_by_neighbours(
        problem, replace(LIMITED, max_iterations=3), progress=lambda *at: seen.append(at)
    )
    assert few.status is Status.ITERATION_LIMIT
    assert few.iterations == len(few.history) == len(seen) == 3
    assert few.neighbours.stop_iteration is few.neighbours.seed_stop_iteration is None
    assert np.isnan(few.neighbours.seed_objective_eur)
    short = clear_by_neighbours(problem, replace(LIMITED, limit_s=0.0))
    assert (short.status, short.iterations) == (Status.ITERATION_LIMIT, 1)


def test_residual_balancing_moves_a_penalty_that_is_far_off() -> None:
    settings = replace(LIMITED, rho=100.0, balance_until=100, max_iterations=100)
    assert clear_by_neighbours(problem_of("chain"), settings).neighbours.rho < 50.0


@pytest.mark.skipif("ECOS" not in cp.installed_solvers(), reason="no ECOS")
def test_solvers_agree() -> None:
    other = clear_by_neighbours(problem_of("chain"), replace(LIMITED, solver="ECOS"))
    assert other.objective_eur == pytest.approx(cleared("chain").objective_eur, rel=1e-4)


def test_an_unknown_solver_is_refused() -> None:
    with pytest.raises(DataError, match="solver = 'NONE'"):
        clear_by_neighbours(problem_of("chain"), replace(LIMITED, solver="NONE"))


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"ratio": np.array([1.0, 1.0, 1.02])}, r"transformer ratios \(bus 2\)"),
        ({"b_sh_pu": np.array([0.0, 0.01, 0.0])}, r"shunts \(bus 1\)"),
    ],
)
def test_only_lines_are_known(columns: dict[str, Any], what: str) -> None:
    problem = problem_of("chain")
    assert problem.grid is not None
    grid = replace(problem.grid, feeder=feeder([-1, 0, 1], **columns))
    with pytest.raises(ModelError, match=what):
        clear_by_neighbours(replace(problem, grid=grid))


def test_reactive_resources_are_not_known() -> None:
    inverter = pv([150.0, 60.0]) | {"q": {"box": [-50.0, 50.0]}}
    with pytest.raises(ModelError, match=r"reactive resources \(resource 0\)"):
        clear_by_neighbours(community([-1, 0], [inverter], [0], [120.0, 200.0]))


def test_without_a_grid_there_are_no_neighbours() -> None:
    with pytest.raises(ModelError, match="needs a grid"):
        clear_by_neighbours(replace(problem_of("chain"), grid=None))
