"""Searches over the unit cube: the cheetah optimizer, GA and DE of pymoo, CMA-ES of pycma.

All see the same scores of the same points and count evaluations in the same way.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.planning.cheetah import CheetahSettings, Score, hunt
from peergrid.threads import one_thread

Floats = NDArray[np.float64]
Steps = Iterator[tuple[int, Floats, float]]
Progress = Callable[[int, float], None]

SEARCHES = ("cheetah", "ga", "de", "cmaes")
CMA_SIGMA = 0.3
MOST_SEED = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How long to search, and with what.

    Parameters
    ----------
    budget
        Evaluations of plans.
    population
        Of GA and DE.
    cheetah
        Parameters of the cheetah optimizer.
    """

    budget: int = 60_000
    population: int = 50
    cheetah: CheetahSettings = field(default_factory=CheetahSettings)

    def __post_init__(self) -> None:
        if self.budget < 100:
            raise DataError("plan", "budget of evaluations", self.budget, "100 or more")
        if self.population < 5:
            raise DataError("plan", "population", self.population, "5 or more")


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What a search found.

    Parameters
    ----------
    genes, score
        Best point ``(D,)`` and its score.
    evaluations
        How many it took.
    trace
        Evaluations and best score so far, whenever it improved, and at the end.
    """

    genes: Floats
    score: float
    evaluations: int
    trace: list[tuple[int, float]]


def search(
    method: str,
    score: Score,
    dimension: int,
    *,
    seed: int,
    settings: SearchSettings | None = None,
    progress: Progress | None = None,
) -> Found:
    """Minimise over the unit cube.

    Parameters
    ----------
    method
        One of :data:`SEARCHES`.
    score
        Scores ``(C,)`` of points ``(C, D)``.
    dimension
        D.
    seed
        Of everything random.
    settings
        Budget and parameters.
    progress
        Told evaluations so far and the best score, after every iteration.
    """
    chosen = settings or SearchSettings()
    if method not in SEARCHES:
        raise DataError("plan", "method", method, ", ".join(SEARCHES))
    if dimension == 0:
        return Found(
            genes=np.zeros(0), score=float(score(np.zeros((1, 0)))[0]), evaluations=1, trace=[]
        )
    limited = _Limited(score, chosen.budget)
    with one_thread():
        for _ in _STEPS[method](limited, dimension, seed, chosen):
            if progress is not None:
                progress(min(limited.used, chosen.budget), limited.best_score)
            if limited.used >= chosen.budget:
                break
    return limited.found()


class _Limited:
    """Scores within a budget: what comes later is infinitely bad; keeps the best."""

    def __init__(self, score: Score, budget: int) -> None:
        self._score = score
        self._budget = budget
        self.used = 0
        self.best = np.zeros(0)
        self.best_score = np.inf
        self.trace: list[tuple[int, float]] = []

    def __call__(self, points: Floats) -> Floats:
        points = np.atleast_2d(points)
        left = max(self._budget - self.used, 0)
        scores = np.full(len(points), np.inf)
        scores[:left] = self._score(points[:left])
        first = int(np.argmin(scores))
        if scores[first] < self.best_score:
            self.best, self.best_score = points[first].copy(), float(scores[first])
            self.trace.append((self.used + first + 1, self.best_score))
        self.used += len(points)
        return scores

    def found(self) -> Found:
        used = min(self.used, self._budget)
        trace = [*self.trace, (used, self.best_score)]
        return Found(genes=self.best, score=self.best_score, evaluations=used, trace=trace)


def _by_cheetah(score: Score, dimension: int, seed: int, settings: SearchSettings) -> Steps:
    yield from hunt(score, dimension, np.random.default_rng(seed), settings=settings.cheetah)


def _by_pymoo(make: Callable[[SearchSettings], Any]) -> Callable[..., Steps]:
    def steps(score: Score, dimension: int, seed: int, settings: SearchSettings) -> Steps:
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination

        class Cube(Problem):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__(n_var=dimension, n_obj=1, xl=0.0, xu=1.0)

            def _evaluate(self, x: Floats, out: dict[str, Any], *_: Any, **__: Any) -> None:
                out["F"] = score(x)[:, None]

        algorithm = make(settings)
        algorithm.setup(Cube(), termination=NoTermination(), seed=seed, verbose=False)
        while True:
            algorithm.next()
            best = algorithm.opt[0]
            yield int(algorithm.evaluator.n_eval), best.X, float(best.F[0])

    return steps


def _ga(settings: SearchSettings) -> Any:
    from pymoo.algorithms.soo.nonconvex.ga import GA
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM

    crossover, mutation = SBX(prob=0.9, eta=3), PM(eta=5)
    return GA(pop_size=settings.population, crossover=crossover, mutation=mutation)


def _de(settings: SearchSettings) -> Any:
    from pymoo.algorithms.soo.nonconvex.de import DE

    return DE(pop_size=settings.population, variant="DE/rand/1/bin", CR=0.3, dither="vector")


def _by_cma(score: Score, dimension: int, seed: int, _: SearchSettings) -> Steps:
    """CMA-ES from the middle of the cube, restarted with twice the population (IPOP)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for plotting libraries
        import cma

    rng = np.random.default_rng(seed)
    size, used = 4 + int(3 * np.log(dimension)), 0
    best, best_score = np.zeros(dimension), np.inf
    while True:
        options = {
            "bounds": [0.0, 1.0],
            "seed": int(rng.integers(1, MOST_SEED)),
            "popsize": size,
            "verbose": -9,
        }
        strategy = cma.CMAEvolutionStrategy(np.full(dimension, 0.5), CMA_SIGMA, options)
        while not strategy.stop():
            points = np.array(strategy.ask())
            scores = score(points)
            strategy.tell(list(points), scores.tolist())
            used += len(points)
            if scores.min() < best_score:
                best, best_score = points[int(np.argmin(scores))], float(scores.min())
            yield used, best, best_score
        size *= 2


_STEPS: dict[str, Callable[..., Steps]] = {
    "cheetah": _by_cheetah,
    "ga": _by_pymoo(_ga),
    "de": _by_pymoo(_de),
    "cmaes": _by_cma,
}
