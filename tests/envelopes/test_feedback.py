"""What the meters teach: factors of lines, margins, narrowing, and promises that are kept."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares

from peergrid.envelopes.feedback import (
    MARGIN_SIGMAS,
    Correction,
    corrected,
    lesson,
    posterior_margin_pu,
)
from peergrid.envelopes.feedback_injections import Expected, Injections, estimate
from peergrid.envelopes.feedback_lines import (
    COMMON_SD,
    OWN_SD,
    VOLTAGE_SD_PU,
    Factors,
    learn,
    path_sd_pu,
    unit_drops_pu,
)
from peergrid.envelopes.metering import Measurements
from peergrid.network.feeder import Feeder, Floats
from peergrid.network.library import load_feeder
from peergrid.network.linear import downstream
from peergrid.network.power_flow import PowerFlow, solve
from tests.envelopes.plant_loop import make_plant, random_feeder
from tests.strategies import radial_feeders

LAWS = settings(max_examples=60, deadline=None, derandomize=True)


def metered_injections(feeder: Feeder, seed: int) -> Injections:
    """Certain injections: nominal loads, some of them turned around."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(-0.5, 1.2, feeder.n_bus)
    return Injections(
        p_kw=-feeder.p_load_kw * share,
        q_kvar=-feeder.q_load_kvar * share,
        covariance=np.zeros((2 * feeder.n_bus, 2 * feeder.n_bus)),
        balanced=True,
    )


def flow_of(injections: Injections, feeder: Feeder) -> PowerFlow:
    flow = injections.flow(feeder)
    assert flow is not None
    return flow


def true_factors(buses: int, seed: int) -> Floats:
    factors = 1.05 + 0.1 * np.random.default_rng(seed).standard_normal(buses)
    factors[0] = 1.0
    return factors


# ---- the joint posterior


@pytest.mark.parametrize("share", [1.0, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_the_posterior_is_that_of_bayesian_least_squares(seed: int, share: float) -> None:
    """Against a general minimiser of the same sum of squares, with the exact power flow in it."""
    feeder = random_feeder(seed, buses=9)
    injections, factors = metered_injections(feeder, seed), true_factors(9, seed)
    rng = np.random.default_rng(seed)
    vm_pu = flow_of(injections, feeder.scaled_branches(factors)).vm_pu[:, 0]
    vm_pu = vm_pu + VOLTAGE_SD_PU * rng.standard_normal(9)
    vm_pu[0] = np.nan
    vm_pu[1 + rng.permutation(8)[: round(8 * (1 - share))]] = np.nan
    metered = np.flatnonzero(np.isfinite(vm_pu))
    prior = Factors.prior(9)
    root = np.linalg.inv(np.linalg.cholesky(prior.covariance[1:, 1:]))

    def residuals(values: Floats) -> Floats:
        trial = feeder.scaled_branches(np.concatenate([[1.0], values]))
        missed = (vm_pu - flow_of(injections, trial).vm_pu[:, 0])[metered]
        return np.concatenate([root @ (values - 1.0), missed / VOLTAGE_SD_PU])

    best = least_squares(residuals, np.ones(8), xtol=1e-12, ftol=1e-12, gtol=1e-12)
    sd = np.sqrt(np.diag(np.linalg.inv(best.jac.T @ best.jac)))
    found = learn(feeder, vm_pu, injections, prior)
    np.testing.assert_array_equal(np.flatnonzero(found.used), metered)
    assert np.all(np.abs(found.factors.mean[1:] - best.x) < 0.1 * sd)
    np.testing.assert_allclose(found.factors.sd[1:], sd, rtol=0.05)


def test_the_posterior_covariance_is_that_of_the_information_form() -> None:
    feeder, injections = random_feeder(3, buses=8), metered_injections(random_feeder(3, buses=8), 3)
    vm_pu = flow_of(injections, feeder).vm_pu[:, 0]  # as modelled: the mean stays at one
    vm_pu[[0, 2, 5]] = np.nan
    metered = np.isfinite(vm_pu)
    prior = Factors.prior(8)
    found = learn(feeder, vm_pu, injections, prior).factors
    np.testing.assert_allclose(found.mean, 1.0, atol=1e-9)
    drops = unit_drops_pu(flow_of(injections, feeder), np.ones(8))[:, 0]
    slope = (downstream(feeder).T * drops)[metered][:, 1:]
    told = np.linalg.inv(prior.covariance[1:, 1:]) + slope.T @ slope / VOLTAGE_SD_PU**2
    np.testing.assert_allclose(found.covariance[1:, 1:], np.linalg.inv(told), rtol=1e-6, atol=1e-9)


def test_with_every_bus_metered_each_line_is_a_filter_of_its_own() -> None:
    """Uncorrelated priors and exact voltages: ``f = measured drop / modelled drop``."""
    feeder = load_feeder("ieee33")
    injections, factors = metered_injections(feeder, 1), true_factors(33, 1)
    vm_pu = flow_of(injections, feeder.scaled_branches(factors)).vm_pu[:, 0]
    found = learn(feeder, vm_pu, injections, Factors.prior(33)).factors
    drops = np.abs(unit_drops_pu(flow_of(injections, feeder), np.ones(33))[:, 0])
    clear = drops > 3e-3
    assert clear.sum() >= 4
    assert np.all(np.abs(found.mean - factors)[clear] <= 2.0 * found.sd[clear])
    assert np.all(found.sd[clear] < np.sqrt(2.0) * VOLTAGE_SD_PU / drops[clear])


def test_metered_lines_tell_of_unmetered_ones() -> None:
    """All lines 15 % longer: those beyond the last meter are believed to be longer, too."""
    feeder = load_feeder("ieee33")
    base = Injections(
        p_kw=-feeder.p_load_kw,
        q_kvar=-feeder.q_load_kvar,
        covariance=np.zeros((66, 66)),
        balanced=True,
    )
    vm_pu = flow_of(base, feeder.scaled_impedance(1.15)).vm_pu[:, 0]
    vm_pu[feeder.depth > 8] = np.nan
    found = learn(feeder, vm_pu, base, Factors.prior(33)).factors
    beyond = feeder.depth > 9
    assert np.all(found.mean[beyond] > 1.06)
    assert np.all(found.sd[beyond] > OWN_SD)
    assert np.all(found.sd <= np.hypot(OWN_SD, COMMON_SD) + 1e-12)


@given(radial_feeders(shunts=False, generation=False), st.integers(0, 10**6))
@LAWS
def test_a_reading_never_makes_a_factor_less_certain(feeder: Feeder, seed: int) -> None:
    injections, factors = metered_injections(feeder, seed), true_factors(feeder.n_bus, seed)
    flow = injections.flow(feeder.scaled_branches(factors))
    if flow is None:
        return
    prior = Factors.prior(feeder.n_bus)
    found = learn(feeder, flow.vm_pu[:, 0], injections, prior).factors
    assert np.linalg.eigvalsh(prior.covariance - found.covariance).min() > -1e-9
    assert np.linalg.eigvalsh(found.covariance).min() > -1e-9


# ---- the margin


@pytest.mark.parametrize("seed", range(3))
def test_the_margin_is_the_quadratic_form_along_the_path(seed: int) -> None:
    feeder = random_feeder(seed, buses=12)
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((12, 12)) * 0.05
    root[0] = 0.0
    factors = Factors(mean=true_factors(12, seed), covariance=root @ root.T)
    flow = flow_of(metered_injections(feeder, seed), feeder.scaled_branches(factors.mean))
    slope = downstream(feeder).T * unit_drops_pu(flow, factors.mean)[:, 0]
    slope /= np.abs(feeder.transformation)[:, None]
    expected = np.sqrt(np.einsum("bl,lk,bk->b", slope, factors.covariance, slope))
    np.testing.assert_allclose(path_sd_pu(factors, flow)[:, 0], expected, rtol=1e-9, atol=1e-12)


def test_the_margin_of_independent_lines_is_the_root_of_the_sum_of_squares() -> None:
    feeder = load_feeder("ieee33")
    factors = Factors(mean=np.ones(33), covariance=np.diag(np.r_[0.0, np.full(32, 0.12**2)]))
    learnt = replace(Correction.none(33), factors=factors)
    flow = solve(feeder, -feeder.p_load_kw[:, None], -feeder.q_load_kvar[:, None])
    drops = flow.vm_pu[np.maximum(feeder.parent, 0), 0] - flow.vm_pu[:, 0]
    expected = MARGIN_SIGMAS * np.sqrt(downstream(feeder).T @ (0.12 * drops) ** 2)
    np.testing.assert_allclose(posterior_margin_pu(learnt, flow)[:, 0], expected, atol=1e-12)


def test_the_margin_is_the_spread_of_exact_voltages() -> None:
    """Factors drawn from the belief, each with its own power flow."""
    feeder = load_feeder("ieee33")
    belief = Factors.prior(33)
    p_kw, q_kvar = -feeder.p_load_kw[:, None], -feeder.q_load_kvar[:, None]
    rng = np.random.default_rng(0)
    draws = rng.multivariate_normal(belief.mean, belief.covariance, 1500)
    vm_pu = np.hstack([solve(feeder.scaled_branches(f), p_kw, q_kvar).vm_pu for f in draws])
    sd = path_sd_pu(belief, solve(feeder, p_kw, q_kvar))[:, 0]
    # currents grow with the factors, which the margin leaves out: by a tenth at the far end
    np.testing.assert_allclose(vm_pu.std(axis=1)[1:], sd[1:], rtol=0.15)


def test_a_trusted_model_has_no_margin_and_an_unsolved_hour_no_number() -> None:
    feeder = load_feeder("ieee33")
    p_kw = np.outer(-feeder.p_load_kw, [1.0, 100.0])
    flow = solve(feeder, p_kw, np.zeros_like(p_kw))
    assert corrected(feeder, Correction.none(33)) is feeder
    assert not posterior_margin_pu(Correction.none(33), flow).any()
    margin = posterior_margin_pu(Correction.first(33), flow)
    assert np.isfinite(margin[:, 0]).all()
    assert np.isnan(margin[1:, 1]).all()


# ---- injections of buses without meters


def test_unmetered_power_is_what_the_head_shows_beyond_the_meters() -> None:
    plant = make_plant(load_feeder("ieee33"), 4, metered_share=0.2, forecast_sd=0.2, spread=0.0)
    seen = plant.seen(0)
    sure = np.zeros((33, 33))
    known = estimate(plant.true, seen, plant.expected(0), 1.0, sure)
    assert known is not None
    assert known.balanced
    true_kw = plant.flexible_kw[:, 0] - plant.load_kw[:, 0]
    assert abs(known.p_kw.sum() - true_kw.sum()) < 0.002 * plant.load_kw[:, 0].sum()
    metered = np.isfinite(seen.p_inj_kw)
    np.testing.assert_allclose(known.p_kw[metered], seen.p_inj_kw[metered], atol=1e-9)
    assert np.linalg.eigvalsh(known.covariance).min() > -1e-6
    ones = np.r_[np.ones(33), np.zeros(33)]
    assert ones @ known.covariance @ ones < 1.0  # their sum is known, to a kilowatt


def test_a_single_silent_power_meter_is_recovered_from_the_balance() -> None:
    plant = make_plant(load_feeder("ieee33"), 5, spread=0.0)
    seen = plant.seen(0)
    silent = seen.p_inj_kw.copy()
    silent[20] = np.nan
    sure = np.zeros((33, 33))
    known = estimate(plant.true, replace(seen, p_inj_kw=silent), plant.expected(0), 1.0, sure)
    assert known is not None
    assert known.p_kw[20] == pytest.approx(seen.p_inj_kw[20], abs=0.5)


# ---- learning over hours


def test_more_meters_need_less_margin() -> None:
    feeder = load_feeder("ieee69")
    flow = solve(feeder, -feeder.p_load_kw[:, None], -feeder.q_load_kvar[:, None])
    margins = []
    for share in (0.1, 0.3, 0.6, 1.0):  # each with all meters of the one before
        plant = make_plant(feeder, 0, metered_share=share, scale=1.0, spread=0.0)
        learnt = plant.learn(0, Correction.first(69)).correction
        margins.append(float(posterior_margin_pu(learnt, flow).mean()))
    assert margins == sorted(margins, reverse=True)
    assert margins[-1] < 0.5 * margins[0]


def test_the_margin_shrinks_with_every_hour_of_learning() -> None:
    plant = make_plant(load_feeder("ieee33"), 2, hours=8)
    correction = Correction.first(33)
    spread = []
    for hour in range(plant.hours):
        spread.append(correction.impedance_sd[1:].mean())
        correction = plant.learn(hour, correction).correction
    assert np.all(np.diff(spread) < 0.0)
    assert spread[0] == pytest.approx(0.12, abs=1e-3)


def test_a_head_voltage_off_its_set_value_is_no_line() -> None:
    """A step of the tap changer above shifts all voltages: it narrows, and teaches no factor."""
    plant = make_plant(load_feeder("ieee33"), 3, scale=1.0, spread=0.0)
    high = replace(plant, true=plant.true.with_slack(1.01))
    learnt = high.learn(0, Correction.first(33))
    assert not learnt.refused
    np.testing.assert_allclose(learnt.correction.impedance_scale, 1.0, atol=0.03)
    assert np.all(learnt.correction.narrow_upper_pu > 0.009)
    assert not learnt.correction.narrow_lower_pu.any()


# ---- numbers


@st.composite
def anything(draw: st.DrawFn) -> Measurements:
    """Whatever five meters and a head may say, NaN and infinities included."""
    value = st.floats(allow_nan=True, allow_infinity=True, width=32)
    near = st.floats(0.8, 1.2)

    def column(*kinds: st.SearchStrategy[float]) -> Floats:
        return np.array(draw(st.lists(st.one_of(*kinds), min_size=5, max_size=5)))

    return Measurements(
        vm_pu=column(near, near, value),
        p_inj_kw=column(st.floats(-1e3, 1e3), value),
        q_inj_kvar=column(st.floats(-1e3, 1e3), value),
        head_p_kw=draw(st.one_of(st.floats(-3e3, 3e3), value)),
        head_q_kvar=draw(st.one_of(st.floats(-3e3, 3e3), value)),
        loss_kw=draw(value),
    )


@given(st.lists(anything(), min_size=1, max_size=4), st.floats(-10.0, 1e4), st.floats(-1e4, 1e4))
@LAWS
def test_whatever_is_measured_the_correction_is_usable(
    heard: list[Measurements], expected_load_kw: float, controlled_kw: float
) -> None:
    feeder = random_feeder(0, buses=5)
    expected = Expected(
        controlled_kw=np.full(5, np.nan),
        controlled_kvar=np.zeros(5),
        load_kw=feeder.p_load_kw,
        load_kvar=feeder.q_load_kvar,
    )
    for forecast in (None, expected):
        correction = Correction.first(5)
        for seen in heard:
            correction = lesson(
                feeder, seen, correction, expected_load_kw, controlled_kw, forecast
            ).correction
            narrow = np.stack([correction.narrow_upper_pu, correction.narrow_lower_pu])
            assert np.all(np.isfinite(narrow) & (narrow >= 0.0))
            assert np.all((correction.impedance_scale >= 0.5) & (correction.impedance_scale <= 2.0))
            assert np.all(np.isfinite(correction.impedance_sd))
            assert np.all(correction.impedance_sd <= 0.12 + 1e-3)
            assert 0.5 <= correction.load_scale <= 2.0
