"""Costs that grow with the power, and what planning under uncertainty is worth."""

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest

from peergrid.devices.flexibility import compose, parse
from peergrid.market.stochastic import Settings, plan
from peergrid.market.stochastic_build import TANGENTS, Outlook, devices_of
from peergrid.market.stochastic_problem import Households
from peergrid.market.stochastic_value import alone, mean, value
from peergrid.milp.model import Limits
from tests.market.households import Sizes, check_laws, random_day

EXACT = Settings(limits=Limits(gap=0.0))
PRICE = np.array([0.10, 0.30, 0.15, 0.40])
STEPS = len(PRICE)
RATED_KW, LOAD_KW = 4.0, 5.0
QUADRATIC = {"wear": 0.005, "quadratic": 0.01}


def worn_battery(cost: dict[str, float]) -> Households:
    """A home with a load and a battery that ages faster the harder it works."""
    head = {"t0_s": 0.0, "dt_s": 3600.0}
    drawn = np.full(STEPS, -LOAD_KW)
    load = compose(kind="PEBC", p_min_kw=drawn, p_max_kw=drawn, p_ref_kw=drawn, **head)
    battery = compose(
        kind="FRBC",
        p_min_kw=np.full(STEPS, -RATED_KW),
        p_max_kw=np.full(STEPS, RATED_KW),
        e_min_kwh=[0.0] * STEPS + [5.0],
        e_max_kwh=10.0,
        e_now_kwh=5.0,
        cost=cost,
        **head,
    )
    messages = [parse(load), parse(battery)]
    devices = devices_of(
        messages, ("load", "battery"), np.zeros(2, dtype=np.int64), Outlook.certain(2, STEPS), 1
    )
    return Households(
        names=("home",),
        dt_h=1.0,
        probability=np.ones(1),
        firm_kw=devices.firm_kw,
        firm_kvar=devices.firm_kvar,
        price_import_eur_per_kwh=PRICE[None],
        price_feed_in_eur_per_kwh=0.0 * PRICE[None],
        fee_eur_per_kwh=0.0,
        may_sell=np.ones(1, dtype=bool),
        may_buy=np.ones(1, dtype=bool),
        plants=devices.plants,
        stores=devices.stores,
        appliances=devices.appliances,
        curves=devices.curves,
    )


def quadratic_cost(cost: dict[str, float]) -> float:
    """The same as a quadratic programme."""
    power, bought = cp.Variable(STEPS), cp.Variable(STEPS, nonneg=True)
    energy = 5.0 - cp.cumsum(power)
    held = [cp.abs(power) <= RATED_KW, energy >= 0.0, energy <= 10.0, energy[-1] >= 5.0]
    wear = cost["wear"] * cp.norm1(power) + cost["quadratic"] * cp.sum_squares(power)
    problem = cp.Problem(cp.Minimize(PRICE @ bought + wear), [*held, bought >= LOAD_KW - power])
    return float(problem.solve(solver=cp.CLARABEL))


def test_costs_that_grow_are_planned_from_below_and_near() -> None:
    best = quadratic_cost(QUADRATIC)
    found = plan(worn_battery(QUADRATIC), EXACT)
    power = (found.discharge_kw - found.charge_kw)[0, 0]
    lost = QUADRATIC["quadratic"] * (2.0 * RATED_KW / (TANGENTS - 1)) ** 2 / 4.0
    assert best - lost * STEPS <= found.cost_eur <= best + 1e-5
    true = PRICE @ (LOAD_KW - power) + 0.005 * np.abs(power).sum() + 0.01 * (power**2).sum()
    assert true == pytest.approx(best, abs=lost * STEPS)


def test_a_battery_that_ages_works_less_hard() -> None:
    hard, soft = (
        plan(worn_battery({"wear": 0.005, "quadratic": q}), EXACT).discharge_kw.max()
        for q in (0.0, 0.05)
    )
    assert soft < hard


@pytest.mark.parametrize("seed", range(6))
def test_knowing_more_never_costs_more(seed: int) -> None:
    day = random_day(np.random.default_rng(seed), None, Sizes())
    found = value(day, EXACT)
    slack = 1e-6 * max(1.0, abs(found.cost_eur))
    assert found.wait_and_see_eur <= found.cost_eur + slack
    assert found.cost_eur <= found.mean_value_eur + slack
    assert found.evpi_eur >= -slack
    assert found.vss_eur >= -slack


def test_a_day_alone_and_in_the_mean_is_a_day() -> None:
    day = random_day(np.random.default_rng(3), None, Sizes())
    for one in (alone(day, 0), mean(day)):
        assert one.shape == (day.shape[0], 1, day.shape[2])
        check_laws(plan(one, EXACT))
    np.testing.assert_allclose(mean(day).firm_kw[:, 0], day.expected(day.firm_kw), atol=1e-12)


def test_messages_may_reach_past_the_horizon() -> None:
    long = {"t0_s": 0.0, "dt_s": 3600.0, "p_min_kw": [-1.0] * 25, "p_max_kw": [3.0] * 25}
    stored = {"e_max_kwh": 5.0, "e_now_kwh": 1.0}
    messages = [parse({"kind": "PEBC", **long}), parse({"kind": "FRBC", **long, **stored})]
    owner = np.zeros(2, dtype=np.int64)
    devices = devices_of(messages, ("plant", "store"), owner, Outlook.certain(2, 24), 1)
    assert devices.plants.high_kw.shape == devices.stores.e_max_kwh.shape == (1, 1, 24)


def test_an_appliance_says_what_an_hour_is_worth() -> None:
    """Drawing costs nothing in the first two steps and a lot in the others."""
    cycle = {"p_kw": [2.0], "earliest": 0, "latest": STEPS, "count": 1}
    for favourite in range(STEPS):
        asked = np.where(np.arange(STEPS) == favourite, 0.0, -1.0)
        message = compose(
            kind="PPBC",
            t0_s=0.0,
            dt_s=3600.0,
            p_min_kw=[-2.0] * STEPS,
            p_max_kw=[0.0] * STEPS,
            profiles=[cycle],
            cost={"linear": asked.tolist()},
        )
        devices = devices_of(
            [parse(message)], ("oven",), np.zeros(1, dtype=np.int64), Outlook.certain(1, STEPS), 1
        )
        day = replace(
            worn_battery(QUADRATIC),
            plants=devices.plants,
            stores=devices.stores,
            appliances=devices.appliances,
            curves=None,
        )
        assert plan(day, EXACT).starts == (("oven", favourite),)


def test_a_late_vehicle_has_a_value_too() -> None:
    """One scenario alone would be refused; the worth of planning falls short instead."""
    day = worn_battery({"wear": 0.005})
    stores = day.stores
    twice = {
        name: np.repeat(getattr(stores, name), 2, axis=-2)
        for name in ("charge_kw", "discharge_kw", "demand_kwh", "e_min_kwh", "e_max_kwh")
    }
    twice["charge_kw"][1, 0, 1] = 0.0  # in the second scenario nothing can be charged
    twice["e_min_kwh"][0, :, -1] = 9.0
    late = replace(
        day,
        probability=np.array([0.5, 0.5]),
        firm_kw=np.repeat(day.firm_kw, 2, axis=1),
        firm_kvar=np.repeat(day.firm_kvar, 2, axis=1),
        price_import_eur_per_kwh=np.repeat(day.price_import_eur_per_kwh, 2, axis=0),
        price_feed_in_eur_per_kwh=np.repeat(day.price_feed_in_eur_per_kwh, 2, axis=0),
        stores=replace(stores, **twice),
    )
    found = value(late, EXACT)
    assert found.wait_and_see_eur <= found.cost_eur + 1e-6 <= found.mean_value_eur + 2e-6
    assert plan(late, EXACT).short_kwh.max() == pytest.approx(4.0)
