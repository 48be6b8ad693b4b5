"""Searches descend, stay in the cube and within their budget, and can be repeated."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.planning.cheetah import VARIANTS, CheetahSettings, Variant
from peergrid.planning.search import SEARCHES, Found, SearchSettings, search
from tests.planning.functions import RANGES, on_cube

Floats = NDArray[np.float64]

# What is left of the median over the cube after 6000 evaluations in ten dimensions: three times
# the worst of five seeds.
LEFT: dict[Variant, dict[str, float]] = {
    "text": {
        "sphere": 2e-6,
        "rosenbrock": 2e-7,
        "rastrigin": 0.08,
        "ackley": 0.01,
        "griewank": 0.002,
        "schwefel": 0.25,
    },
    "code": {
        "sphere": 5e-14,
        "rosenbrock": 5e-6,
        "rastrigin": 0.1,
        "ackley": 1e-4,
        "griewank": 0.006,
        "schwefel": 0.3,
    },
}


def median(name: str, dimension: int) -> float:
    return float(np.median(on_cube(name)(np.random.default_rng(0).random((1000, dimension)))))


def found_by(method: str, name: str, *, seed: int = 0, dimension: int = 10, **given: Any) -> Found:
    settings = SearchSettings(**{"budget": 3000, **given})
    return search(method, on_cube(name), dimension, seed=seed, settings=settings)


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_cheetahs_descend(variant: Variant, name: str) -> None:
    chosen = CheetahSettings(variant=variant)
    found = found_by("cheetah", name, budget=6000, cheetah=chosen)
    assert found.score <= LEFT[variant][name] * median(name, 10)


@pytest.mark.parametrize("name", ["sphere", "rastrigin"])
@pytest.mark.parametrize("method", ["ga", "de", "cmaes"])
def test_the_others_descend(method: str, name: str) -> None:
    assert found_by(method, name).score <= 0.3 * median(name, 10)


@pytest.mark.parametrize("method", SEARCHES)
def test_the_budget_is_never_exceeded(method: str) -> None:
    for budget in (100, 137, 1000):
        count = [0]

        def score(points: Floats, count: list[int] = count) -> Floats:
            count[0] += len(points)
            return on_cube("sphere")(points)

        found = search(method, score, 7, seed=0, settings=SearchSettings(budget=budget))
        assert count[0] == found.evaluations == budget


@pytest.mark.parametrize("method", SEARCHES)
def test_all_points_lie_in_the_cube(method: str) -> None:
    seen: list[Floats] = []

    def score(points: Floats) -> Floats:
        seen.append(points.copy())
        return on_cube("schwefel")(points)

    search(method, score, 7, seed=0, settings=SearchSettings(budget=1500))
    points = np.vstack(seen)
    assert np.all((points >= 0.0) & (points <= 1.0))


@pytest.mark.parametrize("method", SEARCHES)
def test_the_best_point_has_the_score(method: str) -> None:
    found = found_by(method, "griewank")
    assert on_cube("griewank")(found.genes[None, :])[0] == pytest.approx(found.score, rel=1e-12)


@pytest.mark.parametrize("method", SEARCHES)
def test_the_same_seed_gives_the_same_points_and_another_others(method: str) -> None:
    one, again, other = (found_by(method, "ackley", seed=seed, budget=500) for seed in (3, 3, 4))
    assert np.array_equal(one.genes, again.genes)
    assert one.trace == again.trace
    assert not np.array_equal(one.genes, other.genes)


@pytest.mark.parametrize("method", SEARCHES)
def test_traces_rise_in_effort_and_fall_in_score(method: str) -> None:
    found = found_by(method, "rosenbrock")
    used, scores = np.array(found.trace).T
    assert np.all(np.diff(used) >= 0.0)
    assert np.all(np.diff(scores) <= 0.0)
    assert (used[-1], scores[-1]) == (found.evaluations, found.score)


@pytest.mark.parametrize("method", SEARCHES)
def test_progress_is_told_up_to_the_budget(method: str) -> None:
    told: list[tuple[int, float]] = []
    search(
        method,
        on_cube("sphere"),
        5,
        seed=0,
        settings=SearchSettings(budget=300),
        progress=lambda used, score: told.append((used, score)),
    )
    used, scores = np.array(told).T
    assert np.all(np.diff(used) >= 0.0)
    assert np.all(np.diff(scores) <= 0.0)
    assert used[-1] == 300


@pytest.mark.parametrize("method", SEARCHES)
def test_a_flat_function_ends_with_the_budget(method: str) -> None:
    found = search(
        method, lambda x: np.ones(len(x)), 4, seed=0, settings=SearchSettings(budget=400)
    )
    assert found.score == 1.0
    assert found.evaluations == 400


@pytest.mark.parametrize("method", SEARCHES)
def test_nothing_to_search_is_one_evaluation(method: str) -> None:
    found = search(method, lambda x: np.full(len(x), 2.0), 0, seed=0)
    assert (found.score, found.evaluations) == (2.0, 1)


@pytest.mark.parametrize("bad", [{"budget": 99}, {"population": 4}], ids=str)
def test_settings_that_mean_nothing_are_refused(bad: dict[str, int]) -> None:
    with pytest.raises(DataError):
        SearchSettings(**bad)  # type: ignore[arg-type]


def test_an_unknown_method_is_refused_with_those_there_are() -> None:
    with pytest.raises(DataError, match="cheetah, ga, de, cmaes"):
        search("coati", on_cube("sphere"), 3, seed=0)
