"""Laws of the clearing: ADMM finds the central optimum, prices and balances hold in every step."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from peergrid.devices.flexibility import parse
from peergrid.errors import ModelError
from peergrid.market.admm import Settings, Status
from peergrid.market.build import build_agents
from peergrid.market.clearing import clear
from peergrid.market.problem import Problem, fold_boxes
from peergrid.market.result import Clearing
from peergrid.market.setup import envelope_boxes
from tests.market.communities import community

CASES = [(seed, boxes, alone) for seed in (0, 1, 2) for boxes in (0, 1) for alone in (0, 1)]
GAP = 2e-4
each_case = pytest.mark.parametrize("case", CASES, ids=str)


@cache
def problem_of(case: tuple[int, int, int]) -> Problem:
    seed, boxes, alone = case
    return community(seed, boxes=bool(boxes), alone=bool(alone))


@cache
def cleared(case: tuple[int, int, int]) -> Clearing:
    return clear(problem_of(case))


@cache
def optimum(case: tuple[int, int, int]) -> Clearing:
    return clear(problem_of(case), method="central")


def small(
    owner: list[int],
    messages: list[dict[str, Any]],
    *,
    firm_kw: list[float],
    box_kw: tuple[float, float] = (-np.inf, np.inf),
    steps: int = 1,
) -> Problem:
    """A community by hand: 0.30 and 0.10 EUR/kWh, the same box for everyone."""
    parsed = [parse({"kind": "PEBC", "t0_s": 0, "dt_s": 3600, **message}) for message in messages]
    shape = (len(firm_kw), steps)
    return Problem(
        agents=build_agents(parsed, steps, 1.0),
        owner=np.array(owner, dtype=np.int64),
        pool=np.zeros(len(firm_kw), dtype=np.int64),
        firm_kw=np.repeat(np.array(firm_kw)[:, None], steps, axis=1),
        price_import_eur_per_kwh=np.full(steps, 0.30),
        price_feed_in_eur_per_kwh=np.full(steps, 0.10),
        box_min_kw=np.full(shape, box_kw[0]),
        box_max_kw=np.full(shape, box_kw[1]),
    )


def plant(p_max_kw: float, linear: float = 0.0) -> dict[str, Any]:
    return {"p_min_kw": [0.0], "p_max_kw": [p_max_kw], "cost": {"linear": linear}}


@each_case
def test_is_the_central_optimum(case: tuple[int, int, int]) -> None:
    result, best = cleared(case), optimum(case).objective_eur
    assert result.status is Status.CONVERGED
    assert abs(result.objective_eur - best) <= GAP * abs(best)


@each_case
def test_lower_bound_stays_below_every_schedule(case: tuple[int, int, int]) -> None:
    result, best = cleared(case), optimum(case).objective_eur
    assert result.lower_bound_eur <= best * (1.0 + 1e-7)
    assert result.objective_eur >= result.lower_bound_eur - 1e-5 * abs(best)  # box tolerance


@each_case
def test_lower_bound_holds_however_early_the_iteration_stops(case: tuple[int, int, int]) -> None:
    best = optimum(case).objective_eur
    for iterations in (1, 3, 10, 25):
        early = clear(problem_of(case), Settings(max_iterations=iterations))
        assert early.lower_bound_eur <= best * (1.0 + 1e-7)


@each_case
def test_local_price_lies_between_the_tariffs(case: tuple[int, int, int]) -> None:
    problem, theta = problem_of(case), cleared(case).theta_eur_per_kwh
    assert np.all(theta >= problem.price_feed_in_eur_per_kwh - 1e-9)
    assert np.all(theta <= problem.price_import_eur_per_kwh + 1e-9)


@each_case
def test_balance_holds_exactly(case: tuple[int, int, int]) -> None:
    problem, result = problem_of(case), cleared(case)
    drawn = np.zeros_like(result.import_kw)
    np.add.at(drawn, problem.pool, -result.position_kw)
    np.testing.assert_allclose(result.import_kw, drawn, atol=1e-9)
    flexible = np.zeros_like(problem.firm_kw)
    np.add.at(flexible, problem.owner, result.schedule_kw)
    np.testing.assert_allclose(result.position_kw, problem.firm_kw + flexible, atol=1e-9)


@each_case
def test_boxes_and_devices_are_respected(case: tuple[int, int, int]) -> None:
    problem, result = problem_of(case), cleared(case)
    tolerance = 0.2  # of each resource; some participants have two
    flexible = np.bincount(problem.owner, minlength=len(problem.pool)) > 0
    assert np.all((result.position_kw <= problem.box_max_kw + tolerance)[flexible])
    assert np.all((result.position_kw >= problem.box_min_kw - tolerance)[flexible])
    assert np.all(result.schedule_kw <= problem.agents.p_max_kw + 1e-6)
    assert np.all(result.schedule_kw >= problem.agents.p_min_kw - 1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_folding_boxes_keeps_the_optimum(seed: int) -> None:
    problem = problem_of((seed, 1, 0))
    folded = fold_boxes(problem)
    assert len(envelope_boxes(folded).rows) < len(envelope_boxes(problem).rows)
    best = optimum((seed, 1, 0)).objective_eur
    assert clear(folded, method="central").objective_eur == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("boxes", [0, 1])
def test_trading_costs_no_more_than_staying_alone(seed: int, boxes: int) -> None:
    alone, together = optimum((seed, boxes, 1)), optimum((seed, boxes, 0))
    assert alone.objective_eur >= together.objective_eur * (1.0 - 1e-9)
    by_admm = cleared((seed, boxes, 1)).objective_eur - cleared((seed, boxes, 0)).objective_eur
    assert by_admm >= -GAP * abs(together.objective_eur)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("boxes", [0, 1])
def test_envelopes_cost_something_or_nothing(seed: int, boxes: int) -> None:
    assert optimum((seed, 1, 0)).objective_eur >= optimum((seed, 0, 0)).objective_eur - 1e-6


@each_case
def test_warm_start_is_quick(case: tuple[int, int, int]) -> None:
    cold = cleared(case)
    warm = clear(problem_of(case), warm=cold.warm)
    assert warm.status is Status.CONVERGED
    assert warm.iterations <= 10


def test_warm_start_of_another_shape_is_ignored() -> None:
    problem = problem_of((0, 0, 0))
    result = clear(problem, warm=clear(community(0, steps=6)).warm)
    assert result.objective_eur == cleared((0, 0, 0)).objective_eur


def test_shifted_warm_start_drops_the_first_step() -> None:
    warm = cleared((0, 0, 0)).warm
    shifted = warm.shifted()
    np.testing.assert_array_equal(shifted.schedule_kw[:, :-1], warm.schedule_kw[:, 1:])
    np.testing.assert_array_equal(shifted.schedule_kw[:, -1], warm.schedule_kw[:, -1])


@pytest.mark.parametrize("case", [(0, 0, 0), (1, 1, 0), (2, 1, 1)], ids=str)
def test_order_of_participants_does_not_matter(case: tuple[int, int, int]) -> None:
    problem, rng = problem_of(case), np.random.default_rng(7)
    order = rng.permutation(len(problem.pool))
    place = np.argsort(order)
    pool = problem.pool[order] if case[2] else problem.pool
    shuffled = replace(
        problem,
        owner=place[problem.owner],
        pool=pool,
        firm_kw=problem.firm_kw[order],
        box_min_kw=problem.box_min_kw[order],
        box_max_kw=problem.box_max_kw[order],
    )
    result, before = clear(shuffled), cleared(case)
    assert result.objective_eur == pytest.approx(before.objective_eur, rel=GAP)
    np.testing.assert_allclose(result.import_kw.sum(), before.import_kw.sum(), rtol=0.01)


def test_is_reproducible() -> None:
    np.testing.assert_array_equal(
        clear(problem_of((1, 1, 0))).schedule_kw, cleared((1, 1, 0)).schedule_kw
    )


def test_without_flexible_resources_the_retailer_covers_everything() -> None:
    problem = small([], [], firm_kw=[-3.0, 1.0], box_kw=(-5.0, 5.0), steps=4)
    result = clear(problem)
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(result.import_kw, 2.0)
    np.testing.assert_allclose(result.theta_eur_per_kwh, 0.30, atol=1e-6)
    assert result.objective_eur == pytest.approx(4 * 2.0 * 0.30)
    assert result.gap == pytest.approx(0.0, abs=1e-6)


def test_one_step() -> None:
    """A plant at 0.20 covers 2 of 5 kW; the rest comes at the import price, which is marginal."""
    result = clear(small([0], [plant(2.0, 0.20)], firm_kw=[0.0, -5.0]))
    assert result.status is Status.CONVERGED
    assert result.schedule_kw == pytest.approx(np.array([[2.0]]), abs=1e-6)
    assert result.theta_eur_per_kwh == pytest.approx(np.array([[0.30]]), abs=1e-4)


def test_a_plant_that_covers_everything_sets_the_price() -> None:
    result = clear(small([0], [plant(9.0, 0.20)], firm_kw=[0.0, -5.0]))
    assert result.schedule_kw == pytest.approx(np.array([[5.0]]), abs=0.03)
    assert result.theta_eur_per_kwh == pytest.approx(np.array([[0.20]]), abs=1e-3)


@pytest.mark.parametrize("boxes", [False, True])
def test_one_step_of_a_community(boxes: bool) -> None:
    problem = community(3, steps=1, boxes=boxes)
    best = clear(problem, method="central").objective_eur
    assert clear(problem).objective_eur == pytest.approx(best, rel=GAP)


def test_iteration_limit_is_a_status() -> None:
    result = clear(problem_of((0, 1, 0)), Settings(max_iterations=3))
    assert result.status is Status.ITERATION_LIMIT
    assert result.iterations == 3
    assert len(result.history) == 3
    assert np.isfinite(result.schedule_kw).all()


def test_acceleration_does_not_change_the_optimum() -> None:
    plain = clear(problem_of((1, 0, 0)), Settings(memory=0, max_iterations=3000))
    assert plain.status is Status.CONVERGED
    assert plain.objective_eur == pytest.approx(cleared((1, 0, 0)).objective_eur, rel=GAP)
    assert cleared((1, 0, 0)).iterations < plain.iterations


def test_congestion_lowers_the_price_where_export_is_limited() -> None:
    """Two plants of one participant share 5 kW of export; a third plant sets the local price."""
    problem = small(
        [0, 0, 1],
        [plant(4.0, 0.05), plant(4.0, 0.08), plant(20.0, 0.20)],
        firm_kw=[0.0, 0.0, -10.0],
    )
    problem.box_max_kw[0] = 5.0
    result = clear(problem)
    assert result.position_kw[0, 0] == pytest.approx(5.0, abs=0.03)
    assert result.congestion_eur_per_kwh[0, 0] == pytest.approx(0.08 - 0.20, abs=2e-3)
    assert result.price_eur_per_kwh[0, 0] == pytest.approx(0.08, abs=2e-3)
    assert not result.congestion_eur_per_kwh[1:].any()


def test_congestion_raises_the_price_where_import_is_limited() -> None:
    """Two elastic loads of one participant may draw 5 kW; they would pay more for a sixth."""
    load = {"p_min_kw": [-8.0], "p_max_kw": [0.0], "cost": {"linear": 0.50}}
    problem = small([0, 0], [load, load], firm_kw=[0.0, -1.0], box_kw=(-5.0, 5.0))
    result = clear(problem)
    assert result.position_kw[0, 0] == pytest.approx(-5.0, abs=0.03)
    assert result.congestion_eur_per_kwh[0, 0] == pytest.approx(0.50 - 0.30, abs=2e-3)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_congestion_has_the_sign_of_the_limit(seed: int) -> None:
    problem, result = problem_of((seed, 1, 0)), cleared((seed, 1, 0))
    apart = 0.1 + 5.0 * result.primal_kw  # the box's proposal and the agents' differ by so much
    below = result.position_kw < problem.box_max_kw - apart
    above = result.position_kw > problem.box_min_kw + apart
    assert np.all(result.congestion_eur_per_kwh[below] >= -1e-9)
    assert np.all(result.congestion_eur_per_kwh[above] <= 1e-9)


def _late_vehicle(change: Callable[[dict[str, Any]], None]) -> Problem:
    message: dict[str, Any] = {
        "kind": "FRBC",
        "p_min_kw": [-11.0] * 3,
        "p_max_kw": [0.0] * 3,
        "e_min_kwh": [0.0, 0.0, 0.0, 30.0],
        "e_max_kwh": 40.0,
        "e_now_kwh": 5.0,
    }
    change(message)
    return small([0], [message], firm_kw=[-1.0], steps=3)


@pytest.mark.parametrize(
    "change",
    [
        {"e_min_kwh": [0.0, 0.0, 0.0, 39.0]},  # more than 3 x 11 kWh missing
        {"demand_kwh": [0.0, 17.0, 0.0]},  # the trip takes more than there can be
        {"e_now_kwh": 90.0},  # fuller than full, and it cannot discharge
    ],
)
def test_unreachable_storage_is_told(change: dict[str, Any]) -> None:
    assert not _late_vehicle(lambda message: None).agents.unreachable().any()
    problem = _late_vehicle(lambda message: message.update(change))
    assert problem.agents.unreachable().tolist() == [True]
    with pytest.raises(ModelError, match="resource 0"):
        clear(problem)


def test_an_envelope_can_make_a_storage_unreachable() -> None:
    problem = _late_vehicle(lambda message: None)
    tight = replace(problem, box_min_kw=np.full((1, 3), -5.0))
    assert not problem.agents.unreachable().any()
    assert fold_boxes(tight).agents.unreachable().tolist() == [True]


def test_a_curtailed_plant_sees_the_price_of_its_envelope() -> None:
    plant = {"kind": "PEBC", "p_min_kw": [0.0], "p_max_kw": [10.0], "cost": {"linear": 0.02}}
    free = small([0], [plant], firm_kw=[-20.0], steps=1)
    tight = replace(free, box_max_kw=np.array([[-16.0]]))  # 4 kW of the 10 may be used
    found = clear(tight)
    theta = found.theta_eur_per_kwh[0, 0]
    assert found.schedule_kw[0, 0] == pytest.approx(4.0, abs=1e-3)
    assert found.congestion_eur_per_kwh[0, 0] == pytest.approx(-(theta - 0.02), abs=1e-3)
    assert clear(free).congestion_eur_per_kwh[0, 0] == 0.0
