"""Random households: the laws of every plan, and the optimum against one found by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from peergrid.market.stochastic import Settings, plan
from peergrid.market.stochastic_problem import Households
from peergrid.milp.model import Limits
from tests.market.households import SMALL, best_cost, check_laws, choices, days

SURE = Settings(limits=Limits(gap=1e-7), corrections=0)
EXACT = replace(SURE, limits=Limits(gap=0.0))


def alike(one: float, other: float) -> bool:
    """Whether two costs are equal but for what solvers leave."""
    return abs(one - other) <= 1e-5 * max(1.0, abs(one))


@settings(deadline=None, max_examples=40)
@given(day=days())
def test_every_plan_keeps_the_laws(day: Households) -> None:
    found = plan(day)
    check_laws(found)
    if found.network is not None:
        assert found.network.vm_pu.shape == found.network.linear_vm_pu.shape
        assert np.isfinite(found.network.gap_pu)
    else:
        assert found.is_optimal
        assert found.gap <= 1e-3 + 1e-9


@settings(deadline=None, max_examples=15)
@given(day=days(sizes=SMALL))
def test_nothing_is_cheaper_than_the_plan(day: Households) -> None:
    """All starts and modes tried one by one, each a linear programme written anew."""
    assume(choices(day) <= 64)
    found, best = plan(day, EXACT), best_cost(day)
    check_laws(found)
    assert found.cost_eur == pytest.approx(best, rel=2e-6, abs=2e-6)
    assert found.bound_eur <= best + 2e-6 * max(1.0, abs(best))


@settings(deadline=None, max_examples=12)
@given(day=days(wires=True))
def test_all_ways_to_solve_agree(day: Households) -> None:
    """Dives, branch and bound alone, cvxpy; and the first stage given back."""
    dived = plan(day, SURE)
    others = [
        plan(day, replace(SURE, dives=False)),
        plan(day, replace(SURE, back_end="cvxpy")),
        plan(day, SURE, first_stage=dived.first_stage),
    ]
    for other in others:
        check_laws(other)
        assert alike(dived.cost_eur, other.cost_eur), (dived.cost_eur, other.cost_eur)
    for name, values in dived.first_stage.items():
        np.testing.assert_array_equal(others[2].first_stage[name], values)


@settings(deadline=None, max_examples=15)
@given(day=days(wires=False), part=st.sampled_from(["start", "mode"]))
def test_half_a_first_stage_may_be_given(day: Households, part: str) -> None:
    """What is given is kept to the letter, even where the powers would not show it."""
    first = plan(day, SURE).first_stage[part]
    if part == "mode":
        first = np.ones_like(first)
    found = plan(day, SURE, first_stage={part: first})
    check_laws(found)
    np.testing.assert_array_equal(found.first_stage[part], first)


@settings(deadline=None, max_examples=12)
@given(day=days(wires=False))
def test_more_freedom_is_never_dearer(day: Households) -> None:
    """Waiting for the scenario, trading with neighbours, rights and no contracts only help."""
    cost = plan(day, SURE).cost_eur
    room = 1e-5 * max(1.0, abs(cost))
    everybody = np.ones(len(day.names), dtype=bool)
    for freer in (
        replace(day, here_and_now=False),
        replace(day, trades=True),
        replace(day, may_sell=everybody, may_buy=everybody),
        replace(day, export_limit_kw=np.inf, import_limit_kw=np.inf),
    ):
        assert plan(freer, SURE).cost_eur <= cost + room


@settings(deadline=None, max_examples=12)
@given(day=days(wires=False), factor=st.sampled_from([0.25, 4.0]))
def test_prices_set_the_unit_of_the_cost(day: Households, factor: float) -> None:
    """All prices times a factor: the plan stays as dear in that unit (but for the tie-breaker)."""
    scaled = replace(
        day,
        price_import_eur_per_kwh=factor * day.price_import_eur_per_kwh,
        price_feed_in_eur_per_kwh=factor * day.price_feed_in_eur_per_kwh,
        fee_eur_per_kwh=factor * day.fee_eur_per_kwh,
        shortfall_eur_per_kwh=factor * day.shortfall_eur_per_kwh,
        plants=replace(day.plants, linear_eur_per_kwh=factor * day.plants.linear_eur_per_kwh),
        stores=replace(
            day.stores,
            wear_eur_per_kwh=factor * day.stores.wear_eur_per_kwh,
            linear_eur_per_kwh=factor * day.stores.linear_eur_per_kwh,
        ),
    )
    one, other = plan(day, SURE).cost_eur, plan(scaled, SURE).cost_eur
    assert abs(factor * one - other) <= 1e-3 * max(1.0, abs(other))


@settings(deadline=None, max_examples=12)
@given(day=days(wires=False), seed=st.integers(0, 2**31))
def test_the_order_of_scenarios_and_households_does_not_matter(day: Households, seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, scenarios, _ = day.shape
    one, two = rng.permutation(count), rng.permutation(scenarios)
    back = np.argsort(one)
    limits = {
        name: np.broadcast_to(getattr(day, name), (count, day.shape[2]))[one]
        for name in ("export_limit_kw", "import_limit_kw")
    }
    stores = {
        name: getattr(day.stores, name)[..., two, :]
        for name in ("charge_kw", "discharge_kw", "demand_kwh", "e_min_kwh", "e_max_kwh")
    }
    plants = {name: getattr(day.plants, name)[:, two] for name in ("low_kw", "high_kw")}
    moved = replace(
        day,
        names=tuple(day.names[i] for i in one),
        probability=day.probability[two],
        firm_kw=day.firm_kw[one][:, two],
        firm_kvar=day.firm_kvar[one][:, two],
        price_import_eur_per_kwh=day.price_import_eur_per_kwh[two],
        price_feed_in_eur_per_kwh=day.price_feed_in_eur_per_kwh[two],
        may_sell=day.may_sell[one],
        may_buy=day.may_buy[one],
        plants=replace(day.plants, owner=back[day.plants.owner], **plants),
        stores=replace(day.stores, owner=back[day.stores.owner], **stores),
        appliances=replace(day.appliances, owner=back[day.appliances.owner]),
        **limits,
    )
    assert alike(plan(day, SURE).cost_eur, plan(moved, SURE).cost_eur)
