"""Appliances in the clearing: relaxed, fixed at whole cycles, cleared again; all choices tried."""

from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from peergrid.market.admm import Settings, Status
from peergrid.market.clearing import clear
from peergrid.market.cycle_prox import build_cycles
from peergrid.market.problem import Problem
from peergrid.market.result import Clearing
from tests.market.test_edges import battery, problem, sun, vehicle

Floats = NDArray[np.float64]
Profile = dict[str, Any]
STEPS = 6
TIGHT = Settings(max_iterations=3000).tightened(1e-6)
REFERENCE: dict[str, Any] = {"none": "none", "ac": "branch-flow"}
CASES = [(seed, network) for seed in range(4) for network in REFERENCE]
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def appliance(*profiles: Profile, steps: int = STEPS) -> dict[str, Any]:
    return {
        "kind": "PPBC",
        "p_min_kw": [-50.0] * steps,
        "p_max_kw": [0.0] * steps,
        "profiles": list(profiles),
    }


def choices(profile: Profile) -> list[Floats]:
    """Every schedule of whole cycles, none begun before the last one ended."""
    power, length = np.array(profile["p_kw"]), len(profile["p_kw"])
    begins = range(profile["earliest"], profile["latest"] - length + 1)
    found = []
    for starts in combinations(begins, profile["count"]):
        if all(b - a >= length for a, b in pairwise(starts)):
            p_kw = np.zeros(STEPS)
            for start in starts:
                p_kw[start : start + length] -= power
            found.append(p_kw)
    return found


@cache
def profiles_of(seed: int) -> tuple[Profile, Profile]:
    """Two appliances; the first runs once or twice."""
    rng = np.random.default_rng(seed)
    one = {"p_kw": rng.uniform(1, 8, 2).tolist(), "earliest": 0, "count": 1 + seed % 2}
    two = {"p_kw": rng.uniform(1, 8, 3).tolist(), "earliest": int(rng.integers(0, 2)), "count": 1}
    return one | {"latest": STEPS}, two | {"latest": STEPS - int(rng.integers(0, 2))}


@cache
def problem_of(seed: int) -> Problem:
    """The two, a plant, a small battery; a price for every hour."""
    rng = np.random.default_rng(100 + seed)
    plant = sun(STEPS) | {"p_max_kw": rng.uniform(0, 12, STEPS).tolist()}
    first, second = profiles_of(seed)
    messages = [appliance(first), appliance(second), plant, battery(STEPS, 0.4)]
    case = problem(messages, [0, 1, 2, 2], at=[1, 2, 3], steps=STEPS, firm_kw=-1.0)
    return replace(case, price_import_eur_per_kwh=0.2 + 0.2 * rng.random(STEPS))


@cache
def cleared(seed: int, network: Any) -> Clearing:
    return clear(problem_of(seed), TIGHT, network=network)


def fixed(case: Problem, schedules: tuple[Floats, ...]) -> Problem:
    """The case with its appliances held to these schedules."""
    agents, none = case.agents, np.empty(0, dtype=np.int64)
    low, high = agents.p_min_kw.copy(), agents.p_max_kw.copy()
    low[agents.cycling] = high[agents.cycling] = np.array(schedules)
    held = replace(
        agents, p_min_kw=low, p_max_kw=high, cycling=none, cycles=build_cycles([], STEPS)
    )
    return replace(case, agents=held)


@cache
def best_of_all(seed: int, network: str) -> float:
    """Least cost over all combinations of starts, the rest solved centrally each time."""
    case, reference = problem_of(seed), REFERENCE[network]
    every = product(*(choices(profile) for profile in profiles_of(seed)))
    way: dict[str, Any] = {"method": "central", "network": reference}
    return min(clear(fixed(case, one), **way).objective_eur for one in every)


@each_case
def test_cycles_run_whole_inside_their_windows(case: tuple[int, str]) -> None:
    found = cleared(*case)
    for r, profile in enumerate(profiles_of(case[0])):
        same = [np.abs(found.schedule_kw[r] - one).max() <= 1e-9 for one in choices(profile)]
        assert sum(same) == 1


@each_case
def test_the_best_choice_lies_between_bound_and_cost(case: tuple[int, str]) -> None:
    found, best = cleared(*case), best_of_all(*case)
    assert found.status is Status.CONVERGED
    assert found.lower_bound_eur <= best * (1.0 + 1e-7)
    assert found.objective_eur >= best * (1.0 - 1e-5)
    assert found.objective_eur - best <= found.gap * max(abs(found.objective_eur), 1.0) + 1e-9


@each_case
def test_what_whole_cycles_cost(case: tuple[int, str]) -> None:
    """Never less than the relaxed ones, and what is reported is the difference to them."""
    found = cleared(*case)
    relaxed = clear(problem_of(case[0]), method="central", network=REFERENCE[case[1]])
    bound = relaxed.lower_bound_eur
    extra = (found.objective_eur - bound) / max(abs(bound), 1.0)
    assert extra >= -1e-6
    assert found.integer_gap == pytest.approx(extra, abs=1e-4)  # both are cleared to so much
    assert found.lower_bound_eur <= bound * (1.0 + 1e-7)


def test_mostly_the_best_choice_is_found() -> None:
    excess = [cleared(*case).objective_eur / best_of_all(*case) - 1.0 for case in CASES]
    assert np.median(excess) < 0.02


@each_case
def test_the_rest_answers_to_the_cycles_as_they_are_fixed(case: tuple[int, str]) -> None:
    seed, network = case
    found, problem_ = cleared(*case), problem_of(seed)
    held = fixed(problem_, tuple(found.schedule_kw[:2]))
    best = clear(held, method="central", network=REFERENCE[network])
    assert found.objective_eur == pytest.approx(best.objective_eur, abs=1e-4)


@pytest.mark.parametrize("network", ["none", "ac"])
def test_iterations_and_history_cover_both_runs(network: Any) -> None:
    found = clear(problem_of(1), Settings(max_iterations=7), network=network)
    assert found.iterations == len(found.history) == len(found.dual_history)
    assert 7 < found.iterations <= 14
    assert found.status in (Status.CONVERGED, Status.ITERATION_LIMIT)


def test_one_start_leaves_nothing_to_decide() -> None:
    """A window as long as the cycle: relaxed and whole are the same."""
    cycle = {"p_kw": [3.0, 1.0, 2.0], "earliest": 2, "latest": 5, "count": 1}
    case = problem([appliance(cycle)], [0], at=[3], steps=STEPS, firm_kw=-1.0)
    found = clear(case, network="ac")
    np.testing.assert_allclose(found.schedule_kw[0], [0, 0, -3, -1, -2, 0], atol=1e-12)
    assert found.integer_gap == pytest.approx(0.0, abs=1e-9)
    assert found.gap == pytest.approx(0.0, abs=1e-9)


def test_a_cycle_moves_to_the_cheap_hours() -> None:
    cycle = {"p_kw": [3.0, 3.0], "earliest": 0, "latest": STEPS, "count": 1}
    case = problem([appliance(cycle)], [0], at=[3], steps=STEPS, firm_kw=-1.0)
    price = np.array([0.3, 0.3, 0.3, 0.1, 0.12, 0.3])
    found = clear(replace(case, price_import_eur_per_kwh=price), network="ac")
    np.testing.assert_allclose(found.schedule_kw[0], [0, 0, 0, -3, -3, 0], atol=1e-12)


def test_a_day_with_appliances_vehicle_and_sun() -> None:
    cycles = [
        appliance({"p_kw": [2.0, 2.0, 1.0], "earliest": 8 + k, "latest": 22, "count": 2}, steps=24)
        for k in range(4)
    ]
    messages = [*cycles, sun(24), battery(24), vehicle(24)]
    case = problem(messages, [0, 1, 2, 3, 0, 1, 2], at=[1, 2, 3, 3])
    found = clear(case, network="ac")
    assert found.status is Status.CONVERGED
    drawn = -found.schedule_kw[:4]
    np.testing.assert_allclose(drawn.sum(axis=1), 10.0)
    assert not drawn[:, :8].any()
    assert not drawn[:, 22:].any()
    assert abs(found.integer_gap) < 0.02
    assert found.lower_bound_eur <= found.objective_eur
