"""Polygons of active and reactive power: safe wherever anybody stands, and wider than boxes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.certify import Certified
from peergrid.envelopes.convex import cut, hull, simpler
from peergrid.envelopes.limits import Limits
from peergrid.envelopes.polygon_corners import taken
from peergrid.envelopes.polygons import CORNERS, CertifiedPolygons, Polygons, drawn_in, polygons
from peergrid.network.feeder import Floats
from peergrid.network.library import load_feeder
from peergrid.study.library import load_case
from peergrid.study.methods import operating
from tests.envelopes.cases import HOURS, Case, cases, community

LAWS = settings(max_examples=25, deadline=None, derandomize=True)
VOLTAGE_PU = 1e-5
LOADING = 1.001
TIGHT_KW = 1e-6  # relative to the size of what is compared
POINTS = 60


@st.composite
def rules(draw: Any) -> dict[str, Any]:
    return {
        "band": draw(st.sampled_from([(0.9, 1.1), (0.95, 1.05), (0.97, 1.03)])),
        "greed": draw(st.sampled_from([0.3, 1.0, 4.0, 15.0])),
        "rated": draw(st.booleans()),
        "rise_pu": draw(st.sampled_from([None, 0.01, 0.03])),
        "sigma": draw(st.sampled_from([0.0, 0.2])),
        "count_on_load": draw(st.booleans()),
    }


def drawn(case: Case, hours: Any = None) -> tuple[Certified[Any], CertifiedPolygons]:
    boxes = case.certified("proportional", hours)
    return boxes, polygons(case.limits, boxes.rows, boxes.boxes, case.most, hours)


def points_of(found: Polygons, limits: Limits, seed: int) -> tuple[Floats, Floats]:
    """All participants at once: random corners, random inner points, and all along one direction.

    ``(N, C T)``, for the hours repeated C times.
    """
    rng, (count, corners, hours) = np.random.default_rng(seed), found.p_kw.shape
    weights = []
    for k in range(POINTS):
        if k % 3 == 0:
            weight = np.eye(corners)[rng.integers(0, corners, (count, hours))].transpose(0, 2, 1)
        elif k % 3 == 1:
            weight = rng.dirichlet(np.full(corners, 0.3), (count, hours)).transpose(0, 2, 1)
        else:
            bus, sign = rng.integers(1, limits.feeder.n_bus), rng.choice([-1.0, 1.0], 2)
            a = sign[0] * limits.model.R[bus, limits.at][:, None, None]
            b = sign[1] * limits.model.X[bus, limits.at][:, None, None]
            best = np.argmax(a * found.p_kw + b * found.q_kvar, axis=1)
            weight = np.eye(corners)[best].transpose(0, 2, 1)
        weights.append(weight)
    chosen = np.concatenate(weights, axis=2)
    repeated = (np.tile(part, (1, 1, POINTS)) for part in (found.p_kw, found.q_kvar))
    p_kw, q_kvar = ((part * chosen).sum(axis=1) for part in repeated)
    return p_kw, q_kvar


def assert_safe(limits: Limits, found: Polygons, seed: int) -> None:
    many = limits.only(np.tile(np.arange(limits.hours), POINTS))
    flow = many.flow(*points_of(found, limits, seed))
    assert flow.converged.all()
    vm = flow.vm_pu[1:]
    outside = np.maximum(vm - many.v_max_pu[1:], many.v_min_pu[1:] - vm)
    assert outside.max() <= VOLTAGE_PU
    assert (flow.loading[1:] / many.loading_max[1:]).max() <= LOADING


def assert_contains(found: Polygons, p_kw: Floats, q_kvar: Floats) -> None:
    a, b, limit = found.planes()
    size = 1.0 + np.abs(found.bounding().extent).max()
    assert (a * p_kw[:, None] + b * q_kvar[:, None] - limit).max() <= TIGHT_KW * size


def assert_convex(found: Polygons) -> None:
    """Counter-clockwise, every corner on the inner side of every edge."""
    for k in range(found.p_kw.shape[1]):
        a, b, limit = (part[:, k : k + 1] for part in found.planes())
        size = 1.0 + np.abs(found.bounding().extent).max()
        assert (a * found.p_kw + b * found.q_kvar - limit).max() <= TIGHT_KW * size


@given(st.data(), rules(), st.integers(0, 10**6))
@LAWS
def test_polygons_are_safe_convex_and_around_the_boxes(
    data: st.DataObject, chosen: dict[str, Any], seed: int
) -> None:
    case = data.draw(cases(**chosen))
    proof, found = drawn(case)
    assert_safe(case.limits, found.polygons, seed)
    assert found.violation_pu.max() <= 2e-6
    assert found.overload.max() <= 6e-4
    assert found.polygons.p_kw.shape == (len(case.at), CORNERS, HOURS)
    assert_convex(found.polygons)
    boxes = proof.boxes
    for p_kw in (boxes.p_max_kw, boxes.p_min_kw):
        for q_kvar in (boxes.q_max_kvar, boxes.q_min_kvar):
            assert_contains(found.polygons, p_kw, q_kvar)
    widest = np.maximum(case.most, boxes.extent)
    assert np.all(found.polygons.bounding().extent <= widest + TIGHT_KW * (1.0 + widest))
    whole = boxes.width_kw() * (boxes.q_max_kvar - boxes.q_min_kvar)
    assert np.all(found.polygons.area() >= whole * (1.0 - TIGHT_KW) - TIGHT_KW)


@given(cases(rated=True, rise_pu=0.02, greed=2.0), st.integers(0, 10**6))
@LAWS
def test_budgets_add_up_to_the_rows(case: Case, seed: int) -> None:
    proof, found = drawn(case)
    used = taken(proof.rows, (found.polygons.p_kw, found.polygons.q_kvar))
    granted = np.maximum(proof.rows.limit, proof.rows.used(proof.boxes.extent))
    reach = proof.rows.used(np.maximum(case.most, proof.boxes.extent))
    assert np.all(used <= granted + 1e-6 * (np.abs(reach) + np.abs(granted)))


@pytest.mark.parametrize("name", ["ieee33", "ieee69"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_published_feeders_are_safe(name: str, seed: int) -> None:
    rules = {"greed": 0.8, "rated": bool(seed % 2), "rise_pu": 0.02, "sigma": 0.1, "count": 8}
    case = community(load_feeder(name), seed, **rules)
    assert_safe(case.limits, drawn(case)[1].polygons, seed)


def test_only_some_hours_are_certified() -> None:
    case = community(load_feeder("ieee33"), 4, greed=0.8, rise_pu=0.02, count=6)
    first = np.array([0])
    some, every = drawn(case, first)[1], drawn(case)[1]
    np.testing.assert_array_equal(np.isnan(some.violation_pu), np.arange(HOURS) > 0)
    area, whole = (found.polygons.area()[:, 0] for found in (some, every))
    np.testing.assert_allclose(area, whole, rtol=0.05)
    assert np.all(some.polygons.area()[:, 1:] > 0.0)


def test_rise_limit_leaves_nearly_twice_the_area_on_69_buses() -> None:
    case = load_case("ieee69")
    proof = operating(case, "proportional")
    found = polygons(case.limits, proof.rows, proof.boxes, case.room.most)
    boxes = proof.boxes
    whole = boxes.width_kw() * (boxes.q_max_kvar - boxes.q_min_kvar)
    assert proof.found.binding.any(axis=0).all()
    assert found.polygons.area().sum() / whole.sum() == pytest.approx(1.88, abs=0.05)
    assert found.share.min() >= 0.9
    assert_safe(case.limits, found.polygons, 1)


# ---- geometry


def random_polygons(seed: int, count: int = 4, hours: int = 2) -> Polygons:
    """Hulls of random points, of which some are segments and points."""
    rng = np.random.default_rng(seed)
    p, q = np.empty((count, 9, hours)), np.empty((count, 9, hours))
    for i in range(count):
        for t in range(hours):
            points = rng.normal(0.0, 50.0, (int(rng.integers(1, 10)), 2))
            own = hull(points)
            own = np.concatenate([own, np.repeat(own[-1:], 9 - len(own), axis=0)])
            p[i, :, t], q[i, :, t] = own.T
    return Polygons(p_kw=p, q_kvar=q)


def is_in(found: Polygons, p_kw: Floats, q_kvar: Floats, slack: float) -> Any:
    """Which points ``(N, T)`` are inside."""
    a, b, limit = found.planes()
    return (a * p_kw[:, None] + b * q_kvar[:, None] - limit <= slack).all(axis=1)


@given(st.integers(0, 10**6))
@LAWS
def test_slices_end_on_the_border(seed: int) -> None:
    found, rng = random_polygons(seed), np.random.default_rng(seed)
    box = found.bounding()
    q = box.q_min_kvar + rng.random(box.q_min_kvar.shape) * (box.q_max_kvar - box.q_min_kvar)
    low, high = found.slice_p(q)
    assert np.all(low <= high + 1e-9)
    for at, step in ((low, -1e-3), (high, 1e-3)):
        assert is_in(found, at, q, 1e-6).all()
        assert not is_in(found, at + step, q, 1e-9).any()
    beyond = found.slice_p(box.q_max_kvar + 10.0)
    np.testing.assert_allclose(beyond, found.slice_p(box.q_max_kvar))


@given(st.integers(0, 10**6), st.sampled_from([0.0, 1.0, 20.0]))
@LAWS
def test_what_is_drawn_in_keeps_exactly_the_margin(seed: int, size: float) -> None:
    found, rng = random_polygons(seed), np.random.default_rng(seed)
    shape = (4 * found.p_kw.shape[0], found.p_kw.shape[2])
    margin = size * rng.random(shape)
    firm = found.p_kw.mean(axis=1), found.q_kvar.mean(axis=1)
    inner = drawn_in(found, margin, firm)
    assert_convex(inner)
    up, down, q_up, q_down = np.split(margin, 4)

    def fits(p: Floats, q: Floats, slack: float) -> Any:
        corners = [(p + dp, q + dq) for dp in (up, -down) for dq in (q_up, -q_down)]
        return np.all([is_in(found, *corner, slack) for corner in corners], axis=0)

    firm_fits = fits(*firm, 0.0)
    for _ in range(30):
        weight = rng.dirichlet(np.full(found.p_kw.shape[1], 0.3), shape[1]).T
        p, q = (found.p_kw * weight).sum(axis=1), (found.q_kvar * weight).sum(axis=1)
        assert np.all(is_in(inner, p, q, 1e-6) | ~fits(p, q, 0.0))
        p, q = (inner.p_kw[:, : len(weight)], inner.q_kvar[:, : len(weight)])
        p, q = (p * weight[: p.shape[1]]).sum(axis=1), (q * weight[: q.shape[1]]).sum(axis=1)
        scale = weight[: inner.p_kw.shape[1]].sum(axis=0)
        assert np.all(fits(p / scale, q / scale, 1e-5) | ~firm_fits)
    assert is_in(inner, *firm, 1e-6).all()


def test_without_room_for_the_margin_what_is_firm_is_left() -> None:
    found = random_polygons(5)
    firm = np.full((4, 2), 3.0), np.full((4, 2), -2.0)
    inner = drawn_in(found, np.full((16, 2), 1e4), firm)
    np.testing.assert_array_equal(inner.p_kw, np.broadcast_to(3.0, inner.p_kw.shape))
    np.testing.assert_array_equal(inner.q_kvar, np.broadcast_to(-2.0, inner.q_kvar.shape))


@given(st.integers(0, 10**6))
@LAWS
def test_a_cut_keeps_what_is_on_the_right_side(seed: int) -> None:
    rng = np.random.default_rng(seed)
    square = np.array([[1.0, -1.0, -1.0, 1.0]]), np.array([[1.0, 1.0, -1.0, -1.0]])
    a, b, limit = rng.normal(size=6), rng.normal(size=6), rng.uniform(-0.3, 1.5, 6)
    inner = square
    for k in range(6):
        inner = cut(inner, (a[k : k + 1], b[k : k + 1]), limit[k : k + 1])
    points = rng.uniform(-1.0, 1.0, (200, 2))
    wanted = np.all(points @ np.stack([a, b]) <= limit, axis=1)
    if np.isnan(inner[0]).any():
        assert not wanted.any()
        return
    found = Polygons(p_kw=inner[0][:, :, None], q_kvar=inner[1][:, :, None])
    a_of, b_of, limit_of = (part[0, :, 0] for part in found.planes())
    inside = np.all(np.outer(points[:, 0], a_of) + np.outer(points[:, 1], b_of) <= limit_of, axis=1)
    np.testing.assert_array_equal(inside, wanted)


def test_a_simpler_polygon_loses_the_least_area() -> None:
    angle = np.linspace(0.0, 2.0 * np.pi, 40, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    found = simpler(circle, 12)
    assert len(found) == 12
    area = Polygons(p_kw=found[None, :, :1], q_kvar=found[None, :, 1:]).area()
    assert area[0, 0] > 0.9 * np.pi


def test_a_polygon_may_be_a_box() -> None:
    box = Boxes.of_extent(np.array([[4.0], [1.0], [2.0], [3.0]]))
    p, q = np.array([4.0, -1.0, -1.0, 4.0]), np.array([2.0, 2.0, -3.0, -3.0])
    found = Polygons(p_kw=p[None, :, None], q_kvar=q[None, :, None])
    np.testing.assert_array_equal(found.bounding().extent, box.extent)
    assert found.area()[0, 0] == pytest.approx(25.0)
    assert [float(side[0, 0]) for side in found.slice_p(np.array([[0.5]]))] == [-1.0, 4.0]
