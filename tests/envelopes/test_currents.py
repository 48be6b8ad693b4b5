"""Worst corners of currents and tangents of voltages and currents, against brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.corners import corners, current_tangents, voltage_tangents
from peergrid.network.feeder import Floats
from peergrid.network.library import load_feeder
from tests.envelopes.cases import Case, cases, community

LAWS = settings(max_examples=30, deadline=None, derandomize=True)
STEP_KW = 1e-3  # of base_mva in MW


def half_wishes(case: Case, share: float = 0.5) -> Boxes:
    offer = case.offer
    return Boxes.of_extent(offer.extent(share * offer.most))


@given(cases(rated=True, greed=0.6), st.booleans())
@LAWS
def test_voltage_tangents_touch_and_have_the_slope_of_the_power_flow(
    case: Case, upper: bool
) -> None:
    limits, boxes = case.limits, half_wishes(case)
    seen = corners(limits, boxes)
    if not seen.solved.all():
        return
    buses, none = np.arange(1, case.feeder.n_bus), np.arange(0)
    rows = voltage_tangents(limits, seen, *((buses, none) if upper else (none, buses)))
    sign, flow = (1.0, seen.high) if upper else (-1.0, seen.low)
    limit = seen.v_max_pu if upper else seen.v_min_pu
    room = sign * (limit**2 - flow.vm_pu**2)[1:]
    np.testing.assert_allclose(rows.limit - rows.used(boxes.extent), room, atol=1e-9)
    p_kw = boxes.p_max_kw if upper else boxes.p_min_kw
    q_kvar = boxes.q_max_kvar if upper else boxes.q_min_kvar
    step = STEP_KW * 1000.0 * case.feeder.base_mva
    for n in range(min(len(case.at), 3)):
        for coefficients, move in ((rows.a, (step, 0.0)), (rows.b, (0.0, step))):
            ends = []
            for side in (1.0, -1.0):
                p_moved, q_moved = p_kw.copy(), q_kvar.copy()
                p_moved[n] += side * move[0]
                q_moved[n] += side * move[1]
                ends.append(limits.flow(p_moved, q_moved).vm_pu[1:] ** 2)
            slope = sign * (ends[0] - ends[1]) / (2.0 * step)
            tolerance = 1e-4 * np.abs(slope).max() + 1e-9 / step
            np.testing.assert_allclose(coefficients[:, n], slope, atol=tolerance)


@given(cases(rated=True, greed=0.6))
@LAWS
def test_current_gradients_equal_finite_differences(case: Case) -> None:
    limits, boxes = case.limits, half_wishes(case)
    near = corners(limits, boxes).currents
    step = STEP_KW * 1000.0 * case.feeder.base_mva
    for c in range(min(len(near.at), 3)):
        part = limits.only(near.hour[[c]])
        for n in range(min(len(case.at), 3)):
            for gradient, move in ((near.gradient_p, (step, 0.0)), (near.gradient_q, (0.0, step))):
                ends = []
                for side in (1.0, -1.0):
                    p_kw, q_kvar = near.p_kw[[c]].T.copy(), near.q_kvar[[c]].T.copy()
                    p_kw[n] += side * move[0]
                    q_kvar[n] += side * move[1]
                    flow = part.flow(p_kw, q_kvar)
                    ends.append(np.abs(flow.j_pu[near.at[c], 0]) ** 2)
                slope = (ends[0] - ends[1]) / (2.0 * step)
                scale = np.abs(gradient[c]).max() + near.current_pu[c] / (
                    1000.0 * case.feeder.base_mva
                )
                assert gradient[c, n] == pytest.approx(slope, abs=1e-3 * scale)


def worst_of_vertices(case: Case, boxes: Boxes) -> Floats:
    """Largest loading ``(n, T)`` of each branch over all vertices of the boxes."""
    sides = list(
        zip(
            np.vsplit(boxes.p_min_kw, len(case.at)),
            np.vsplit(boxes.p_max_kw, len(case.at)),
            strict=True,
        )
    )
    sides += list(
        zip(
            np.vsplit(boxes.q_min_kvar, len(case.at)),
            np.vsplit(boxes.q_max_kvar, len(case.at)),
            strict=True,
        )
    )
    worst = np.zeros((case.feeder.n_bus, boxes.p_max_kw.shape[1]))
    limits = case.limits
    for choice in product([0, 1], repeat=len(sides)):
        vertex = np.concatenate([pair[k] for pair, k in zip(sides, choice, strict=True)])
        flow = limits.flow(vertex[: len(case.at)], vertex[len(case.at) :])
        worst = np.maximum(worst, flow.loading)
    return worst


def assert_worst_is_found(case: Case, share: float) -> None:
    limits, boxes = case.limits, half_wishes(case, share)
    seen = corners(limits, boxes)
    if not seen.solved.all():
        return
    worst = worst_of_vertices(case, boxes) / limits.loading_max
    found = np.zeros_like(worst)
    near = seen.currents
    np.maximum.at(
        found, (near.at, near.hour), near.loading / limits.loading_max[near.at, near.hour]
    )
    looked = worst[1:] > 1.0
    np.testing.assert_allclose(found[1:][looked], worst[1:][looked], rtol=1e-3)
    assert np.all(found[1:] <= worst[1:] * (1.0 + 1e-6))


@given(st.data(), st.integers(1, 4), st.sampled_from([0.3, 1.0]))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_worst_corner_of_a_current_is_found(data: st.DataObject, count: int, share: float) -> None:
    case = data.draw(cases(rated=True, greed=1.0, count=count, hours=1))
    assert_worst_is_found(case, share)


@pytest.mark.parametrize("name", ["ieee33", "ieee69"])
@pytest.mark.parametrize("seed", [1, 2])
def test_worst_corner_of_a_current_is_found_on_published_feeders(name: str, seed: int) -> None:
    case = community(load_feeder(name), seed, rated=True, greed=0.4, count=4, hours=1)
    assert_worst_is_found(case, 1.0)


@given(cases(rated=True, greed=0.8), st.integers(0, 10**6))
@LAWS
def test_current_tangents_touch_at_their_own_corner(case: Case, seed: int) -> None:
    limits, boxes = case.limits, half_wishes(case)
    seen = corners(limits, boxes)
    if not seen.solved.all():
        return
    rows, near = current_tangents(limits, seen), seen.currents
    counts = np.isfinite(rows.limit)
    assert counts.sum() == len(near.at)
    worst = np.full(limits.hours, -np.inf)
    over = (rows.used(boxes.extent) - rows.limit)[counts]
    np.maximum.at(worst, np.nonzero(counts)[1], over)
    overload = seen.overload(limits.loading_max)
    assert np.all((worst > 1e-12) >= (overload > 1e-6))
