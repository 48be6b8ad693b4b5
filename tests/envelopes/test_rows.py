"""Rows over boxes: worst points, and pruning that loses nothing."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.rows import Rows, current_rows, linear_rows, voltage_rows
from peergrid.network.feeder import Floats
from peergrid.network.library import load_feeder
from tests.envelopes.cases import Case, cases, community, points

LAWS = settings(max_examples=60, deadline=None, derandomize=True)


def random_rows(rng: np.random.Generator, participants: int, hours: int) -> Rows:
    count = int(rng.integers(1, 6))
    shape = (count, participants, hours)
    return Rows(
        a=rng.normal(size=shape) * (rng.random(shape) < 0.8),
        b=rng.normal(size=shape) * (rng.random(shape) < 0.8),
        limit=rng.normal(size=(count, hours)),
        at=np.ones(count, dtype=np.int64),
        kind=np.full(count, "upper"),
    )


@given(st.integers(0, 10**6))
@LAWS
def test_used_is_the_worst_of_all_vertices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    participants, hours = int(rng.integers(1, 4)), 2
    rows = random_rows(rng, participants, hours)
    low = rng.normal(size=(2 * participants, hours))
    high = low + rng.exponential(size=low.shape)
    half = participants
    boxes = Boxes(
        p_max_kw=high[:half], p_min_kw=low[:half], q_max_kvar=high[half:], q_min_kvar=low[half:]
    )
    worst = np.full(rows.limit.shape, -np.inf)
    for up in product([False, True], repeat=2 * participants):
        vertex = np.where(np.array(up)[:, None], high, low)
        here = np.einsum("jnt,nt->jt", rows.a, vertex[:half])
        here += np.einsum("jnt,nt->jt", rows.b, vertex[half:])
        worst = np.maximum(worst, here)
    np.testing.assert_allclose(rows.used(boxes.extent), worst, atol=1e-12)
    assert np.all(rows.demand >= 0.0)


def all_rows(case: Case) -> Rows:
    return voltage_rows(case.limits).and_(current_rows(case.limits))


@given(cases(rated=True, greed=3.0), st.integers(0, 10**6))
@LAWS
def test_rows_that_were_left_out_are_implied(case: Case, seed: int) -> None:
    """Boxes are drawn in until one of the rows that were kept is just full."""
    kept, rows, most = linear_rows(case.limits, case.most), all_rows(case), case.most
    rng = np.random.default_rng(seed)
    for _ in range(8):
        extent = most * rng.random(most.shape) ** rng.integers(0, 4)
        extent = np.where(rng.random(most.shape) < 0.3, 0.0, extent)
        used = kept.used(extent)
        fits = np.where(used > 0.0, np.maximum(kept.limit, 0.0) / np.maximum(used, 1e-300), 1.0)
        extent = extent * np.minimum(fits.min(axis=0, initial=1.0), 1.0)
        possible = (kept.limit >= 0.0).all(axis=0)
        broken = rows.used(extent) > rows.limit + 1e-9 * np.abs(rows.limit) + 1e-12
        assert not broken[:, possible].any()


@given(cases(rated=True, greed=3.0))
@LAWS
def test_no_row_that_was_kept_can_be_left_out_everywhere(case: Case) -> None:
    kept = linear_rows(case.limits, case.most)
    assert np.all((kept.used(case.most) > kept.limit).any(axis=1))


@given(cases(rated=False, shunts=False, greed=0.1), st.integers(0, 10**6))
@LAWS
def test_linear_rows_are_exact_for_the_linear_model(case: Case, seed: int) -> None:
    limits = case.limits
    rows = voltage_rows(limits)
    nothing = np.zeros_like(case.wishes.load_kw)
    base = limits.model.voltage_sq(*limits.injections(nothing, nothing))[1:]
    for p_kw, q_kvar in points(Boxes.of_extent(case.most), seed, 2):
        moved = limits.model.voltage_sq(*limits.injections(p_kw, q_kvar))[1:] - base
        change = np.einsum("jnt,nt->jt", rows.a, p_kw) + np.einsum("jnt,nt->jt", rows.b, q_kvar)
        np.testing.assert_allclose(change, np.concatenate([moved, -moved]), atol=1e-12)


@pytest.mark.parametrize("name", ["ieee33", "ieee69"])
def test_few_rows_remain_on_published_feeders(name: str) -> None:
    case = community(load_feeder(name), 4, greed=1.0, rated=True, count=6)
    rows = linear_rows(case.limits, case.most)
    assert 0 < len(rows.at) <= 40
    assert len(rows.at) < 0.1 * len(all_rows(case).at)


def test_some_hours_can_be_left_out() -> None:
    rows = random_rows(np.random.default_rng(1), 2, 3)
    extent: Floats = np.full((8, 3), 1e9)
    cut = rows.without(np.array([0, 2]))
    assert np.isinf(cut.limit[:, [0, 2]]).all()
    np.testing.assert_array_equal(cut.limit[:, 1], rows.limit[:, 1])
    np.testing.assert_array_equal(cut.used(extent), rows.used(extent))
