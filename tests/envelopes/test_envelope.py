"""Static envelopes, and what corrections and the rise limit do to the limits of envelopes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.envelopes.boxes import Boxes, Wishes
from peergrid.envelopes.envelope import agreed_in_two_stages, dynamic, static
from peergrid.envelopes.feedback import Correction, load_scale
from peergrid.envelopes.limits import Network, limits_of
from peergrid.network.library import load_feeder
from peergrid.network.linear import lindistflow
from tests.envelopes.cases import HOURS, Case, cases, points

LAWS = settings(max_examples=30, deadline=None, derandomize=True)
FEEDER = load_feeder("ieee33").with_slack(1.04)


@given(cases(rated=True, greed=3.0), st.integers(0, 10**6))
@LAWS
def test_a_static_box_is_safe_in_every_hour_of_its_loads(case: Case, seed: int) -> None:
    """No load at all, and the greatest load of each: the box holds for both, and in between."""
    found = static(case.limits, case.wishes)
    boxes = found.boxes
    for name in ("p_max_kw", "p_min_kw", "q_max_kvar", "q_min_kvar"):
        values = getattr(boxes, name)
        np.testing.assert_array_equal(values, np.repeat(values[:, :1], HOURS, axis=1))
    limits = case.limits
    granted = Boxes.of_extent(np.maximum(boxes.extent, limits.least.extent))
    assert (boxes.p_min_kw <= limits.least.p_min_kw + 1e-9).all()
    for p_kw, q_kvar in points(granted, seed, 20):
        vm = limits.flow(p_kw, q_kvar).vm_pu[1:]
        assert (vm <= np.maximum(limits.v_max_pu[1:], case.network.v_max_pu) + 1e-3).all()


def published(rise_pu: float | None = None) -> tuple[Network, Wishes, tuple[np.ndarray, ...]]:
    """Six connection points with sun and storage on the 33-bus feeder."""
    network = Network(
        feeder=FEEDER, model=lindistflow(FEEDER), v_min_pu=0.95, v_max_pu=1.05, rise_pu=rise_pu
    )
    ones = np.ones((6, HOURS))
    wishes = Wishes(
        load_kw=60.0 * ones,
        load_kvar=20.0 * ones,
        margin_kw=10.0 * ones,
        export_kw=900.0 * ones,
        import_kw=600.0 * ones,
    )
    nothing = np.zeros((FEEDER.n_bus, HOURS))
    at = np.array([FEEDER.index_of(bus) for bus in (6, 14, 18, 22, 25, 33)])
    return network, wishes, (at, nothing)


def envelope_width(correction: Correction | None = None, rise_pu: float | None = None) -> float:
    network, wishes, (at, nothing) = published(rise_pu)
    narrow = None
    if correction is not None:
        narrow = (correction.narrow_lower_pu, correction.narrow_upper_pu)
    limits = limits_of(network, at, wishes.firm(), (nothing, nothing), narrow_pu=narrow)
    return float(dynamic(limits, wishes.offer(count_on_load=False)).boxes.width_kw().sum())


def test_a_static_box_is_narrower_than_dynamic_ones() -> None:
    network, wishes, (at, nothing) = published()
    limits = limits_of(network, at, wishes.firm(), (nothing, nothing))
    fixed = static(limits, wishes).boxes.width_kw()
    moving = dynamic(limits, wishes.offer(count_on_load=True)).boxes.width_kw()
    assert (fixed <= moving + 1e-6).all()
    assert fixed.sum() < moving.sum()


@pytest.mark.parametrize("side", ["narrow_upper_pu", "narrow_lower_pu"])
def test_narrowing_shrinks(side: str) -> None:
    trusting = Correction.none(FEEDER.n_bus)
    doubtful = replace(trusting, **{side: np.full(FEEDER.n_bus, 0.005)})
    assert envelope_width(doubtful) < envelope_width(trusting)


def test_a_limit_on_the_rise_shrinks_and_is_named() -> None:
    assert envelope_width(rise_pu=0.003) < envelope_width()
    network, wishes, (at, nothing) = published(0.003)
    limits = limits_of(network, at, wishes.firm(), (nothing, nothing))
    found = dynamic(limits, wishes.offer(count_on_load=False))
    assert (found.bound_voltages(0) == 2.0).any()
    high = limits.flow(found.boxes.p_max_kw, found.boxes.q_max_kvar).vm_pu
    base = limits.base.vm_pu
    assert (high - base)[1:].max() <= 0.003 + 1e-5
    assert (high - base)[1:].max() >= 0.003 - 1e-4


def test_desired_intervals_are_met_where_there_is_room() -> None:
    network, wishes, (at, nothing) = published()
    limits = limits_of(network, at, wishes.firm(), (nothing, nothing))
    offer = wishes.offer(count_on_load=False)
    modest = offer.base + 0.05 * offer.width
    found = agreed_in_two_stages(limits, modest, offer)
    assert (found.boxes.extent >= modest - 1e-6).all()
    assert found.violation_pu.max() <= 1e-5


@given(
    st.floats(0.5, 2.0),
    st.floats(-1e4, 1e4) | st.just(float("nan")),
    st.floats(-10.0, 1e4),
)
@LAWS
def test_load_scale_moves_towards_the_measurement_within_bounds(
    before: float, measured_kw: float, expected_kw: float
) -> None:
    after = load_scale(before, measured_kw, expected_kw)
    assert 0.5 <= after <= 2.0
    if np.isnan(measured_kw) or expected_kw <= 0.0:
        assert after == before
        return
    goal = min(max(measured_kw / expected_kw, 0.5), 2.0)
    assert abs(after - goal) <= abs(before - goal)


def test_load_scale_fades_over_the_horizon() -> None:
    scale = replace(Correction.none(3), load_scale=1.5).scale_of(24)
    assert scale[0] == 1.5
    assert np.all(np.diff(scale) < 0.0)
    assert scale[-1] > 1.0
