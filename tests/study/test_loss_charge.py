"""The charge on losses against the exact power flow."""

import numpy as np
import pytest

from peergrid.operator.loss_charge import charged_loss_kw, loss_charge, loss_slopes, sections
from tests.study.days import case, day


@pytest.mark.parametrize("name", ["ieee69", "ieee33"])
@pytest.mark.parametrize("method", ["none", "dfe-joint", "doe-equal"])
def test_the_model_follows_exact_losses(name: str, method: str) -> None:
    found, limits = day(name, method), case(name).limits
    charge = loss_charge(limits, 0.03)
    positions = np.concatenate([found.clearing.position_kw, found.clearing.position_kvar])
    exact = float((found.flow.loss_kw - limits.base.loss_kw).sum())
    modelled = float(charged_loss_kw(charge, positions).sum())
    assert modelled == pytest.approx(exact, rel=0.08)
    total = float(limits.base.loss_kw.sum())
    assert total + modelled == pytest.approx(total + exact, rel=0.03)


def test_the_model_is_exact_to_first_order() -> None:
    limits = case("ieee69").limits
    charge, rng = loss_charge(limits, 0.03), np.random.default_rng(3)
    step = rng.normal(size=(10, 24))
    flow = limits.flow(0.1 * step[:5], 0.1 * step[5:])
    exact = flow.loss_kw - limits.base.loss_kw
    np.testing.assert_allclose(charged_loss_kw(charge, 0.1 * step), exact, atol=2e-4, rtol=2e-3)


def test_slopes_are_those_of_the_power_flow() -> None:
    limits = case("ieee33").limits
    slope, slope_q = loss_slopes(limits)
    one = np.zeros((5, 24))
    for e in range(5):
        one[:], one[e] = 0.0, 0.1
        for at, given in ((slope, (one, 0.0 * one)), (slope_q, (0.0 * one, one))):
            change = (limits.flow(*given).loss_kw - limits.base.loss_kw) / 0.1
            np.testing.assert_allclose(at[limits.at[e]], change, rtol=1e-3, atol=1e-5)


def test_sections_split_the_branches_that_matter() -> None:
    limits = case("ieee69").limits
    patterns, member = sections(limits)
    assert (member.sum(axis=0) <= 1.0).all()
    assert len(np.unique(patterns, axis=0)) == len(patterns)
    used = limits.model.D[1:, limits.at].any(axis=1)
    np.testing.assert_array_equal(member.any(axis=0), used)


def test_without_reactive_power_only_active_flows_are_charged() -> None:
    charge = loss_charge(case("ieee33").limits, 0.03, reactive=False)
    assert charge.rows.shape[1] == 5
    assert len(charge.offset) == len(charge.rows) == len(charge.loss_per_kw)
