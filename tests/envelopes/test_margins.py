"""Laws of margins, from standard deviations and from past errors."""

import json
import math
from dataclasses import asdict
from random import Random
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.envelopes.calibration import Calibration, conformal, is_enough, rank, record
from peergrid.envelopes.margins import (
    Floats,
    Margins,
    gaussian,
    row_sigma,
    side_confidence,
    sides_entering,
)
from peergrid.errors import DataError

LAWS = settings(max_examples=100, deadline=None, derandomize=True)
CONFIDENCES = st.floats(0.5, 0.999)
ERRORS = st.lists(st.floats(-1e6, 1e6), max_size=80)
SIGMAS = st.lists(st.floats(0.0, 1e4), min_size=1, max_size=6).map(np.array)


def recorded(errors: list[float], keep: int = 2000) -> Calibration:
    return record(Calibration(keep=keep), np.array(errors), np.ones(len(errors)))


# ---- gaussian


@given(SIGMAS, CONFIDENCES, CONFIDENCES)
@LAWS
def test_gaussian_margins_grow_with_confidence_and_sigma(
    sigma_kw: Floats, first: float, second: float
) -> None:
    low, high = sorted((first, second))
    narrow, wide = gaussian(sigma_kw, low), gaussian(sigma_kw, high)
    assert np.all(narrow >= 0.0)
    assert np.all(narrow <= wide)
    assert np.all(narrow <= gaussian(sigma_kw + 1.0, low))
    assert not narrow[sigma_kw == 0.0].any()


@given(CONFIDENCES)
@LAWS
def test_a_normal_error_stays_inside_its_margin_as_often_as_promised(confidence: float) -> None:
    margin = float(gaussian(np.array(3.0), confidence))
    assert NormalDist(sigma=3.0).cdf(margin) == pytest.approx(confidence, abs=1e-12)


@pytest.mark.parametrize("confidence", [0.49, 1.0, -1.0, math.nan])
def test_confidences_that_promise_nothing_are_refused(confidence: float) -> None:
    with pytest.raises(DataError, match="confidence"):
        gaussian(np.ones(1), confidence)
    with pytest.raises(DataError, match="confidence"):
        side_confidence(confidence, 3)


@pytest.mark.parametrize("wrong", [np.full((2, 3), -1.0), np.full((2, 3), np.nan), np.ones((2, 1))])
def test_margins_are_finite_not_negative_and_of_one_shape(wrong: Floats) -> None:
    zero = np.zeros((2, 3))
    with pytest.raises(DataError, match="q_down_kvar"):
        Margins(p_up_kw=zero, p_down_kw=zero, q_up_kvar=zero, q_down_kvar=wrong)


# ---- a promise about the whole network


@given(CONFIDENCES, st.integers(1, 500))
@LAWS
def test_the_sides_share_the_allowance(confidence: float, sides: int) -> None:
    one = side_confidence(confidence, sides)
    assert sides * (1.0 - one) == pytest.approx(1.0 - confidence, abs=1e-10)
    assert confidence <= one < side_confidence(confidence, sides + 1) < 1.0


def test_a_promise_needs_a_side() -> None:
    with pytest.raises(DataError, match="sides"):
        side_confidence(0.95, 0)


@given(st.integers(0, 10**6), st.booleans())
@LAWS
def test_a_side_enters_if_moving_it_changes_a_row(seed: int, hourly: bool) -> None:
    """Brute force: move one side of one box at a time, and look at the rows' worst points."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 6))
    shape = (int(rng.integers(1, 5)), 2 * count, 3 if hourly else 1)
    rows = rng.normal(size=shape) * (rng.random(shape) < 0.3)  # active, then reactive

    def worst(high: Floats, low: Floats) -> Floats:
        bounds = np.where(rows > 0.0, high[:, None], low[:, None])
        return np.asarray((rows * bounds).sum(axis=1))

    one = np.ones(2 * count)
    before, moved = worst(one, -one), []
    for further in np.eye(2 * count):
        after = worst(one + further, -one), worst(one, -one - further)
        moved.append([np.any(side != before) for side in after])
    sides = np.array(moved).reshape(2, count, 2)
    a, b = (part if hourly else part[:, :, 0] for part in np.split(rows, 2, axis=1))
    assert sides_entering(a, b) == sides.any(axis=0).sum()
    assert sides_entering(a, b, q_follows_p=False) == sides.sum()


# ---- the operator's own loads


def test_row_sigma_is_what_random_loads_give() -> None:
    rng = np.random.default_rng(1)
    buses, rows, hours, draws = 12, 4, 3, 40_000
    load = rng.uniform(0.0, 50.0, (buses, hours)), rng.uniform(-10.0, 20.0, (buses, hours))
    slope = rng.normal(size=(rows, buses)), rng.normal(size=(rows, buses))
    each, common = 0.05, 0.02
    own, shared = rng.normal(size=(draws, buses, 1)), rng.normal(size=(draws, 1, 1))
    factor = each * own + common * shared
    realised = slope[0] @ (factor * load[0]) + slope[1] @ (factor * load[1])
    expected = row_sigma(load, slope, each=each, common=common)
    assert expected.shape == (rows, hours)
    # The relative standard error of a standard deviation is 1 / sqrt(2 draws).
    np.testing.assert_allclose(expected, realised.std(axis=0), rtol=5.0 / math.sqrt(2.0 * draws))


@given(st.integers(0, 10**6), st.floats(0.0, 0.5), st.floats(0.0, 0.5))
@LAWS
def test_row_sigma_is_the_sum_over_buses(seed: int, each: float, common: float) -> None:
    rng = np.random.default_rng(seed)
    load = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
    slope = rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
    found = row_sigma(load, slope, each=each, common=common)
    for j in range(3):
        for t in range(2):
            w = slope[0][j] * load[0][:, t] + slope[1][j] * load[1][:, t]
            variance = each**2 * (w**2).sum() + (common * w.sum()) ** 2
            assert found[j, t] == pytest.approx(math.sqrt(variance), rel=1e-6, abs=1e-9)


def test_row_sigma_of_loads_that_a_row_cannot_see_is_zero() -> None:
    """Active and reactive parts cancel; rounding must not leave a root of less than nothing."""
    slope_p, slope_q, load_kw = np.random.default_rng(3).uniform(0.1, 1.0, (3, 200, 1))
    load = load_kw.T, -(slope_p * load_kw / slope_q).T
    found = row_sigma(load, (slope_p, slope_q), each=1.0, common=1.0)
    np.testing.assert_allclose(np.diag(found), 0.0, atol=1e-7)


# ---- past errors


@given(ERRORS, st.randoms(use_true_random=False), SIGMAS, CONFIDENCES)
@LAWS
def test_the_order_of_errors_does_not_matter_within_the_window(
    errors: list[float], random: Random, sigma_kw: Floats, confidence: float
) -> None:
    shuffled = list(errors)
    random.shuffle(shuffled)
    first, second = recorded(errors), recorded(shuffled)
    assert sorted(first.errors) == sorted(second.errors)
    for one, other in zip(
        conformal(first, sigma_kw, confidence), conformal(second, sigma_kw, confidence), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@given(ERRORS, st.integers(1, 50), st.integers(0, 80))
@LAWS
def test_only_the_newest_errors_are_kept(errors: list[float], keep: int, cut: int) -> None:
    at_once = recorded(errors, keep)
    assert at_once.errors == tuple(errors[-keep:])
    earlier = recorded(errors[:cut], keep)
    later = np.array(errors[cut:])
    assert record(earlier, later, np.ones(len(later))) == at_once


def test_hours_are_recorded_one_after_the_other() -> None:
    errors = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    last = record(Calibration(keep=4), errors, np.ones((2, 3)))
    assert last.errors == (2.0, 20.0, 3.0, 30.0)


@given(ERRORS)
@LAWS
def test_what_says_nothing_is_ignored(errors: list[float]) -> None:
    nothing = np.array([np.nan, 1.0, 1.0, np.inf, 1.0, 1.0, 1.0, 1e300])
    sigma = np.array([1.0, 0.0, np.nan, 1.0, -1.0, np.inf, 0.0, 1e-300])
    before = recorded(errors)
    assert record(before, nothing, sigma) == before


@given(ERRORS, SIGMAS, CONFIDENCES, CONFIDENCES)
@LAWS
def test_conformal_margins_grow_with_confidence_and_sigma(
    errors: list[float], sigma_kw: Floats, first: float, second: float
) -> None:
    calibration = recorded(errors)
    low, high = sorted((first, second))
    for narrow, larger, wide in zip(
        conformal(calibration, sigma_kw, low),
        conformal(calibration, 2.0 * sigma_kw, low),
        conformal(calibration, sigma_kw, high),
        strict=True,
    ):
        assert np.all(narrow >= 0.0)
        assert np.all(narrow <= larger)
        if is_enough(len(errors), low) == is_enough(len(errors), high):
            assert np.all(narrow <= wide)


@given(ERRORS, CONFIDENCES)
@LAWS
def test_up_is_down_of_the_negated_errors(errors: list[float], confidence: float) -> None:
    sigma = np.ones((1, 1))
    up, down = conformal(recorded(errors), sigma, confidence)
    mirrored_up, mirrored_down = conformal(recorded([-e for e in errors]), sigma, confidence)
    np.testing.assert_array_equal(up, mirrored_down)
    np.testing.assert_array_equal(down, mirrored_up)


@given(st.lists(st.floats(0.0, 1e6), min_size=20, max_size=80), st.floats(0.5, 0.95))
@LAWS
def test_the_margin_covers_its_share_of_past_errors(errors: list[float], confidence: float) -> None:
    up, down = conformal(recorded(errors), np.ones(1), confidence)
    assert np.sum(np.array(errors) <= up) >= confidence * (len(errors) + 1) - 1e-6
    assert up in errors
    assert down == 0.0


@pytest.mark.parametrize(
    "confidence", [0.5, 0.8, 0.9, 0.95, 0.99, 0.995, side_confidence(0.95, 10)]
)
def test_few_errors_fall_back_to_a_normal_distribution(confidence: float) -> None:
    least = round(confidence / (1.0 - confidence))
    assert is_enough(least, confidence)
    assert rank(least, confidence) == least
    assert not is_enough(least - 1, confidence)
    sigma = np.full((2, 2), 7.0)
    for margin in conformal(recorded([100.0] * (least - 1)), sigma, confidence):
        np.testing.assert_array_equal(margin, gaussian(sigma, confidence))
    assert np.all(conformal(recorded([100.0] * least), sigma, confidence)[0] == 700.0)


def test_ranks_do_not_depend_on_rounding() -> None:
    assert 100 * 0.55 > 55.0
    assert rank(99, 0.55) == 55


def test_a_calibration_survives_a_file() -> None:
    calibration = recorded([1.5, -0.25, 3.0], keep=7)
    read = json.loads(json.dumps(asdict(calibration)))
    assert Calibration(errors=tuple(read["errors"]), keep=read["keep"]) == calibration


def test_a_calibration_keeps_something() -> None:
    with pytest.raises(DataError, match="keep"):
        Calibration(keep=0)
