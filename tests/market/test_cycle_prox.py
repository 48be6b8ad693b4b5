"""Cycles of appliances: against enumeration, a general-purpose solver and optimality itself."""

from itertools import combinations, pairwise, product
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from peergrid.devices.flexibility import Flexibility, parse
from peergrid.errors import DataError
from peergrid.market.cycle_prox import (
    ENUMERATED,
    Cycles,
    best_all,
    best_starts,
    build_cycles,
    nearest_all,
    nearest_integer,
    project,
    project_all,
)

Floats = NDArray[np.float64]
Profile = dict[str, Any]
SEEDS = st.integers(0, 10**6)


def appliance(steps: int, *profiles: Profile) -> Flexibility:
    zeros = [0.0] * steps
    message = {"kind": "PPBC", "t0_s": 0, "dt_s": 3600, "p_min_kw": zeros, "p_max_kw": zeros}
    return parse({**message, "profiles": list(profiles)})


def cycle(p_kw: list[float], earliest: int, latest: int, count: int = 1) -> Profile:
    return {"p_kw": p_kw, "earliest": earliest, "latest": latest, "count": count}


def some_profiles(rng: np.random.Generator, steps: int, most: int = 1) -> list[Profile]:
    """Up to ``most`` random profiles, some with flat, zero or injecting power, some tight."""
    profiles = []
    for _ in range(int(rng.integers(1, most + 1))):
        length = int(rng.integers(1, max(2, steps // 4)))
        count = int(rng.integers(1, min(3, steps // length) + 1))
        width = int(rng.integers(count * length, steps + 1))
        earliest = int(rng.integers(0, steps - width + 1))
        flat, level = rng.integers(0, 2, length).astype(float), rng.choice([0.0, 1.0, 3.0])
        power = rng.uniform(-0.2, 2.5, length) if rng.random() < 0.6 else level * flat
        profiles.append(cycle(power.tolist(), earliest, earliest + width, count))
    return profiles


def schedules(profile: Profile, steps: int) -> list[Floats]:
    """Every injection that one profile allows, straight from the definition."""
    length, n = len(profile["p_kw"]), profile["count"]
    starts = range(profile["earliest"], profile["latest"] - length + 1)
    found = []
    for chosen in combinations(starts, n):
        if all(b - a >= length for a, b in pairwise(chosen)):
            p_kw = np.zeros(steps)
            for start in chosen:
                p_kw[start : start + length] -= profile["p_kw"]
            found.append(p_kw)
    return found


def all_schedules(profiles: list[Profile], steps: int) -> Floats:
    parts = [schedules(profile, steps) for profile in profiles]
    return np.array([np.sum(combo, axis=0) for combo in product(*parts)])


def cost(weight: float, pull: Floats, p_kw: Floats) -> Floats:
    return np.asarray(-p_kw @ pull + weight / 2.0 * (p_kw**2).sum(axis=-1))


def solver_answer(profiles: list[Profile], weight: float, pull: Floats) -> Floats:
    """The relaxation in its start variables, by Clarabel with tight tolerances."""
    steps = len(pull)
    p_kw: Any = np.zeros(steps)
    limits: list[Any] = []
    for profile in profiles:
        length = len(profile["p_kw"])
        starts = np.arange(profile["earliest"], profile["latest"] - length + 1)
        x = cp.Variable(len(starts), nonneg=True)
        run, cover = np.zeros((steps, len(starts))), np.zeros((steps, len(starts)))
        for i, start in enumerate(starts):
            run[start : start + length, i] = profile["p_kw"]
            cover[start : start + length, i] = 1.0
        p_kw = p_kw - run @ x
        limits += [cp.sum(x) == profile["count"], cover @ x <= 1.0]
    distance = cp.sum_squares(p_kw - pull / weight)
    tight = {f"tol_{name}": 1e-13 for name in ("gap_abs", "gap_rel", "feas", "ktratio")}
    cp.Problem(cp.Minimize(distance), limits).solve(solver="CLARABEL", **tight)
    return np.asarray(p_kw.value)


def cycles_of(profiles: list[Profile], steps: int) -> Cycles:
    return build_cycles([appliance(steps, *profiles)], steps)


def assert_runs(profiles: list[Profile], p_kw: Floats, starts: NDArray[np.int64]) -> None:
    """The starts are complete, in their windows and apart, and make up the injection."""
    rebuilt, at = np.zeros(len(p_kw)), 0
    for profile in profiles:
        length, n = len(profile["p_kw"]), profile["count"]
        own = starts[at : at + n]
        at += n
        assert own[0] >= profile["earliest"]
        assert own[-1] + length <= profile["latest"]
        assert np.all(np.diff(own) >= length)
        for start in own:
            rebuilt[start : start + length] -= profile["p_kw"]
    assert at == len(starts)
    np.testing.assert_allclose(p_kw, rebuilt, rtol=0, atol=1e-12)


@given(SEEDS)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_best_schedule_by_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(3, 13))
    profiles, price = some_profiles(rng, steps, most=2), rng.normal(0.0, 1.0, steps)
    p_kw, starts = best_starts(cycles_of(profiles, steps).tables, 0, price)
    assert_runs(profiles, p_kw, starts)
    most = (all_schedules(profiles, steps) @ price).max()
    assert p_kw @ price == pytest.approx(most, rel=1e-12, abs=1e-12)


@given(SEEDS)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_projection_is_the_solvers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(4, 25))
    profiles, weight = some_profiles(rng, steps, most=3), float(rng.choice([0.2, 1.0, 10.0]))
    pull = weight * rng.normal(-0.5, 1.0, steps)
    p_kw = project(cycles_of(profiles, steps).tables, 0, weight, pull)
    reference = solver_answer(profiles, weight, pull)
    np.testing.assert_allclose(p_kw, reference, rtol=0, atol=1e-6)


@given(SEEDS)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_no_schedule_improves_on_the_projection(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(2, 49))
    profiles, weight = some_profiles(rng, steps, most=3), float(rng.choice([1e-3, 1.0, 50.0]))
    tables = cycles_of(profiles, steps).tables
    wave = np.round(np.sin(np.arange(steps) / 3.0), 1)  # repeats itself: ties
    pull = wave if rng.random() < 0.3 else rng.normal(0.0, 1.0, steps)
    p_kw = project(tables, 0, weight, pull)
    gradient = weight * p_kw - pull
    best, _ = best_starts(tables, 0, -gradient)
    assert gradient @ (p_kw - best) <= 1e-8
    # the point itself keeps to the windows and draws the energy of the cycles
    energy = sum(profile["count"] * sum(profile["p_kw"]) for profile in profiles)
    assert p_kw.sum() == pytest.approx(-energy, abs=1e-9)
    allowed = np.zeros(steps, dtype=bool)
    for profile in profiles:
        allowed[profile["earliest"] : profile["latest"]] = True
    assert np.all(p_kw[~allowed] == 0.0)


@given(SEEDS)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_projection_of_a_schedule_and_of_a_mixture_is_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(3, 13))
    profiles, weight = some_profiles(rng, steps, most=2), float(rng.uniform(0.1, 5.0))
    tables, points = cycles_of(profiles, steps).tables, all_schedules(profiles, steps)
    one = points[rng.integers(len(points))]
    np.testing.assert_allclose(project(tables, 0, weight, weight * one), one, atol=1e-9)
    mixed = rng.dirichlet(np.ones(len(points))) @ points
    np.testing.assert_allclose(project(tables, 0, weight, weight * mixed), mixed, atol=1e-8)


@given(SEEDS)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_nearest_schedule_by_enumeration(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(3, 10))
    profiles, weight = some_profiles(rng, steps, most=3), float(rng.choice([0.0, 0.5, 5.0]))
    pull = rng.normal(-1.0, 1.0, steps)
    p_kw, starts = nearest_integer(cycles_of(profiles, steps).tables, 0, weight, pull)
    assert_runs(profiles, p_kw, starts)
    least = cost(weight, pull, all_schedules(profiles, steps)).min()
    assert cost(weight, pull, p_kw) == pytest.approx(least, rel=1e-12, abs=1e-12)


@given(SEEDS)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_too_many_combinations_end_where_no_profile_alone_improves(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps, weight = 24, 1.0
    profiles = [cycle(rng.uniform(0.5, 3.0, 3).tolist(), 0, steps) for _ in range(6)]
    assert ENUMERATED < 22**5
    tables, pull = cycles_of(profiles, steps).tables, rng.normal(-0.5, 0.5, steps)
    pull[steps // 2 :] += 2.0  # late starts are better, and tried last
    p_kw, starts = nearest_integer(tables, 0, weight, pull)
    assert_runs(profiles, p_kw, starts)
    found = cost(weight, pull, p_kw)
    assert found <= cost(weight, pull, best_starts(tables, 0, pull)[0]) + 1e-12
    for k, profile in enumerate(profiles):
        rest = p_kw.copy()
        rest[starts[k] : starts[k] + 3] += profile["p_kw"]
        moved = rest + np.array(schedules(profile, steps))
        assert found <= cost(weight, pull, moved).min() + 1e-12


@given(SEEDS, st.sampled_from([1e-3, 7.0, 1e4]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_other_power_units_scale_the_answer(seed: int, unit: float) -> None:
    rng = np.random.default_rng(seed)
    steps = 16
    profiles, pull = some_profiles(rng, steps, most=2), rng.normal(0.0, 1.0, steps)
    larger = [{**p, "p_kw": [unit * power for power in p["p_kw"]]} for p in profiles]
    p_kw = project(cycles_of(profiles, steps).tables, 0, 1.0, pull)
    scaled = project(cycles_of(larger, steps).tables, 0, 1.0, unit * pull)
    np.testing.assert_allclose(scaled / unit, p_kw, rtol=0, atol=1e-9)


@given(SEEDS)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_rows_are_answered_each_on_its_own(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = 10
    homes = [some_profiles(rng, steps, most=2), [], some_profiles(rng, steps, most=3)]
    together = build_cycles([appliance(steps, *home) for home in homes], steps)
    weight, pull = np.array([0.5, 1.0, 0.0]), rng.normal(0.0, 1.0, (3, steps))
    relaxed, exact = project_all(together, weight, pull), nearest_all(together, weight, pull)
    best = best_all(together, pull)
    for r, home in enumerate(homes):
        alone = cycles_of(home, steps).tables
        np.testing.assert_array_equal(relaxed[r], project(alone, 0, weight[r], pull[r]))
        np.testing.assert_array_equal(exact[r], nearest_integer(alone, 0, weight[r], pull[r])[0])
        np.testing.assert_array_equal(best[r], best_starts(alone, 0, pull[r])[0])
    assert not relaxed[1].any()
    np.testing.assert_array_equal(relaxed[2], best[2])  # weight zero: the linear minimum


@pytest.mark.parametrize("weight", [0.0, 0.1, 10.0])
def test_one_possible_start(weight: float) -> None:
    cycles = cycles_of([cycle([1.0, 2.0], 1, 5, 2)], 6)
    only, pull = [[0.0, -1.0, -2.0, -1.0, -2.0, 0.0]], np.array([[3.0, -1.0, 2.0, 9.0, 0.0, -4.0]])
    np.testing.assert_array_equal(project_all(cycles, weight, pull), only)
    np.testing.assert_array_equal(nearest_all(cycles, weight, pull), only)
    np.testing.assert_array_equal(best_all(cycles, pull), only)


def test_no_power_no_answer_but_zero() -> None:
    cycles, pull = cycles_of([cycle([0.0, 0.0], 0, 6)], 6), np.arange(6.0)[None]
    assert not project_all(cycles, 1.0, pull).any()
    assert not nearest_all(cycles, 1.0, pull).any()


def test_consumption_seeks_the_lowest_price_negative_ones_first() -> None:
    tables = cycles_of([cycle([2.0], 0, 4, 2)], 4).tables
    p_kw, starts = best_starts(tables, 0, np.array([0.1, -0.3, 0.2, -0.1]))
    assert starts.tolist() == [1, 3]
    assert p_kw.tolist() == [0.0, -2.0, 0.0, -2.0]


def test_ties_take_the_earliest_starts() -> None:
    tables = cycles_of([cycle([1.0, 1.0], 2, 10, 2)], 12).tables
    assert best_starts(tables, 0, np.full(12, 0.25))[1].tolist() == [2, 4]


def test_a_tiny_weight_is_almost_none_and_a_huge_pull_is_harmless() -> None:
    rng = np.random.default_rng(3)
    cycles = cycles_of([cycle([1.0, 0.5, 2.0], 0, 24, 2), cycle([1.0], 3, 20)], 24)
    pull = rng.normal(0.0, 1.0, (1, 24))
    for weight in (1e-9, 1e-300):
        np.testing.assert_allclose(project_all(cycles, weight, pull), best_all(cycles, pull))
    shifted = project_all(cycles, 1.0, pull + 1e6)
    np.testing.assert_allclose(shifted, project_all(cycles, 1.0, pull), rtol=0, atol=1e-8)


def test_windows_end_with_the_horizon() -> None:
    message = appliance(24, cycle([1.0, 1.0], 4, 24, 2))
    cycles = build_cycles([message], 9)
    assert (cycles.shape, cycles.latest.tolist()) == ((1, 9), [9])
    assert not any(array.flags.writeable for array in cycles.tables)
    assert np.flatnonzero(best_all(cycles, np.arange(9.0))).tolist() == [4, 5, 6, 7]
    other = appliance(24, cycle([1.0], 0, 4))
    told = r"message 1: profiles\[0\] = .* 2 x 2 steps.* 7"
    with pytest.raises(DataError, match=told):
        build_cycles([other, message], 7)
    with pytest.raises(DataError):
        build_cycles([message], 3)


def test_arrays_of_another_shape_are_refused() -> None:
    cycles = cycles_of([cycle([1.0], 0, 6)], 6)
    with pytest.raises(ValueError):
        project_all(cycles, 1.0, np.zeros((1, 5)))
