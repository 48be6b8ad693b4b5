"""Laws of the clearing over random communities on random radial feeders."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from peergrid.market.admm import Settings, Status
from peergrid.market.agents import Agents
from peergrid.market.clearing import clear
from peergrid.market.problem import Problem
from peergrid.market.result import Clearing
from peergrid.market.settlement import RULES, Hour, Terms, bill_eur, settle
from tests.market.grids import Draft, dearer, drafts, flow_of, larger, permuted, with_idle

Floats = NDArray[np.float64]
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
LAWS = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=QUIET,
)

# Tight enough that where the iteration stops does not matter.
FINE = Settings(max_iterations=1000).tightened(1e-5)
GAP = 1e-4
VOLTAGES = ("wide", "tight", "per bus")
LIMITS = (*VOLTAGES, "current")
ON_VOLTAGES = drafts(bands=VOLTAGES, offers=())
ANY = drafts(bands=LIMITS, cycles=True) | drafts(bands=LIMITS, boxes=True) | drafts(bands=LIMITS)


def on_ac(problem: Problem, how: Settings | None = None) -> Clearing:
    return clear(problem, how, network="ac")


def relaxed(problem: Problem) -> Clearing:
    """The central optimum of the relaxed branch flow model."""
    return clear(problem, method="central", network="branch-flow", solver="CLARABEL")


def money(found: Clearing) -> float:
    """What errors in the objective are compared with [EUR]."""
    return abs(found.objective_eur) + 1.0


def breaks_nothing(found: Clearing) -> bool:
    """Whether the schedule keeps all limits that couple the agents, exactly."""
    assert found.grid is not None
    broken = (found.grid.violation_pu, found.grid.overload, found.box_violation_kw)
    return not any(np.max(part) > 0.0 for part in broken)


# --- balance


@given(ANY)
@LAWS
def test_the_import_is_that_of_the_power_flow(draft: Draft) -> None:
    problem = draft.problem()
    found = on_ac(problem, Settings(max_iterations=60))
    flow = flow_of(problem, found.schedule_kw, found.schedule_kvar)
    size = np.abs(found.position_kw).sum(axis=0).max() + np.abs(found.import_kw).max()
    np.testing.assert_allclose(found.import_kw[0], flow.head_p_kw, atol=1e-6 * size)
    assert found.grid is not None
    np.testing.assert_allclose(found.grid.loss_kw, flow.loss_kw, atol=1e-6 * size)
    np.testing.assert_allclose(found.grid.vm_pu, flow.vm_pu, atol=1e-6)
    drawn = -found.position_kw.sum(axis=0) + found.grid.loss_kw
    np.testing.assert_allclose(found.import_kw[0], drawn, atol=1e-6 * size)


@given(ANY)
@LAWS
def test_positions_are_what_is_firm_and_what_is_scheduled(draft: Draft) -> None:
    problem = draft.problem()
    found = on_ac(problem, Settings(max_iterations=60))
    for position, firm, schedule in (
        (found.position_kw, draft.firm_kw, found.schedule_kw),
        (found.position_kvar, draft.firm_kvar, found.schedule_kvar),
    ):
        for n, own in enumerate(firm):
            total = own + schedule[draft.owner == n].sum(axis=0)
            np.testing.assert_allclose(position[n], total, rtol=1e-9, atol=1e-9)


# --- prices


@given(ANY)
@LAWS
def test_prices_lie_between_the_tariffs_and_are_the_sum_of_their_parts(draft: Draft) -> None:
    found = on_ac(draft.problem(), Settings(max_iterations=60))
    theta = found.theta_eur_per_kwh
    assert np.all(theta >= draft.sell - 1e-9)
    assert np.all(theta <= draft.buy + 1e-9)
    parts = theta[0] + found.loss_price_eur_per_kwh + found.congestion_eur_per_kwh
    np.testing.assert_allclose(found.price_eur_per_kwh, parts, rtol=1e-12, atol=1e-12)


@given(drafts(bands=("wide",), cycles=True))
@LAWS
def test_there_is_no_congestion_where_no_limit_is_near(draft: Draft) -> None:
    found = on_ac(draft.problem(), Settings(max_iterations=60))
    assert not found.congestion_eur_per_kwh.any()


@given(drafts(bands=VOLTAGES), st.data())
@LAWS
def test_the_loss_part_is_what_a_kilowatt_saves_in_losses(draft: Draft, data: Any) -> None:
    problem = draft.problem()
    found = on_ac(problem, Settings(max_iterations=60))
    who = data.draw(st.integers(0, len(draft.at) - 1))
    step = 0.1 * draft.feeder.base_mva
    losses = []
    for move in (step, -step):
        firm = problem.firm_kw.copy()
        firm[who] += move
        moved = replace(problem, firm_kw=firm)
        losses.append(flow_of(moved, found.schedule_kw, found.schedule_kvar).loss_kw)
    saved = -found.theta_eur_per_kwh[0] * (losses[0] - losses[1]) / (2.0 * step)
    np.testing.assert_allclose(found.loss_price_eur_per_kwh[who], saved, rtol=1e-4, atol=1e-6)


# --- bound and optimum


@given(ANY)
@LAWS
def test_the_bound_lies_below_the_cost_of_every_schedule_and_the_optimum(draft: Draft) -> None:
    problem = draft.problem()
    assume(problem.agents.is_foldable.any())
    best = relaxed(problem).lower_bound_eur
    for how in (*(Settings(max_iterations=n) for n in (1, 3, 10)), None):
        found = on_ac(problem, how)
        tolerance = 1e-6 * (abs(best) + money(found))
        assert found.lower_bound_eur <= best + tolerance
        if breaks_nothing(found):
            assert found.lower_bound_eur <= found.objective_eur + 1e-9 * money(found)
            assert found.objective_eur >= best - tolerance


@given(ON_VOLTAGES)
@LAWS
def test_it_converges_to_the_central_optimum_where_the_relaxation_is_exact(draft: Draft) -> None:
    problem = draft.problem()
    assume(draft.messages)
    best, found = relaxed(problem), on_ac(problem, FINE)
    assert found.status is Status.CONVERGED
    assert best.relaxation is not None
    if best.relaxation.is_exact:
        assert found.objective_eur == pytest.approx(best.lower_bound_eur, abs=GAP * money(found))


@given(ON_VOLTAGES)
@LAWS
def test_an_exact_relaxation_proves_the_schedule(draft: Draft) -> None:
    found = on_ac(draft.problem(), FINE)
    assert found.status is Status.CONVERGED
    assert found.relaxation is not None
    if found.relaxation.is_exact:
        distance = found.objective_eur - found.lower_bound_eur
        assert abs(distance) <= GAP * money(found)


# --- symmetries


@given(ON_VOLTAGES, st.randoms(use_true_random=False))
@LAWS
def test_the_order_of_participants_and_resources_does_not_matter(draft: Draft, draw: Any) -> None:
    members, resources = list(range(len(draft.at))), list(range(len(draft.messages)))
    draw.shuffle(members)
    draw.shuffle(resources)
    other = permuted(draft, np.array(members), np.array(resources, dtype=np.int64))
    check_same(on_ac(draft.problem(), FINE), on_ac(other.problem(), FINE))


@given(ON_VOLTAGES)
@LAWS
def test_units_of_power_do_not_matter(draft: Draft) -> None:
    found = on_ac(draft.problem(), FINE)
    many = replace(FINE, tolerance_kw=1000.0 * FINE.tolerance_kw)
    check_same(found, on_ac(larger(draft, 1000.0).problem(), many), power=1000.0)


@given(ON_VOLTAGES)
@LAWS
def test_units_of_money_do_not_matter(draft: Draft) -> None:
    found = on_ac(draft.problem(), FINE)
    dear = replace(
        FINE,
        tolerance_eur_per_kwh=10.0 * FINE.tolerance_eur_per_kwh,
        price_unit_eur_per_kwh=10.0 * FINE.price_unit_eur_per_kwh,
    )
    check_same(found, on_ac(dearer(draft, 10.0).problem(), dear), price=10.0)


@given(ON_VOLTAGES, st.integers(0, 7))
@LAWS
def test_someone_who_does_nothing_changes_nothing(draft: Draft, at: int) -> None:
    other = with_idle(draft, at % draft.feeder.n_bus)
    check_same(on_ac(draft.problem(), FINE), on_ac(other.problem(), FINE))


def check_same(one: Clearing, other: Clearing, *, power: float = 1.0, price: float = 1.0) -> None:
    """Same outcome up to units; imports may differ where several schedules cost the same."""
    assert one.status is other.status is Status.CONVERGED
    cost = other.objective_eur / (power * price)
    assert cost == pytest.approx(one.objective_eur, abs=GAP * money(one))


# --- money


@given(drafts(bands=("wide",)), st.data())
@LAWS
def test_payments_are_the_retail_bill_and_the_fees(draft: Draft, data: Any) -> None:
    found = on_ac(draft.problem(), Settings(max_iterations=60))
    fee = data.draw(st.floats(0.0, 0.05))
    payer = data.draw(st.sampled_from(["operator", "participants"]))
    assert found.grid is not None
    for t in range(draft.firm_kw.shape[1]):
        hour = Hour(
            dt_h=draft.dt_h,
            pool=np.zeros(len(draft.at), dtype=np.int64),
            position_kw=found.position_kw[:, t],
            metered_kw=found.position_kw[:, t],
            theta_eur_per_kwh=found.theta_eur_per_kwh[:, t],
            price_import_eur_per_kwh=draft.buy[t],
            price_feed_in_eur_per_kwh=draft.sell[t],
            loss_kw=float(found.grid.loss_kw[t]),
        )
        for rule in RULES:
            terms = Terms(rule=rule, losses_paid_by=payer, network_fee_eur_per_kwh=fee)
            check_money(hour, terms, float(found.import_kw[0, t]))


def check_money(hour: Hour, terms: Terms, import_kw: float) -> None:
    """Payments are the bill of what is imported, losses included, and the fees."""
    result = settle(hour, terms)
    paid = result.cost_eur.sum() + result.operator_cost_eur
    bill = float(bill_eur(hour, import_kw))
    size = hour.dt_h * hour.price_import_eur_per_kwh * np.abs(hour.position_kw).sum() + 1.0
    assert paid == pytest.approx(bill + result.network_fees_eur, abs=1e-9 * size)
    fee = terms.network_fee_eur_per_kwh * hour.dt_h * result.traded_total_kw
    assert result.network_fees_eur == pytest.approx(fee, abs=1e-9 * size)
    np.testing.assert_array_equal(result.trade_with_kw, -result.trade_with_kw.T)


# --- schedules


@given(drafts(bands=("wide",), cycles=True), st.sampled_from([1, 7, 60]))
@LAWS
def test_every_schedule_can_be_followed(draft: Draft, iterations: int) -> None:
    problem = draft.problem()
    found = on_ac(problem, Settings(max_iterations=iterations))
    check_limits(problem.agents, draft, found)
    check_energies(problem.agents, found.schedule_kw)
    check_reactive(draft, found)
    for message, schedule in zip(draft.messages, found.schedule_kw, strict=True):
        if message["kind"] == "PPBC":
            assert any(np.allclose(schedule, -run) for run in runs(message, len(schedule)))


def check_limits(agents: Agents, draft: Draft, found: Clearing) -> None:
    tiny = 1e-9 * 100.0 * draft.feeder.base_mva
    free = agents.is_foldable
    assert np.all((found.schedule_kw >= agents.p_min_kw - tiny)[free])
    assert np.all((found.schedule_kw <= agents.p_max_kw + tiny)[free])


def check_energies(agents: Agents, schedule_kw: Floats) -> None:
    """Energies stay within their limits, charging and discharging at once where that is planned."""
    _, eta_c, eta_d, keep, demand, energy, low, high = agents.storage
    burnt = agents.burning_kw(schedule_kw)
    net = schedule_kw[agents.stores]
    charge, discharge = np.maximum(-net, 0.0) + burnt, np.maximum(net, 0.0) + burnt
    stored = agents.dt_h * (eta_c * charge - discharge / eta_d) - demand
    tiny = 1e-6 * (1.0 + high.max(initial=0.0))
    for t in range(schedule_kw.shape[1]):
        energy = keep * energy + stored[:, t]
        assert np.all(energy >= low[:, t] - tiny)
        assert np.all(energy <= high[:, t] + tiny)


def check_reactive(draft: Draft, found: Clearing) -> None:
    """Reactive power inside the box, the power factor, and the disc."""
    for message, p, q in zip(draft.messages, found.schedule_kw, found.schedule_kvar, strict=True):
        offer = message.get("q", {"box": [0.0, 0.0]})
        low, high = offer.get("box", (-np.inf, np.inf))
        most = np.sqrt(np.maximum(offer.get("disc_kva", np.inf) ** 2 - p**2, 0.0))
        if "min_pf" in offer:
            factor = offer["min_pf"]
            most = np.minimum(most, np.sqrt(1.0 - factor**2) / factor * np.abs(p))
        tiny = 1e-9 * 100.0 * draft.feeder.base_mva
        assert np.all(np.abs(q) <= most + tiny)
        assert np.all((q >= low - tiny) & (q <= high + tiny))


def runs(message: dict[str, Any], steps: int) -> list[Floats]:
    """Power under all whole starts of the cycles of one resource."""
    found = [np.zeros(steps)]
    for profile in message["profiles"]:
        power, earliest, latest = profile["p_kw"], profile["earliest"], profile["latest"]
        own = [(np.zeros(steps), earliest)]
        for _ in range(profile["count"]):
            own = [
                (placed(total, power, start), start + len(power))
                for total, free in own
                for start in range(free, latest - len(power) + 1)
            ]
        found = [one + two for one in found for two, _ in own]
    return found


def placed(total: Floats, power: list[float], start: int) -> Floats:
    after = total.copy()
    after[start : start + len(power)] += power
    return after


# --- the clearing without a network


@given(drafts(bands=("wide",), boxes=True), st.sampled_from(["none", "envelope"]))
@LAWS
def test_without_the_grid_it_is_the_central_optimum(draft: Draft, network: Any) -> None:
    problem = draft.problem()
    assume(draft.messages)
    found = clear(problem, FINE, network=network)
    best = clear(problem, method="central", network=network)
    assert found.status is Status.CONVERGED
    assert found.objective_eur == pytest.approx(best.objective_eur, abs=GAP * money(best))
    assert found.lower_bound_eur <= best.objective_eur + 1e-6 * money(best)
    if network == "envelope":
        size = 0.1 + np.abs(found.position_kw).max()
        assert found.box_violation_kw <= 1e-3 * size


# --- warm start


@given(ON_VOLTAGES)
@LAWS
def test_a_warm_start_from_the_result_is_quick(draft: Draft) -> None:
    problem = draft.problem()
    cold = on_ac(problem)
    assert cold.status is Status.CONVERGED
    warm = clear(problem, warm=cold.warm, network="ac")
    assert warm.status is Status.CONVERGED
    assert warm.iterations <= max(25, cold.iterations)
    assert warm.objective_eur == pytest.approx(cold.objective_eur, abs=2.0 * GAP * money(cold))
