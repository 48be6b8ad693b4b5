"""Fees, reactive trade, negotiated envelopes, loss charges: decentral equals central; laws."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.devices.flexibility import parse
from peergrid.errors import DataError
from peergrid.market import Problem, clear
from peergrid.market.admm import Settings, Status
from peergrid.market.blocks.exchange import Exchange
from peergrid.market.build import build_agents
from peergrid.market.result import Clearing
from peergrid.market.trading import Agreement, LossCharge, ReactiveTrade

STEPS = 5
TIGHT = Settings(max_iterations=4000).tightened(1e-6)


def resources(rng: np.random.Generator, count: int) -> tuple[list[dict[str, Any]], list[int]]:
    """One plant, one engine, one storage or one flexible load at each place."""
    hour = np.arange(STEPS)
    flat = lambda level: [float(level)] * STEPS  # noqa: E731
    messages: list[dict[str, Any]] = []
    for kind in rng.integers(0, 4, count):
        size = float(rng.uniform(20.0, 120.0))
        if kind == 0:
            sun = size * np.maximum(np.sin((hour + 1) / STEPS * np.pi), 0.0)
            q = {"box": [-0.4 * size, 0.4 * size], "cost": 0.001, "quadratic": 1e-6}
            messages.append({"p_min_kw": flat(0), "p_max_kw": sun.tolist(), "q": q})
        elif kind == 1:
            cost = {"linear": float(rng.uniform(0.06, 0.14)), "quadratic": 2e-4}
            q = {"box": [-0.2 * size, 0.5 * size], "cost": 0.002}
            messages.append({"p_min_kw": flat(0), "p_max_kw": flat(size), "cost": cost, "q": q})
        elif kind == 2:
            store = {"e_min_kwh": 0.0, "e_max_kwh": 3 * size, "e_now_kwh": size, "eta_charge": 0.9}
            messages.append(
                {"kind": "FRBC", "p_min_kw": flat(-size), "p_max_kw": flat(size), **store}
                | {"cost": {"wear": 0.003}}
            )
        else:
            need = [0.0] * STEPS + [2.0 * size]
            load = {"e_min_kwh": need, "e_max_kwh": 2.0 * size, "e_now_kwh": 0.0}
            messages.append(
                {"kind": "FRBC", "p_min_kw": flat(-size), "p_max_kw": flat(0), **load}
                | {"p_ref_kw": flat(-0.4 * size), "q": {"tan_phi": 0.4}}
                | {"cost": {"discomfort_eur_per_kw2h": 2e-5}}
            )
    return messages, list(range(count))


def market(seed: int, *, fees: bool = True, reactive: bool = True) -> Problem:
    """A random community with fees on pairs and reactive power as a second good."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 6))
    messages, owner = resources(rng, count)
    parsed = [parse({"kind": "PEBC", "t0_s": 0, "dt_s": 3600, **m}) for m in messages]
    firm = -rng.uniform(5.0, 60.0, (count, STEPS))
    apart = rng.uniform(0.0, 10.0, count)
    fee = (2.0 + np.abs(apart[:, None] - apart)) / 1000.0
    np.fill_diagonal(fee, 0.0)
    free = np.full(firm.shape, np.inf)
    return Problem(
        agents=build_agents(parsed, STEPS, 1.0),
        owner=np.array(owner),
        pool=np.zeros(count, dtype=np.int64),
        firm_kw=firm,
        price_import_eur_per_kwh=rng.uniform(0.06, 0.15, STEPS),
        price_feed_in_eur_per_kwh=np.full(STEPS, 0.03),
        box_min_kw=-free,
        box_max_kw=free,
        fee_eur_per_kwh=fee if fees else None,
        reactive=ReactiveTrade(
            firm_kvar=0.4 * firm,
            price_import_eur_per_kvarh=np.full(STEPS, 0.012),
            price_feed_in_eur_per_kvarh=np.zeros(STEPS),
            box_min_kvar=-free,
            box_max_kvar=free,
            fee_share=0.1 if fees else 0.0,
        )
        if reactive
        else None,
    )


def negotiable(problem: Problem, seed: int) -> Problem:
    """Rows that bind: each position alone fits, most of what is wanted together does not."""
    rng = np.random.default_rng(seed)
    places = len(problem.positions[0])
    demand = rng.uniform(0.0, 1.0, (STEPS, 3, 2 * places))
    firm = problem.positions[1]
    parts = [problem.firm_kw] if problem.reactive is None else np.split(firm, 2)
    least = np.concatenate([np.maximum(np.concatenate([p, -p]) + 2.0, 0.0) for p in parts])
    reach = np.abs(problem.positions[0]) @ problem.agents.row_size_kw
    sides = np.concatenate([np.tile(part, 2) for part in np.split(reach, len(parts))])
    # flexible loads must run at 0.4 of their power in the mean
    room = least + 0.45 * sides[:, None]
    taken = np.matmul(demand, room.T[:, :, None])[:, :, 0].T
    return replace(
        problem,
        agreement=Agreement(
            demand=demand,
            limit=taken * rng.uniform(1.0, 1.3, (3, STEPS)),
            margin=np.full((2 * places, STEPS), 2.0),
            least=least,
            most=np.full((2 * places, STEPS), np.inf),
        ),
    )


def charged(problem: Problem, seed: int) -> Problem:
    """A charge on the losses of three sections."""
    rng = np.random.default_rng(seed)
    places = len(problem.positions[0])
    return replace(
        problem,
        losses=LossCharge(
            rows=rng.integers(0, 2, (3, places)).astype(float),
            offset=rng.uniform(-100.0, 0.0, (3, STEPS)),
            loss_per_kw=rng.uniform(0.0, 2e-4, (3, STEPS)),
            price_eur_per_kwh=0.03,
        ),
    )


def assert_optimal(problem: Problem, network: Any) -> Clearing:
    found = clear(problem, TIGHT, network=network)
    known = clear(problem, method="central", network=network)
    scale = max(abs(known.objective_eur), 1.0)
    assert found.status is Status.CONVERGED
    assert abs(found.objective_eur - known.objective_eur) <= 1e-4 * scale
    assert found.lower_bound_eur <= known.objective_eur + 1e-5 * scale
    return found


seeds = st.integers(0, 10**6)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=seeds, fees=st.booleans(), reactive=st.booleans())
def test_decentral_is_central(seed: int, fees: bool, reactive: bool) -> None:
    assert_optimal(market(seed, fees=fees, reactive=reactive), "none")


@settings(max_examples=12, deadline=None, derandomize=True)
@given(seed=seeds, fees=st.booleans(), reactive=st.booleans())
def test_negotiated_envelopes_are_the_best_ones(seed: int, fees: bool, reactive: bool) -> None:
    problem = negotiable(market(seed, fees=fees, reactive=reactive), seed)
    found = assert_optimal(problem, "agreement")
    terms = problem.agreement
    assert terms is not None
    parts = [found.position_kw] + ([found.position_kvar] if reactive else [])
    wanted = np.concatenate([np.concatenate([p, -p]) for p in parts]) + terms.margin
    extent = np.maximum(wanted, terms.least)
    used = np.matmul(terms.demand, extent.T[:, :, None])[:, :, 0].T
    assert (used <= terms.limit + 0.05).all()
    assert found.worth_of_rows is not None
    assert (found.worth_of_rows >= 0.0).all()


@settings(max_examples=8, deadline=None, derandomize=True)
@given(seed=seeds)
def test_charged_losses_are_weighed(seed: int) -> None:
    assert_optimal(charged(market(seed), seed), "none")


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=seeds)
def test_trades_are_antisymmetric_and_money_is_conserved(seed: int) -> None:
    problem = market(seed)
    found = clear(problem, TIGHT, network="none")
    for trades, position in (
        (found.trades, found.position_kw),
        (found.reactive_trades, found.position_kvar),
    ):
        assert trades is not None
        net = trades.flow_kw - trades.flow_kw.transpose(1, 0, 2)
        assert (trades.flow_kw >= 0.0).all()
        np.testing.assert_allclose(net + net.transpose(1, 0, 2), 0.0, atol=1e-9)
        rest = position - net.sum(axis=1)
        np.testing.assert_allclose(rest, trades.sold_kw - trades.bought_kw, atol=1e-9)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=seeds)
def test_prices_leave_nothing_to_trade(seed: int) -> None:
    problem = market(seed)
    found = clear(problem, TIGHT, network="none")
    price, fee = found.price_eur_per_kwh, problem.fee_eur_per_kwh
    assert fee is not None
    gain = price[None, :, :] - price[:, None, :] - fee[:, :, None]
    assert gain.max() <= 1e-6
    assert (price <= problem.price_import_eur_per_kwh + 1e-6).all()
    assert (price >= problem.price_feed_in_eur_per_kwh - 1e-6).all()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=seeds)
def test_the_exchange_answers_with_the_least_cost(seed: int) -> None:
    """The proximal step against a brute-force search around it."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 5))
    good = Exchange(
        rows=np.eye(count),
        offset_kw=np.zeros((count, 1)),
        fee_eur_per_kwh=rng.uniform(0.0, 0.05, (count, count)) * (1.0 - np.eye(count)),
        price_import_eur_per_kwh=np.array([0.2]),
        price_feed_in_eur_per_kwh=np.array([0.05]),
        dt_h=0.5,
        size_kw=np.ones(count),
    )
    target, weight = rng.normal(0.0, 5.0, (count, 1)), rng.uniform(0.01, 0.1, count)
    answer = good.propose(target, weight)
    trades = good.trades(target, weight)
    net = trades.flow_kw.sum(axis=1) - trades.flow_kw.sum(axis=0)
    np.testing.assert_allclose(net + trades.sold_kw - trades.bought_kw, answer, atol=1e-9)

    def value(position: np.ndarray) -> float:
        # the cost is the largest of -price * position over prices that leave nothing to gain
        best = good.trades(position, np.full(count, 1e6))
        away = (weight[:, None] / 2.0 * (position - target) ** 2).sum()
        return good.cost(position, best) + float(away)

    least = value(answer)
    for _ in range(20):
        assert value(answer + rng.normal(0.0, 0.3, answer.shape)) >= least - 1e-6


def test_what_cannot_be_cleared_together() -> None:
    problem = market(1)
    with pytest.raises(DataError, match="agreement"):
        clear(problem, network="agreement")
    bad = replace(problem, fee_eur_per_kwh=-np.ones((len(problem.pool),) * 2))
    with pytest.raises(DataError, match="fee_eur_per_kwh"):
        clear(bad, network="none")
    alone = replace(problem, pool=np.arange(len(problem.pool)))
    with pytest.raises(DataError, match="one pool"):
        clear(alone, network="none")
