"""The cheetah optimizer does what its two publications say, and descends."""

from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.planning.cheetah import VARIANTS, CheetahSettings, Variant, _gathered, _moved, hunt
from tests.planning.functions import on_cube

Floats = NDArray[np.float64]
Steps = list[tuple[int, Floats, float]]
SIZE = 400


def steps_of(
    variant: Variant, name: str = "sphere", seed: int = 0, dimension: int = 10, count: int = 300
) -> Steps:
    """The first iterations of a hunt."""
    rng = np.random.default_rng(seed)
    chosen = CheetahSettings(variant=variant)
    hunted = hunt(on_cube(name), dimension, rng, settings=chosen)
    return [(used, prey.copy(), score) for used, prey, score in islice(hunted, count)]


def a_step(variant: Variant, k: int, time: float, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Where the k-th of two members is, where it goes, and where the prey is."""
    x = 0.4 + 0.2 * np.random.default_rng(1).random((6, SIZE))
    pack = _gathered(x, np.arange(6.0))
    moved = _moved(pack, variant, k, 4, 3, time, np.random.default_rng(seed))
    return x[4], moved, x[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_prey_never_gets_worse(variant: Variant) -> None:
    scores = [score for _, _, score in steps_of(variant, "rastrigin", count=2000)]
    assert np.all(np.diff(scores) <= 0.0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_score_is_that_of_the_prey(variant: Variant) -> None:
    for _, prey, score in steps_of(variant):
        assert on_cube("sphere")(prey[None, :])[0] == score


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_points_lie_in_the_cube_and_are_counted(variant: Variant) -> None:
    seen: list[Floats] = []

    def score(points: Floats) -> Floats:
        seen.append(points.copy())
        return on_cube("ackley")(points)

    rng = np.random.default_rng(3)
    hunted = hunt(score, 12, rng, settings=CheetahSettings(variant=variant))
    *_, (used, _, _) = islice(hunted, 1500)
    points = np.vstack(seen)
    assert len(points) == used
    assert np.all((points >= 0.0) & (points <= 1.0))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_seed_gives_the_same_hunt_and_another_another(variant: Variant) -> None:
    one, again, other = (steps_of(variant, seed=seed) for seed in (7, 7, 8))
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[-1][1], other[-1][1])


@pytest.mark.parametrize("k", [0, 1])
def test_at_the_start_of_a_hunt_the_text_moves_only_by_attacks(k: int) -> None:
    # alpha is zero, so a search stays; attacks need r2 < r3 and exp(2) (2 r1 - 1) >= r4
    shares = []
    for seed in range(20):
        x, moved, _ = a_step("text", k, 0.0, seed)
        shares.append(np.mean(moved != x))
    attacks = 0.5 * (1.0 - (1.0 + 1.5 / np.exp(2.0)) / 2.0)
    assert np.mean(shares) == pytest.approx(attacks, abs=0.02)


def test_at_the_start_of_a_hunt_the_program_attacks_where_the_text_searches() -> None:
    # sitting needs r2 > r3 + 0.25, attacks |exp(2) (2 r1 - 1)| <= r4
    shares = []
    for seed in range(20):
        x, moved, _ = a_step("code", 0, 0.0, seed)
        shares.append(np.mean(moved != x))
    attacks = (1.0 - 0.75**2 / 2.0) * 1.5 / np.exp(2.0)
    assert np.mean(shares) == pytest.approx(attacks, abs=0.02)


def test_at_the_end_of_a_hunt_both_search_in_small_steps() -> None:
    alphas: dict[Variant, float] = {"text": 1e-3, "code": 1e-4}
    for variant, alpha in alphas.items():
        steps = []
        for seed in range(20):
            x, moved, _ = a_step(variant, 0, 1.0, seed)
            steps.append(np.abs(moved - x)[moved != x])
        small = np.concatenate(steps)
        # |alpha / r_hat| has its lower quartile at alpha / 1.15 among the searches
        assert np.min(small) < alpha
        assert np.mean(small < 10.0 * alpha) > 0.1


def test_variants_take_opposite_branches() -> None:
    # late in a hunt H is below 1 in size: the text searches where H < r4, the program attacks there
    far = {}
    for variant in VARIANTS:
        steps = []
        for seed in range(20):
            x, moved, _ = a_step(variant, 0, 1.0, seed)
            steps.append(np.abs(moved - x)[moved != x] > 0.01)
        far[variant] = float(np.mean(np.concatenate(steps)))
    # of the moves: attacks 1/12 in the text, 5/6 in the program
    assert far["text"] < 0.3 < 0.4 < far["code"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_hunt_may_start_where_it_is_told(variant: Variant) -> None:
    start = np.full((6, 5), 0.5)
    start[2] = 0.51
    rng = np.random.default_rng(0)
    chosen = CheetahSettings(variant=variant)
    _, prey, score = next(hunt(on_cube("sphere"), 5, rng, settings=chosen, start=start))
    assert np.array_equal(prey, np.full(5, 0.5))
    assert score == 0.0
    assert np.array_equal(start[2], np.full(5, 0.51))


@pytest.mark.parametrize(
    "bad",
    [
        {"variant": "book"},
        {"agents": 1},
        {"population": 1},
        {"population": 3, "agents": 4},
        {"hunting_time": 0},
        {"hunting_time": -5},
    ],
    ids=str,
)
def test_settings_that_mean_nothing_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(DataError):
        CheetahSettings(**bad)  # type: ignore[arg-type]
