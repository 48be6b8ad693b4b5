"""Reactive power in the clearing: capability kept exactly, priced right, and worth something."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from peergrid.market.admm import Settings, Status
from peergrid.market.clearing import clear
from peergrid.market.problem import Problem
from peergrid.market.result import Clearing
from peergrid.network.power_flow import solve
from tests.market.test_edges import battery, problem, sun, vehicle

Floats = NDArray[np.float64]
TIGHT = Settings(max_iterations=3000).tightened(4e-6)
SIZE_KVA = 20.0  # what the sun yields at noon
OFFERS: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None]] = {
    "none": (None, None),
    "disc": ({"disc_kva": 1.1 * SIZE_KVA}, None),
    "disc full": ({"disc_kva": SIZE_KVA}, None),
    "box": ({"box": [-6.0, 6.0]}, None),
    "one way": ({"box": [-6.0, 0.0]}, {"box": [0.0, 2.0]}),
    "factor": ({"min_pf": 0.9}, None),
    "battery disc": (None, {"disc_kva": 5.0}),
    "all": ({"disc_kva": 21.0, "min_pf": 0.9, "box": [-6.0, 6.0]}, {"disc_kva": 5.0}),
}
BANDS: dict[str, dict[str, Any]] = {"free": {}, "upper": {"v_max_pu": 1.0008}}
# where the relaxed branch flow model is exact and hence the reference: without a binding upper
# limit always, with one only where reactive power makes room for the sun
EXACT = [(offer, "free") for offer in OFFERS] + [("disc", "upper"), ("disc full", "upper")]
each_exact = pytest.mark.parametrize("case", EXACT, ids=str)
each_offer = pytest.mark.parametrize("offer", list(OFFERS))


@cache
def problem_of(offer: str, band: str) -> Problem:
    """Sun at the end of a feeder of four buses, a battery and a vehicle before it."""
    messages = [sun(24), battery(24), vehicle(24)]
    for message, q in zip(messages, OFFERS[offer], strict=False):
        if q is not None:
            message["q"] = q
    return problem(messages, [0, 1, 2], at=[3, 2, 1], **BANDS[band])


@cache
def cleared(offer: str, band: str) -> Clearing:
    return clear(problem_of(offer, band), TIGHT, network="ac")


@cache
def optimum(offer: str, band: str) -> Clearing:
    return clear(problem_of(offer, band), method="central", network="branch-flow")


def most_kvar(q: dict[str, Any], p_kw: Floats) -> tuple[Floats, Floats]:
    """Least and most reactive power that an offer allows with an active one."""
    most = np.full(p_kw.shape, np.inf)
    if "disc_kva" in q:
        most = np.sqrt(np.maximum(q["disc_kva"] ** 2 - p_kw**2, 0.0))
    if "min_pf" in q:
        most = np.minimum(most, np.tan(np.arccos(q["min_pf"])) * np.abs(p_kw))
    low, high = q.get("box", (-np.inf, np.inf))
    return np.clip(low, -most, most), np.clip(high, -most, most)


@each_exact
def test_is_the_optimum_of_the_cone_programme(case: tuple[str, str]) -> None:
    found, best = cleared(*case), optimum(*case)
    assert found.status is Status.CONVERGED
    assert best.relaxation is not None
    assert best.relaxation.is_exact
    assert found.objective_eur == pytest.approx(best.lower_bound_eur, rel=1e-5)
    np.testing.assert_allclose(found.price_eur_per_kvarh, best.price_eur_per_kvarh, atol=1e-4)
    np.testing.assert_allclose(found.price_eur_per_kwh, best.price_eur_per_kwh, atol=2e-3)


@each_exact
def test_bound_below_optimum_below_objective(case: tuple[str, str]) -> None:
    found, best = cleared(*case), optimum(*case).lower_bound_eur
    assert found.lower_bound_eur <= best * (1.0 + 1e-7)
    assert found.lower_bound_eur <= found.objective_eur + 1e-6 * best
    assert found.objective_eur >= best * (1.0 - 3e-6)  # tolerance of the second proposals


@each_exact
def test_bound_holds_however_early_the_iteration_stops(case: tuple[str, str]) -> None:
    best = optimum(*case).lower_bound_eur
    for iterations in (1, 20):
        early = clear(problem_of(*case), Settings(max_iterations=iterations), network="ac")
        assert early.lower_bound_eur <= best * (1.0 + 1e-7)


@each_offer
@pytest.mark.parametrize("iterations", [1, 20])
def test_capability_is_kept_exactly(offer: str, iterations: int) -> None:
    found = clear(problem_of(offer, "upper"), Settings(max_iterations=iterations), network="ac")
    for r, q in enumerate((*OFFERS[offer], None)):
        p_kw, q_kvar = found.schedule_kw[r], found.schedule_kvar[r]
        low, high = most_kvar(q or {"box": (0.0, 0.0)}, p_kw)
        assert np.all(q_kvar >= low - 1e-9)
        assert np.all(q_kvar <= high + 1e-9)
    firm = problem_of(offer, "upper").grid
    assert firm is not None
    np.testing.assert_array_equal(found.position_kvar, firm.firm_kvar + found.schedule_kvar)


def test_a_full_inverter_has_no_room_for_reactive_power() -> None:
    found = cleared("disc full", "free")
    noon = 12
    assert found.schedule_kw[0, noon] == pytest.approx(SIZE_KVA, abs=1e-3)
    assert abs(found.schedule_kvar[0, noon]) <= np.sqrt(SIZE_KVA**2 - found.schedule_kw[0, 12] ** 2)
    assert abs(found.schedule_kvar[0, noon - 5]) > 0.1


def test_a_full_inverter_gives_up_sun_for_reactive_power_where_the_voltage_binds() -> None:
    found, blind = cleared("disc full", "upper"), cleared("none", "upper")
    noon = slice(11, 14)
    assert np.all(found.schedule_kvar[0, noon] < -1.0)
    assert np.all(found.schedule_kw[0, noon] < SIZE_KVA - 0.01)
    assert np.all(found.schedule_kw[0, noon] > blind.schedule_kw[0, noon] + 1.0)


@each_offer
def test_reactive_power_lowers_losses(offer: str) -> None:
    found, without = cleared(offer, "free"), cleared("none", "free")
    assert found.objective_eur <= without.objective_eur * (1.0 + 2e-6)
    assert found.grid is not None
    assert without.grid is not None
    if offer != "none":
        assert found.grid.loss_kw.sum() < without.grid.loss_kw.sum() - 1e-3


@pytest.mark.parametrize("offer", ["disc", "box"])
def test_reactive_power_relieves_a_binding_voltage(offer: str) -> None:
    without, found = cleared("none", "upper"), cleared(offer, "upper")
    for one in (without, found):
        assert one.grid is not None
        assert one.grid.violation_pu.max() <= 1e-4
        assert one.grid.vm_pu.max() == pytest.approx(1.0008, abs=1e-4)
    assert found.objective_eur < without.objective_eur - 0.5
    assert found.schedule_kw[0].sum() > without.schedule_kw[0].sum() + 1.0
    assert found.price_eur_per_kvarh[0, 12] < -1e-3  # drawing reactive power is what helps


@pytest.mark.parametrize("case", [("none", "free"), ("box", "free"), ("disc", "upper")], ids=str)
@pytest.mark.parametrize("spot", [(0, 12), (1, 12), (2, 20)])
def test_price_of_reactive_power_is_what_a_kvarh_saves(
    case: tuple[str, str], spot: tuple[int, int]
) -> None:
    base, step = problem_of(*case), 0.05
    assert base.grid is not None
    costs = []
    for change in (-step, step):
        firm_kvar = base.grid.firm_kvar.copy()
        firm_kvar[spot] += change
        moved = replace(base, grid=replace(base.grid, firm_kvar=firm_kvar))
        costs.append(clear(moved, method="central", network="branch-flow").lower_bound_eur)
    saved = (costs[0] - costs[1]) / (2.0 * step)
    assert cleared(*case).price_eur_per_kvarh[spot] == pytest.approx(saved, abs=2e-5, rel=1e-3)


def test_what_is_reported_is_the_power_flow_of_the_schedule() -> None:
    for offer in ("none", "box", "one way"):
        found, case = cleared(offer, "upper"), problem_of(offer, "upper")
        assert case.grid is not None
        assert found.grid is not None
        p_kw, q_kvar = np.zeros_like(case.grid.background_kw), case.grid.background_kvar.copy()
        np.add.at(p_kw, case.grid.at, found.position_kw)
        np.add.at(q_kvar, case.grid.at, found.position_kvar)
        flow = solve(case.grid.feeder, p_kw, q_kvar)
        np.testing.assert_allclose(found.import_kw[0], flow.head_p_kw, atol=1e-8)
        np.testing.assert_allclose(found.grid.vm_pu, flow.vm_pu, atol=1e-9)


def test_a_battery_under_a_power_factor_is_not_convex_and_still_served() -> None:
    """It may draw and inject: the iteration may not settle, but the schedule keeps the factor."""
    messages = [sun(24), battery(24) | {"q": {"min_pf": 0.9}}, vehicle(24)]
    case = problem(messages, [0, 1, 2], at=[3, 2, 1])
    found, without = clear(case, network="ac"), cleared("none", "free")
    low, high = most_kvar({"min_pf": 0.9}, found.schedule_kw[1])
    assert np.all((found.schedule_kvar[1] >= low - 1e-9) & (found.schedule_kvar[1] <= high + 1e-9))
    assert found.objective_eur <= without.objective_eur * (1.0 + 1e-4)
    assert found.lower_bound_eur <= found.objective_eur
    hull = clear(case, method="central", network="branch-flow").lower_bound_eur
    assert found.lower_bound_eur <= hull * (1.0 + 1e-7)


def test_without_the_network_nobody_is_asked_for_reactive_power() -> None:
    found = clear(problem_of("all", "free"), network="envelope")
    assert not found.schedule_kvar.any()
    assert not found.price_eur_per_kvarh.any()
