"""One way in: a planning problem, a method, an answer that was checked by pandapower."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from peergrid.errors import DataError
from peergrid.milp.model import Limits, relative_gap
from peergrid.planning.ac_check import AcCheck, ac_check
from peergrid.planning.evaluate import Evaluator
from peergrid.planning.figures import Figures, figures_of
from peergrid.planning.genes import plan_of
from peergrid.planning.milp import DEFAULT, by_milp
from peergrid.planning.plan import Plan
from peergrid.planning.polish import polished
from peergrid.planning.problem import Problem
from peergrid.planning.search import SEARCHES, SearchSettings, search

Method = Literal["milp", "cheetah", "ga", "de", "cmaes"]
METHODS: tuple[Method, ...] = ("milp", "cheetah", "ga", "de", "cmaes")
Progress = Callable[[float], None]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long methods may work.

    Parameters
    ----------
    search
        Budget and parameters of the searches.
    milp
        Gap, time and threads of the programme.
    polish
        Whether a linear programme has the last word on sizes and powers at the buses that a search
        has chosen.
    """

    search: SearchSettings = field(default_factory=SearchSettings)
    milp: Limits = DEFAULT
    polish: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What a method found.

    Parameters
    ----------
    method, seed
        Which; the programme has no seed.
    plan, figures, ac
        The plan, its figures by exact power flow, and the check by pandapower.
    score
        The objective, to be minimised: EUR, or minus kWh traded.
    searched_score
        What a search found by itself, before the linear programme had the last word.
    bound
        What no plan undercuts, by the programme; None for searches.
    budget
        Evaluations of a search, seconds allowed to the programme.
    used
        Evaluations, or programmes solved.
    seconds
        Wall time.
    trace
        Effort so far (evaluations, or seconds) and best score.
    """

    method: Method
    seed: int | None
    plan: Plan
    figures: Figures
    ac: AcCheck
    score: float
    searched_score: float | None
    bound: float | None
    budget: float
    used: int
    seconds: float
    trace: list[tuple[float, float]]

    @property
    def gap(self) -> float | None:
        """Proven distance from the best plan, relative."""
        return None if self.bound is None else relative_gap(self.score, self.bound)

    @property
    def is_clean(self) -> bool:
        """Whether pandapower finds every limit kept."""
        return self.ac.is_clean

    def to_dict(self) -> dict[str, Any]:
        """What was found, in the words of JSON."""
        return {
            "method": self.method,
            "seed": self.seed,
            "objective": self.plan.problem.objective,
            "score": self.score,
            "searched_score": self.searched_score,
            "bound": self.bound,
            "gap": self.gap,
            "budget": self.budget,
            "used": self.used,
            "seconds": self.seconds,
            **self.figures.to_dict(),
            "ac": self.ac.to_dict(),
            "built": self.plan.to_dict(),
        }


def plan_by(
    method: str,
    problem: Problem,
    *,
    seed: int = 0,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Plan by one method.

    Parameters
    ----------
    method
        One of :data:`METHODS`.
    problem
        What is planned.
    seed
        Of a search.
    settings
        How long it may work.
    progress
        Told the share of the budget that is used.

    Raises
    ------
    DataError
        If there is no such method.
    SolverError
        If the programme finds no plan that keeps the limits.
    """
    chosen = settings or Settings()
    _compile(problem)
    if method == "milp":
        return _by_programme(problem, chosen, progress)
    if method not in SEARCHES:
        raise DataError("plan", "method", method, ", ".join(METHODS))
    return _by_search(_NAMES[method], problem, seed, chosen, progress)


def _compile(problem: Problem) -> None:
    """Compile what all methods use, which is no part of their time."""
    evaluator = Evaluator(problem)
    evaluator(np.zeros((1, evaluator.n_genes)))


_NAMES: Mapping[str, Method] = {name: name for name in METHODS}


def _by_programme(problem: Problem, settings: Settings, progress: Progress | None) -> Outcome:
    limits = settings.milp

    def told(_: int, spent_s: float) -> None:
        if progress is not None:
            progress(min(spent_s / limits.time_limit_s, 1.0))

    begun = time.perf_counter()
    found = by_milp(problem, limits=limits, progress=told)
    seconds = time.perf_counter() - begun
    return Outcome(
        method="milp",
        seed=None,
        plan=found.plan,
        figures=found.figures,
        ac=ac_check(found.plan, found.figures),
        score=found.score,
        searched_score=None,
        bound=found.bound,
        budget=limits.time_limit_s,
        used=found.rounds,
        seconds=seconds,
        trace=found.trace,
    )


def _by_search(
    method: Method,
    problem: Problem,
    seed: int,
    settings: Settings,
    progress: Progress | None,
) -> Outcome:
    evaluator, how = Evaluator(problem), settings.search

    def told(used: int, _: float) -> None:
        if progress is not None:
            progress(used / how.budget)

    begun = time.perf_counter()
    found = search(method, evaluator, evaluator.n_genes, seed=seed, settings=how, progress=told)
    alone = figures_of(plan_of(problem, found.genes))
    figures = polished(alone, settings.milp) if settings.polish else alone
    seconds = time.perf_counter() - begun
    return Outcome(
        method=method,
        seed=seed,
        plan=figures.plan,
        figures=figures,
        ac=ac_check(figures.plan, figures),
        score=figures.score,
        searched_score=alone.score,
        bound=None,
        budget=float(how.budget),
        used=found.evaluations,
        seconds=seconds,
        trace=[(float(used), score) for used, score in found.trace],
    )
