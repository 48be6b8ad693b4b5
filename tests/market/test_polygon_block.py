"""Envelopes over active and reactive power together: projection, clearing, prices, refusals."""

from dataclasses import replace
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.envelopes.convex import hull
from peergrid.envelopes.polygons import drawn_in, polygons
from peergrid.errors import DataError
from peergrid.market import Problem, clear
from peergrid.market.admm import Settings, Status
from peergrid.market.blocks.polygon import EnvelopePolygons
from peergrid.market.problem import Floats, Grid
from peergrid.market.trading import PqLimits
from peergrid.network.library import load_feeder
from peergrid.operator.negotiate import inside
from peergrid.study.library import load_case
from peergrid.study.methods import operating
from tests.market.test_goods import STEPS, market

LAWS = settings(max_examples=25, deadline=None, derandomize=True)
TIGHT = Settings(max_iterations=6000).tightened(1e-6)
CORNERS = 9


def corners(rng: np.random.Generator, around: Floats, least: int) -> Floats:
    """A random polygon ``(CORNERS, 2)`` around a point; a segment or a point if ``least`` is 0."""
    points = around + rng.normal(0.0, 30.0, (int(rng.integers(least, CORNERS)), 2))
    own = hull(np.concatenate([points, around[None]]))
    return np.concatenate([own, np.repeat(own[-1:], CORNERS - len(own), axis=0)])


def limits_around(centre: tuple[Floats, Floats], seed: int, least: int = 0) -> PqLimits:
    """Random polygons around injections ``(N, T)``."""
    rng = np.random.default_rng(seed)
    shape = centre[0].shape
    found = np.empty((shape[0], CORNERS, shape[1], 2))
    for i, t in np.ndindex(*shape):
        found[i, :, t] = corners(rng, np.array([centre[0][i, t], centre[1][i, t]]), least)
    return PqLimits(p_kw=found[..., 0], q_kvar=found[..., 1])


def block_of(limits: PqLimits) -> EnvelopePolygons:
    count, _, hours = limits.p_kw.shape
    return EnvelopePolygons(
        rows=np.eye(2 * count),
        offset_kw=np.zeros((2 * count, hours)),
        corners_kw=limits.p_kw,
        corners_kvar=limits.q_kvar,
        size_kw=np.ones(2 * count),
        participant=np.arange(count),
    )


def elsewhere(seed: int, **kinds: Any) -> tuple[Problem, tuple[Floats, Floats]]:
    """A random community, and where it would be at other prices."""
    problem = market(seed, **kinds)
    prices = problem.price_import_eur_per_kwh
    other = replace(problem, price_import_eur_per_kwh=prices.max() + prices.min() - prices)
    known = clear(other, method="central")
    return problem, (known.position_kw, known.position_kvar)


def limited(seed: int, **kinds: Any) -> Problem:
    """A random community inside polygons around where it would be at other prices."""
    problem, centre = elsewhere(seed, **kinds)
    return replace(problem, polygons=limits_around(centre, seed, least=3))


# ---- projection


@given(st.integers(0, 10**6))
@LAWS
def test_the_nearest_point_is_that_of_a_general_solver(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centre = rng.normal(0.0, 30.0, (2, 3, 2))
    limits = limits_around((centre[0], centre[1]), seed)
    block, target = block_of(limits), rng.normal(0.0, 60.0, (6, 2))
    found = block.propose(target, np.ones(6))
    for i, t in np.ndindex(3, 2):
        own = np.stack([limits.p_kw[i, :, t], limits.q_kvar[i, :, t]])
        asked = target[[i, 3 + i], t]
        weights = cp.Variable(CORNERS, nonneg=True)
        away = cp.sum_squares(own @ weights - asked)
        cp.Problem(cp.Minimize(away), [cp.sum(weights) == 1.0]).solve(solver="CLARABEL")
        np.testing.assert_allclose(found[[i, 3 + i], t], own @ weights.value, atol=2e-3)
    assert block.violation_kw(found) <= 1e-9
    assert block.violation_kw(target) == pytest.approx(
        np.hypot(*np.split(target - found, 2)).max(), abs=1e-9
    )
    again = block.propose(found, np.ones(6))
    np.testing.assert_allclose(again, found, atol=1e-9)


@given(st.integers(0, 10**6))
@LAWS
def test_points_inside_stay_where_they_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    limits = limits_around((np.zeros((4, 3)), np.zeros((4, 3))), seed)
    weight = rng.dirichlet(np.full(CORNERS, 0.5), (4, 3)).transpose(0, 2, 1)
    point = np.concatenate(
        [(limits.p_kw * weight).sum(axis=1), (limits.q_kvar * weight).sum(axis=1)]
    )
    found = block_of(limits).propose(point, np.ones(8))
    np.testing.assert_allclose(found, point, atol=1e-9)


@given(st.integers(0, 10**6))
@LAWS
def test_the_support_is_the_least_over_the_polygons(seed: int) -> None:
    rng = np.random.default_rng(seed)
    block = block_of(limits_around((np.zeros((2, 3)), np.zeros((2, 3))), seed))
    price = rng.normal(size=(4, 3))
    far = block.propose(1e6 * price, np.ones(4))
    assert block.support(price) == pytest.approx(float(-(price * far).sum()), abs=1e-3)


# ---- clearing


def assert_optimal(problem: Problem) -> None:
    found, known = clear(problem, TIGHT), clear(problem, method="central")
    scale = max(abs(known.objective_eur), 1.0)
    assert found.status is Status.CONVERGED
    assert abs(found.objective_eur - known.objective_eur) <= 1e-5 * scale
    assert found.lower_bound_eur <= known.objective_eur + 1e-5 * scale
    assert found.lower_bound_eur >= known.objective_eur - 1e-5 * scale
    assert found.box_violation_kw <= 0.01
    limits = problem.polygons
    assert limits is not None
    position = np.concatenate([known.position_kw, known.position_kvar])
    assert block_of(limits).violation_kw(position) <= 1e-4


@given(st.integers(0, 10**6))
@LAWS
def test_decentral_equals_central(seed: int) -> None:
    assert_optimal(limited(seed))


@given(st.integers(0, 10**6))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_decentral_equals_central_where_trades_are_free(seed: int) -> None:
    assert_optimal(limited(seed, fees=False))


@given(st.integers(0, 10**6))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_polygons_that_are_boxes_are_boxes(seed: int) -> None:
    problem, (p_kw, q_kvar) = elsewhere(seed)
    trade = problem.reactive
    assert trade is not None
    low, high = p_kw - 15.0, p_kw + 10.0
    q_low, q_high = q_kvar - 4.0, q_kvar + 3.0
    boxed = replace(
        problem,
        box_min_kw=low,
        box_max_kw=high,
        reactive=replace(trade, box_min_kvar=q_low, box_max_kvar=q_high),
    )
    pq = PqLimits(
        p_kw=np.stack([high, low, low, high], axis=1),
        q_kvar=np.stack([q_high, q_high, q_low, q_low], axis=1),
    )
    box, polygon = (clear(p, method="central") for p in (boxed, replace(problem, polygons=pq)))
    assert polygon.objective_eur == pytest.approx(box.objective_eur, rel=1e-6, abs=1e-5)
    assert_optimal(replace(problem, polygons=pq))


@given(st.integers(0, 10**6))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_congestion_prices_are_normal_to_the_polygon(seed: int) -> None:
    """With free trades in one pool, whoever stands inside its polygon pays no congestion."""
    problem = limited(seed, fees=False)
    found, limits = clear(problem, TIGHT), problem.polygons
    assert limits is not None
    block = block_of(limits)
    a, b, limit = block.planes
    room = limit - a * found.position_kw[:, None] - b * found.position_kvar[:, None]
    free = np.where(np.hypot(a, b) > 0.0, room, np.inf).min(axis=1) > 0.5
    assert np.abs(found.congestion_eur_per_kwh[free]).max(initial=0.0) <= 1e-4


def test_polygons_cost_no_more_than_the_boxes_they_are_around() -> None:
    case = load_case("ieee69")
    proof = operating(case, "proportional")
    found = polygons(case.limits, proof.rows, proof.boxes, case.room.most)
    own = drawn_in(found.polygons, case.margin, case.firm)
    problem = replace(case.problem, polygons=PqLimits(p_kw=own.p_kw, q_kvar=own.q_kvar))
    boxed = clear(inside(case.problem, proof.boxes, case.room), TIGHT)
    free, wide = clear(case.problem, TIGHT), clear(problem, TIGHT)
    assert_optimal(problem)
    assert free.objective_eur <= wide.objective_eur + 0.01
    assert wide.objective_eur <= boxed.objective_eur - 5.0
    flow = case.limits.flow(wide.position_kw, wide.position_kvar)
    assert np.all(flow.vm_pu[1:] <= case.limits.v_max_pu[1:] + 1e-5)
    assert np.all(flow.vm_pu[1:] >= case.limits.v_min_pu[1:] - 1e-5)


def test_no_network_means_no_polygons() -> None:
    problem = limited(3)
    free = clear(replace(problem, polygons=None), TIGHT, network="none")
    assert clear(problem, TIGHT, network="none").objective_eur == free.objective_eur


# ---- refusals


def refused(problem: Problem, network: Any = "envelope") -> str:
    with pytest.raises(DataError) as error:
        clear(problem, network=network)
    return str(error.value)


def test_polygons_are_refused_without_reactive_trade() -> None:
    assert "polygons" in refused(replace(limited(1), reactive=None))


def test_polygons_are_refused_with_a_grid() -> None:
    problem = replace(limited(1), fee_eur_per_kwh=None)
    count = len(problem.pool)
    at = np.arange(1, count + 1)
    grid = Grid.of(load_feeder("ieee33"), at, np.zeros((count, STEPS)))
    assert "polygons" in refused(replace(problem, grid=grid, reactive=None), "ac")


def test_polygons_are_refused_that_are_clockwise_dented_or_unknown() -> None:
    problem = limited(1)
    shape = (len(problem.pool), 4, STEPS)

    def made(p: list[float], q: list[float]) -> Problem:
        parts = (np.broadcast_to(np.array(v)[None, :, None], shape) for v in (p, q))
        return replace(
            problem, polygons=PqLimits(**dict(zip(("p_kw", "q_kvar"), parts, strict=True)))
        )

    far = [90.0, -90.0, -90.0, 90.0]
    clear(made(far, [90.0, 90.0, -90.0, -90.0]))
    assert "convex" in refused(made(far, [-90.0, -90.0, 90.0, 90.0]))
    assert "convex" in refused(made([90.0, 0.0, -90.0, 0.0], [90.0, 10.0, 90.0, -90.0]))
    assert "NaN" in refused(made([np.nan, *far[1:]], far))
    wrong = PqLimits(p_kw=np.zeros((1, 4, 1)), q_kvar=np.zeros((1, 4, 1)))
    assert "shape" in refused(replace(problem, polygons=wrong))
