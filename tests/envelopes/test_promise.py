"""Promises are kept: breaches where a box binds are as many as promised, neither more nor fewer."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from peergrid.envelopes.boxes import Boxes
from peergrid.envelopes.calibration import Calibration, conformal, is_enough, record
from peergrid.envelopes.margins import Floats, Margins, gaussian, side_confidence, sides_entering
from peergrid.envelopes.promise import Promise, binding_sides, breach_rate, interval, summarise
from peergrid.errors import DataError

LAWS = settings(max_examples=60, deadline=None, derandomize=True)
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]
SHAPE = (5, 8)  # participants, hours
DRAWS = 2000
ETAS = [0.8, 0.9, 0.95, 0.99]
CORRELATED = 0.5


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return rng.normal(size=shape)


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Lognormal about its mean: skewness 3.7, seven times as far up as down."""
    return rng.lognormal(sigma=0.8, size=shape) - float(np.exp(0.32))


def heavy(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Student's t with three degrees of freedom: no finite fourth moment."""
    return rng.standard_t(3, shape)


def together(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Normal errors, correlated between the participants (second axis) of a draw and hour."""
    own, common = rng.normal(size=shape), rng.normal(size=(shape[0], 1, *shape[2:]))
    return np.asarray(np.sqrt(1.0 - CORRELATED) * own + np.sqrt(CORRELATED) * common)


def margins(up: Floats, down: Floats) -> Margins:
    return Margins(p_up_kw=up, p_down_kw=down, q_up_kvar=0.4 * up, q_down_kvar=0.4 * down)


def boxes(lower: Floats, upper: Floats) -> Boxes:
    return Boxes(p_min_kw=lower, p_max_kw=upper, q_min_kvar=0.4 * lower, q_max_kvar=0.4 * upper)


def observed(
    draw: Draw, found: Margins, sigma: Floats, confidence: float, seed: int, n: int | None = None
) -> Promise:
    """Schedules that touch the upper side in even hours, the lower one in odd hours."""
    rng = np.random.default_rng(seed)
    even = np.arange(sigma.shape[1]) % 2 == 0
    lower, upper = -found.p_down_kw - 500.0, found.p_up_kw + 500.0
    position = np.where(even, upper - found.p_up_kw, lower + found.p_down_kw)
    box = boxes(lower, upper)
    rates = breach_rate(position + sigma * draw(rng, (DRAWS, *sigma.shape)), lower, upper)
    binding = binding_sides(position, found, box, 1e-6)
    assert np.all(binding[:, :, 0] == even)
    assert np.all(binding[:, :, 1] == ~even)
    return summarise(rates, binding, confidence, DRAWS, n)


# ---- promises that are kept


@pytest.mark.parametrize("confidence", ETAS)
@pytest.mark.parametrize("draw", [normal, together])
def test_normal_errors_breach_gaussian_margins_as_promised(draw: Draw, confidence: float) -> None:
    """Also if the communities err together: the rate of a side does not know of the others."""
    sigma = np.random.default_rng(0).uniform(5.0, 50.0, SHAPE)
    up = gaussian(sigma, confidence)
    promise = observed(draw, margins(up, up), sigma, confidence, seed=1)
    assert promise.is_inside
    assert promise.binding == sigma.size
    assert promise.mean == pytest.approx(1.0 - confidence, rel=0.15)
    assert promise.worst_other <= promise.high


@pytest.mark.parametrize("confidence", ETAS)
@pytest.mark.parametrize("count", [200, 1000])
@pytest.mark.parametrize("draw", [normal, skewed, heavy])
def test_errors_of_any_distribution_breach_conformal_margins_as_promised(
    draw: Draw, count: int, confidence: float
) -> None:
    assert is_enough(count, confidence)
    rng = np.random.default_rng([count, 2])
    sigma = rng.uniform(5.0, 50.0, SHAPE)
    past = rng.uniform(5.0, 50.0, (5, count // 5))
    calibration = record(Calibration(), past * draw(rng, past.shape), past)
    found = margins(*conformal(calibration, sigma, confidence))
    promise = observed(draw, found, sigma, confidence, seed=3, n=count)
    assert promise.is_inside, promise


@pytest.mark.parametrize("draw", [skewed, heavy])
def test_calibrations_keep_the_promise_on_average(draw: Draw) -> None:
    """Over calibrations the rate is 1 - k / (n + 1), just under the promise of 0.1."""
    rng = np.random.default_rng(4)
    rates = []
    for _ in range(300):
        calibration = record(Calibration(), draw(rng, (1, 100)), np.ones((1, 100)))
        up, down = conformal(calibration, np.ones((1, 1)), 0.9)
        rates.append(breach_rate(draw(rng, (200, 1, 1)), -down, up).ravel())
    rate, error = np.mean(rates), np.std(rates) / np.sqrt(len(rates))
    assert abs(rate - (1.0 - 91.0 / 101.0)) < 4.0 * error


def test_a_growing_record_keeps_the_promise_hour_by_hour() -> None:
    """Each hour's margin comes from the hours before; the record starts with just enough."""
    confidence, hours, start = 0.9, 1500, 9
    rng = np.random.default_rng(5)
    sigma = rng.uniform(1.0, 9.0, hours + start)
    errors = sigma * skewed(rng, sigma.shape)
    calibration = record(Calibration(), errors[:start], sigma[:start])
    above = below = 0
    for t in range(start, start + hours):
        now = slice(t, t + 1)
        up, down = conformal(calibration, sigma[now], confidence)
        above += int(errors[t] > up[0])
        below += int(errors[t] < -down[0])
        calibration = record(calibration, errors[now], sigma[now])
    low, high = interval(confidence, hours, sides=2)
    assert low <= above / hours <= high
    assert low <= below / hours <= high


# ---- promises that are broken are noticed


def test_a_standard_deviation_a_fifth_too_small_breaks_the_promise() -> None:
    sigma = np.full(SHAPE, 10.0)
    up = gaussian(0.8 * sigma, 0.95)
    promise = observed(normal, margins(up, up), sigma, 0.95, seed=6)
    assert not promise.is_kept
    assert not promise.is_inside


def test_a_standard_deviation_a_fifth_too_large_is_kept_but_too_wide() -> None:
    sigma = np.full(SHAPE, 10.0)
    up = gaussian(1.2 * sigma, 0.95)
    promise = observed(normal, margins(up, up), sigma, 0.95, seed=7)
    assert promise.is_kept
    assert not promise.is_inside


@pytest.mark.parametrize(("draw", "confidence"), [(skewed, 0.99), (heavy, 0.99)])
def test_gaussian_margins_do_not_keep_promises_about_other_errors(
    draw: Draw, confidence: float
) -> None:
    spread = float(draw(np.random.default_rng(8), (10**6,)).std())
    sigma = np.full(SHAPE, 10.0)
    up = gaussian(sigma * spread, confidence)
    assert not observed(draw, margins(up, up), sigma, confidence, seed=9).is_kept


def test_a_breach_of_a_side_that_does_not_bind_is_noticed() -> None:
    rates = np.array([[[0.05, 0.3]]])
    promise = summarise(rates, np.array([[[True, False]]]), 0.95, DRAWS)
    assert promise.worst == 0.05
    assert promise.worst_other == 0.3
    assert not promise.is_kept


def test_nothing_that_binds_breaks_nothing() -> None:
    promise = summarise(np.zeros((2, 3, 2)), np.zeros((2, 3, 2), dtype=bool), 0.95, DRAWS)
    assert promise.binding == 0
    assert np.isnan([promise.least, promise.mean, promise.worst]).all()
    assert promise.is_inside


# ---- the whole network


@pytest.mark.parametrize("draw", [normal, together])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_all_sides_together_keep_the_promise_for_the_network(draw: Draw, confidence: float) -> None:
    """Every side and every row binds at once."""
    rng = np.random.default_rng(10)
    count, rows, draws = 5, 7, 20_000
    a, b = rng.normal(size=(rows, count)), rng.normal(size=(rows, count))
    sides = sides_entering(a, b)
    sigma, own = rng.uniform(5.0, 50.0, (count, 1)), 30.0
    one = side_confidence(confidence, sides + 1)
    room, room_q = gaussian(sigma, one), gaussian(0.4 * sigma, one)
    p_kw = sigma * draw(rng, (draws, count, 1))
    operator = own * rng.normal(size=(draws, 1))
    left = (np.abs(p_kw) > room).any(axis=(1, 2)) | (operator[:, 0] > gaussian(np.array(own), one))
    _, high = interval(confidence, draws)
    assert left.mean() <= high
    limit = np.abs(a) @ room + np.abs(b) @ room_q + gaussian(np.array(own), one)
    broken = (np.einsum("jn,dnt->djt", a + 0.4 * b, p_kw) + operator[:, :, None] > limit).any(
        axis=(1, 2)
    )
    assert np.all(left[broken])  # no row breaks while every side holds
    plain = np.abs(p_kw) > gaussian(sigma, confidence)
    assert plain.any(axis=(1, 2)).mean() > 1.5 * (1.0 - confidence)  # why sides need more


def test_active_and_reactive_sides_that_err_apart_need_an_allowance_each() -> None:
    """The reactive power of a load, and generation that errs in active power alone."""
    rng = np.random.default_rng(11)
    confidence, draws, a, b = 0.9, 50_000, np.array([[1.0], [-1.0]]), np.array([[0.5], [-0.5]])
    load, sun = 6.0 * rng.normal(size=draws), 60.0 * rng.normal(size=draws)
    rates = []
    for q_follows_p in (True, False):
        sides = sides_entering(a, b, q_follows_p=q_follows_p)
        z = float(gaussian(np.array(1.0), side_confidence(confidence, sides)))
        beyond_p = np.abs(sun - load) > z * np.hypot(6.0, 60.0)
        rates.append((beyond_p | (np.abs(0.4 * load) > z * 2.4)).mean())
    _, high = interval(confidence, draws)
    assert rates[0] > high
    assert rates[1] <= high


# ---- counting


@given(st.integers(0, 10**6))
@LAWS
def test_breach_rates_are_counts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    draws = rng.integers(-3, 4, (7, 2, 3)).astype(float)
    lower, upper = (s * rng.integers(0, 3, (2, 3)).astype(np.float64) for s in (-1.0, 1.0))
    rates = breach_rate(draws, lower, upper)
    for n in range(2):
        for t in range(3):
            values = draws[:, n, t]
            assert rates[n, t, 0] == pytest.approx(sum(values > upper[n, t]) / 7)
            assert rates[n, t, 1] == pytest.approx(sum(values < lower[n, t]) / 7)
    assert not breach_rate(draws, lower, upper, tolerance=3.0).any()


@pytest.mark.parametrize("draws", [np.full((3, 1, 1), np.nan), np.empty((0, 1, 1))])
def test_draws_that_are_missing_do_not_count_as_kept(draws: Floats) -> None:
    with pytest.raises(DataError, match="injections"):
        breach_rate(draws, np.zeros((1, 1)), np.zeros((1, 1)))


def test_sides_bind_where_schedule_and_margin_touch_the_box() -> None:
    upper, lower = np.full((1, 4), 10.0), np.full((1, 4), -10.0)
    up = np.array([[2.0, 2.0, 0.0, 10.0]])
    box, found = boxes(lower, upper), margins(up, up)
    position = np.array([[8.0, 7.9, 10.0, 0.0]])
    expected = [[True, False, False, True], [False, False, False, True]]
    active = binding_sides(position, found, box, 1e-6)
    np.testing.assert_array_equal(active[0].T, expected)
    reactive = binding_sides(0.4 * position, found, box, 1e-6, reactive=True)
    np.testing.assert_array_equal(reactive, active)
    assert binding_sides(position, found, box, 0.2)[0, 1, 0]
    mirrored = binding_sides(-position, found, box, 1e-6)
    np.testing.assert_array_equal(mirrored[0].T, expected[::-1])


# ---- how many breaches chance explains


@pytest.mark.parametrize("confidence", ETAS)
@pytest.mark.parametrize("sides", [1, 40])
def test_a_rate_is_inside_if_its_clopper_pearson_interval_has_the_promise(
    confidence: float, sides: int
) -> None:
    draws, tail = 500, 0.01 / (2 * sides)
    count = np.arange(draws + 1)
    lowest = np.nan_to_num(stats.beta.ppf(tail, count, draws - count + 1), nan=0.0)
    highest = np.nan_to_num(stats.beta.isf(tail, count + 1, draws - count), nan=1.0)
    inside = count[(lowest < 1.0 - confidence) & (1.0 - confidence < highest)]
    low, high = interval(confidence, draws, sides=sides)
    assert (inside.min() / draws, inside.max() / draws) == (low, high)


@given(st.sampled_from(ETAS), st.integers(1, 5000), st.integers(99, 3000), st.integers(1, 300))
@LAWS
def test_less_knowledge_or_more_sides_make_the_interval_no_narrower(
    confidence: float, draws: int, count: int, sides: int
) -> None:
    low, high = interval(confidence, draws)
    assert low <= 1.0 - confidence <= high
    more = interval(confidence, draws, sides=sides)
    assert more[0] <= low <= high <= more[1]
    learnt = interval(confidence, draws, count, sides=sides)
    assert learnt[0] <= more[0]
    assert learnt[1] >= interval(confidence, draws, 40 * count, sides=sides)[1] - 1.0 / draws


@pytest.mark.parametrize("count", [None, 200])
def test_the_interval_holds_as_often_as_it_says(count: int | None) -> None:
    rng = np.random.default_rng(12)
    coverage = 0.95 if count is None else rng.beta(191, 10, 20_000)
    rates = rng.binomial(DRAWS, 1.0 - coverage, 20_000) / DRAWS
    low, high = interval(0.95, DRAWS, count, error=0.1)
    outside = np.mean((rates < low) | (rates > high))
    assert 0.06 < outside < 0.107


@pytest.mark.parametrize(
    ("confidence", "draws", "count"), [(1.0, 10, None), (0.9, 0, None), (0.95, 10, 18)]
)
def test_intervals_that_nothing_supports_are_refused(
    confidence: float, draws: int, count: int | None
) -> None:
    with pytest.raises(DataError):
        interval(confidence, draws, count)
