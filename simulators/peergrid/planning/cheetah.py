"""The cheetah optimizer, in the two forms in which it is public.

M. A. Akbari, M. Zare, R. Azizipanah-abarghooee, S. Mirjalili, M. Deriche, "The cheetah optimizer:
a nature-inspired metaheuristic algorithm for large-scale optimization problems", Scientific Reports
12, 10953 (2022), doi 10.1038/s41598-022-14338-z. A population of n cheetahs hunts a prey, the best
point known. In each iteration m random members move, in every coordinate by one of

* search (eq. 1): ``X' = X + alpha / r_hat``, with ``r_hat ~ N(0, 1)``,
* sit and wait (eq. 2): ``X' = X``,
* attack (eq. 3): ``X' = X_prey + r_check beta``, with the turning factor
  ``r_check = |r|^exp(r / 2) sin(2 pi r)``, ``r ~ N(0, 1)``, and the interaction
  ``beta = X_neighbour - X`` with another member that moves,

and stay where they were unless the new point is better. The hunting time t counts up to
``T = 60 ceil(D / 10)``; once the leader improved by no more than 1 % within T, the pack leaves the
prey and goes home: a prey changed in at most D / 10 coordinates becomes the leader, m members
return to their initial positions, one takes the prey, and t starts anew.

The text and the authors' own program differ, so both are here by name:

``text``
    sit if ``r2 >= r3``; else ``H = exp(2 (1 - t/T)) (2 r1 - 1)``, attack if ``H >= r4``, else
    search. ``alpha = 0.001 t/T (U - L)`` for the leader, ``0.001 t/T |X_i - X_k|`` for others. As
    in the program, the leader of an iteration is the first member that moves.
``code``
    ``H = |exp(2 - 2 t/T) (2 r1 - 1)|``, search if ``H > r4``, else attack: the opposite branch.
    ``alpha`` is ``0.0001 t/T (U - L)`` for the leader and ``0.0001 t/T |X_best - X_i|``, plus 0.001
    in one coordinate of ten, for others; sitting is rarer (``r3`` is raised by 0.25); the third
    member moves from the place of the best; and the first two start from the prey once the leader
    has rested for a fifth of the time since the pack left home.

``r1, r2, r3 ~ U(0, 1)``, ``r4 ~ 3 U(0, 1)``. A coordinate that leaves the bounds is drawn anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
Variant = Literal["text", "code"]
VARIANTS: tuple[Variant, ...] = ("text", "code")
HOME_GAIN = 0.01


@dataclass(frozen=True, kw_only=True)
class CheetahSettings:
    """Parameters of the optimizer.

    Parameters
    ----------
    variant
        ``text`` or ``code``.
    population, agents
        Members n, and how many of them move in an iteration, m.
    hunting_time
        T; None: ``60 ceil(D / 10)``.
    """

    variant: Variant = "text"
    population: int = 6
    agents: int = 2
    hunting_time: int | None = None

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise DataError("cheetah", "variant", self.variant, ", ".join(VARIANTS))
        if self.agents < 2:
            raise DataError("cheetah", "agents", self.agents, "2 or more: each needs a neighbour")
        if self.population < self.agents:
            raise DataError("cheetah", "population", self.population, f"{self.agents} or more")
        if self.hunting_time is not None and self.hunting_time < 1:
            raise DataError("cheetah", "hunting_time", self.hunting_time, "1 or more")


@dataclass(eq=False)
class Pack:
    """State of a hunt: members, their home, leader, prey, and the leader's scores since leaving."""

    x: Floats
    score: Floats
    home: Floats
    home_score: Floats
    leader: Floats
    leader_score: float
    prey: Floats
    prey_score: float
    trace: list[float]


def hunt(
    score: Score,
    dimension: int,
    rng: np.random.Generator,
    *,
    settings: CheetahSettings | None = None,
    start: Floats | None = None,
) -> Iterator[tuple[int, Floats, float]]:
    """Minimise over the unit cube, one iteration after the other, without end.

    Parameters
    ----------
    score
        Scores ``(C,)`` of points ``(C, D)``, vectorised.
    dimension
        D.
    rng
        Source of everything random.
    settings
        Parameters; the published ones by default.
    start
        Initial positions ``(n, D)``; uniform by default.

    Yields
    ------
    Evaluations so far, the prey ``(D,)`` and its score, after each iteration.
    """
    chosen = settings or CheetahSettings()
    horizon = chosen.hunting_time
    if horizon is None:
        horizon = 60 * ceil(dimension / 10)
    x = rng.random((chosen.population, dimension)) if start is None else start.copy()
    pack = _gathered(x, score(x))
    evaluations, t = len(x), 0
    while True:
        movers = rng.choice(len(x), chosen.agents, replace=False)
        moved = np.array(
            [
                _moved(pack, chosen.variant, k, int(i), int(movers[k - 1]), t / horizon, rng)
                for k, i in enumerate(movers)
            ]
        )
        found = score(moved)
        evaluations += len(moved)
        for i, point, value in zip(movers, moved, found, strict=True):
            if value < pack.score[i]:
                pack.x[i], pack.score[i] = point, value
                if value < pack.leader_score:
                    pack.leader, pack.leader_score = point.copy(), float(value)
        t += 1
        pack.trace.append(pack.leader_score)
        if pack.leader_score < pack.prey_score:
            pack.prey, pack.prey_score = pack.leader.copy(), pack.leader_score
        if t > horizon and _is_tired(pack, horizon):
            evaluations += _go_home(pack, chosen.agents, score, rng)
            t = 0
        yield evaluations, pack.prey, pack.prey_score


def _gathered(x: Floats, score: Floats) -> Pack:
    best = int(np.argmin(score))
    value = float(score[best])
    return Pack(
        x=x,
        score=score.copy(),
        home=x.copy(),
        home_score=score.copy(),
        leader=x[best].copy(),
        leader_score=value,
        prey=x[best].copy(),
        prey_score=value,
        trace=[value],
    )


def _moved(
    pack: Pack,
    variant: Variant,
    k: int,
    i: int,
    neighbour: int,
    time: float,
    rng: np.random.Generator,
) -> Floats:
    """New position of member ``i``, the k-th that moves, at hunting time ``t / T``."""
    size = pack.x.shape[1]
    x = _origin(pack, variant, i)
    r, r_hat = rng.standard_normal((2, size))
    r1, r2, r3, r4 = rng.random((4, size)) * np.array([1.0, 1.0, 1.0, 3.0])[:, None]
    r_check = np.abs(r) ** np.exp(r / 2.0) * np.sin(2.0 * np.pi * r)
    beta = pack.x[neighbour] - x
    leads = k == 0
    if variant == "text":
        h = np.exp(2.0 * (1.0 - time)) * (2.0 * r1 - 1.0)
        attacks, sits = h >= r4, r2 >= r3
        alpha = 0.001 * time * (np.ones(size) if leads else np.abs(beta))
    else:
        h = np.abs(np.exp(2.0 - 2.0 * time) * (2.0 * r1 - 1.0))
        attacks, sits = h <= r4, r2 > r3 + 0.25
        apart = np.abs(pack.leader - x)
        kick = 0.001 * (rng.random(size) > 0.9)
        alpha = 0.0001 * time * np.ones(size) if leads else 0.0001 * time * apart + kick
    moved = np.where(attacks, pack.prey + r_check * beta, x + alpha / r_hat)
    moved = np.where(sits, x, moved)
    outside = (moved < 0.0) | (moved > 1.0)
    return np.asarray(np.where(outside, rng.random(size), moved))


def _origin(pack: Pack, variant: Variant, i: int) -> Floats:
    """Where a member starts from; in the program some start from elsewhere."""
    if variant == "code":
        rest = max(2, len(pack.trace) // 5)
        if i <= 1 and len(pack.trace) > rest and pack.trace[-1] == pack.trace[-rest]:
            return pack.prey
        if i == 2:
            return pack.leader
    return np.asarray(pack.x[i])


def _is_tired(pack: Pack, horizon: int) -> bool:
    """Whether the leader improved by no more than 1 % within the hunting time."""
    now, then = pack.trace[-1], pack.trace[-1 - horizon]
    return abs(now - then) <= HOME_GAIN * abs(now)


def _go_home(pack: Pack, agents: int, score: Score, rng: np.random.Generator) -> int:
    """Leave the prey; returns the evaluations it took."""
    size = len(pack.prey)
    strange = pack.prey.copy()
    count = ceil(size / 10 * rng.random())
    places = rng.choice(size, count, replace=False)
    strange[places] = rng.random(count)
    pack.leader, pack.leader_score = strange, float(score(strange[None, :])[0])
    order = rng.permutation(len(pack.x))
    back, guest = order[:agents], order[-1]
    pack.x[back], pack.score[back] = pack.home[back], pack.home_score[back]
    pack.x[guest], pack.score[guest] = pack.prey, pack.prey_score
    pack.trace = [pack.leader_score]
    return 1
