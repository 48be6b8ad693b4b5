"""Laws of the settlement: money is conserved, trades are antisymmetric, prices stay in between."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.market.settlement import (
    RULES,
    Hour,
    Rule,
    Settlement,
    Terms,
    bill_eur,
    local_price,
    settle,
)

LAWS = settings(max_examples=150, deadline=None, derandomize=True)
KW = st.floats(-500.0, 500.0, allow_subnormal=False) | st.just(0.0) | st.floats(-1e-6, 1e-6)


@st.composite
def hours(draw: st.DrawFn, *, perfect: bool = False) -> Hour:
    """A step to settle; the feed-in tariff may be negative."""
    count = draw(st.integers(1, 8))
    vectors = st.lists(KW, min_size=count, max_size=count).map(np.array)
    position = draw(vectors)
    low = draw(st.floats(-0.3, 0.2))
    high = low + draw(st.just(0.0) | st.floats(0.0, 0.4))
    pool = np.arange(count) if draw(st.booleans()) else np.zeros(count, dtype=np.int64)
    pools = int(pool.max()) + 1
    return Hour(
        dt_h=draw(st.sampled_from([0.25, 1.0])),
        pool=pool,
        position_kw=position,
        metered_kw=position if perfect else draw(vectors),
        theta_eur_per_kwh=np.full(pools, low + draw(st.floats(0.0, 1.0)) * (high - low)),
        price_import_eur_per_kwh=high,
        price_feed_in_eur_per_kwh=low,
        loss_kw=draw(st.floats(0.0, 20.0)),
    )


TERMS = st.builds(
    Terms,
    rule=st.sampled_from(RULES),
    losses_paid_by=st.sampled_from(["operator", "participants"]),
    network_fee_eur_per_kwh=st.sampled_from([0.0, 0.02]),
)


def plain(position: list[float], metered: list[float] | None = None) -> Hour:
    """One pool, 0.30 and 0.10 EUR/kWh, no losses."""
    return Hour(
        dt_h=1.0,
        pool=np.zeros(len(position), dtype=np.int64),
        position_kw=np.array(position),
        metered_kw=np.array(position if metered is None else metered),
        theta_eur_per_kwh=np.array([0.2]),
        price_import_eur_per_kwh=0.30,
        price_feed_in_eur_per_kwh=0.10,
        loss_kw=0.0,
    )


def imbalance_price(hour: Hour) -> float:
    """Price of one kWh of deviation, from the payments with and without that deviation."""
    exact = settle(replace(hour, metered_kw=hour.position_kw), Terms())
    change = hour.metered_kw - hour.position_kw
    most = int(np.argmax(np.abs(change)))
    paid = settle(hour, Terms()).cost_eur - exact.cost_eur
    return float(-paid[most] / (change[most] * hour.dt_h))


@given(hours(), TERMS)
@LAWS
def test_payments_are_the_retail_bill_and_the_fees(hour: Hour, terms: Terms) -> None:
    result = settle(hour, terms)
    assert abs(result.off_balance_eur) <= 1e-9
    exchanges = [-hour.metered_kw[hour.pool == g].sum() for g in range(int(hour.pool.max()) + 1)]
    bill = sum(float(bill_eur(hour, exchange)) for exchange in exchanges) + result.loss_cost_eur
    assert result.retailer_bill_eur == pytest.approx(bill, abs=1e-9)


@pytest.mark.parametrize(
    ("rule", "payer", "alone"), list(product(RULES, ("operator", "participants"), (False, True)))
)
def test_payments_add_up_under_every_rule(rule: Rule, payer: str, alone: bool) -> None:
    hour = replace(plain([8.0, -3.0, -9.0], [7.0, -5.0, -9.5]), loss_kw=0.7)
    if alone:
        hour = replace(hour, pool=np.arange(3), theta_eur_per_kwh=np.full(3, 0.2))
    terms = Terms(
        rule=rule,
        losses_paid_by="operator" if payer == "operator" else "participants",
        network_fee_eur_per_kwh=0.01,
    )
    result = settle(hour, terms)
    assert abs(result.off_balance_eur) <= 1e-9
    assert (result.operator_cost_eur > 0.0) is (payer == "operator")


@given(hours(), TERMS)
@LAWS
def test_trades_are_antisymmetric_and_add_up(hour: Hour, terms: Terms) -> None:
    result = settle(hour, terms)
    np.testing.assert_array_equal(result.trade_with_kw, -result.trade_with_kw.T)
    np.testing.assert_allclose(result.trade_with_kw.sum(axis=1), result.traded_kw, atol=1e-9)
    assert abs(result.traded_kw.sum()) <= 1e-9
    exchange = result.traded_kw + result.export_kw - result.import_kw
    np.testing.assert_allclose(exchange, hour.metered_kw, atol=1e-9)
    same = hour.pool[:, None] == hour.pool[None, :]
    assert not result.trade_with_kw[~same].any()


@given(hours())
@LAWS
def test_nobody_sells_what_they_do_not_have(hour: Hour) -> None:
    result = settle(hour, Terms())
    assert np.all(result.traded_kw * hour.position_kw >= 0.0)
    assert np.all(np.abs(result.traded_kw) <= np.abs(hour.position_kw) + 1e-9)


@given(hours(), TERMS, st.floats(0.0, 1e3), st.floats(0.0, 1e3))
@LAWS
def test_local_price_lies_between_the_tariffs(
    hour: Hour, terms: Terms, sold: float, bought: float
) -> None:
    low, high = hour.price_feed_in_eur_per_kwh, hour.price_import_eur_per_kwh
    theta = float(hour.theta_eur_per_kwh[0])
    assert low - 1e-12 <= local_price(terms.rule, hour, sold, bought, theta) <= high + 1e-12
    price = settle(hour, terms).p2p_price_eur_per_kwh
    assert np.isnan(price) or low - 1e-12 <= price <= high + 1e-12


@given(st.floats(0.0, 0.99), st.sampled_from([0.10, 0.0, -0.05]))
@LAWS
def test_supply_demand_ratio_runs_from_import_price_to_feed_in(ratio: float, low: float) -> None:
    hour = replace(plain([0.0]), price_feed_in_eur_per_kwh=low)
    assert local_price("sdr", hour, 0.0, 10.0, 0.0) == pytest.approx(0.30)
    assert local_price("sdr", hour, 10.0, 10.0, 0.0) == pytest.approx(low)
    assert local_price("sdr", hour, 10.0, 0.0, 0.0) == pytest.approx(low)
    here = local_price("sdr", hour, 10.0 * ratio, 10.0, 0.0)
    assert local_price("sdr", hour, 10.0 * ratio + 0.1, 10.0, 0.0) <= here + 1e-12


@given(hours(perfect=True))
@LAWS
def test_nobody_loses_at_the_mean_price_with_perfect_meters(hour: Hour) -> None:
    result = settle(hour, Terms())
    assert np.all(result.saving_eur >= -1e-9)
    assert result.saving_eur.sum() >= -1e-9


@given(hours(), TERMS)
@LAWS
def test_imbalance_is_priced_between_the_tariffs(hour: Hour, terms: Terms) -> None:
    pooled = replace(hour, pool=np.zeros_like(hour.pool))
    if np.abs(pooled.metered_kw - pooled.position_kw).max() < 1e-3:
        return
    price = imbalance_price(pooled)
    assert price >= hour.price_feed_in_eur_per_kwh - 1e-6
    assert price <= hour.price_import_eur_per_kwh + 1e-6


def test_imbalance_across_zero_is_priced_at_the_mean_slope() -> None:
    hour = plain([2.0, 0.0], [-6.0, 0.0])  # cleared: sells 2; metered: buys 6
    assert imbalance_price(hour) == pytest.approx((6 * 0.30 + 2 * 0.10) / 8)


def test_tiny_imbalance_across_zero_adds_up_too() -> None:
    assert abs(settle(plain([4e-7], [-4e-7]), Terms()).off_balance_eur) <= 1e-12


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("payer", ["operator", "participants"])
def test_nothing_happens_without_positions(rule: Rule, payer: str) -> None:
    hour = replace(plain([0.0, 0.0]), loss_kw=1.0)
    terms = Terms(
        rule=rule, losses_paid_by="participants" if payer == "participants" else "operator"
    )
    result = settle(hour, terms)
    assert _numbers_are_finite(result)
    assert np.isnan(result.p2p_price_eur_per_kwh)  # there is no price where nothing is traded
    assert result.loss_cost_eur == pytest.approx(0.30)


def _numbers_are_finite(result: Settlement) -> bool:
    values = {k: v for k, v in vars(result).items() if k != "p2p_price_eur_per_kwh"}
    return all(bool(np.isfinite(value).all()) for value in values.values())


def test_worked_example_with_mid_market_price() -> None:
    """Seller 8, buyers 3 and 9: 8 are traded at 0.20, the retailer delivers 4 at 0.30."""
    result = settle(plain([8.0, -3.0, -9.0]), Terms())
    assert result.cost_eur == pytest.approx([-1.6, 2 * 0.2 + 1 * 0.3, 6 * 0.2 + 3 * 0.3])
    assert result.traded_total_kw == pytest.approx(8.0)
    assert result.saving_eur == pytest.approx([0.8, 0.2, 0.6])


def test_losses_are_carried_by_energy_moved() -> None:
    hour = replace(plain([3.0, -9.0]), loss_kw=1.2)
    result = settle(hour, Terms(losses_paid_by="participants"))
    without = settle(replace(hour, loss_kw=0.0), Terms())
    assert result.cost_eur - without.cost_eur == pytest.approx([0.09, 0.27])
    assert result.operator_cost_eur == 0.0
