"""The planning problem as a mixed-integer linear programme, solved and corrected until AC agrees.

Branch flow equations (see :mod:`peergrid.network.magnitudes`) are linear but for the losses,
``r (P^2 + Q^2) / v``. They are bounded from below by tangents in ``P``, which a cost presses them
onto; voltages under the root and reactive flows are those of a reference state. The first
reference is the feeder without the plan. Then the exact state of each answer becomes the next one
and adds its tangents, until programme and exact power flow agree on the objective and the limits
are kept. The bound is that of the programme around the answer: exact for plans with its voltages
and reactive flows, and off by a part of the losses, in proportion to how far other plans' are.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from peergrid.errors import SolverError
from peergrid.milp.model import Limits, relative_gap
from peergrid.milp.relaxed import Relaxed
from peergrid.planning.evaluate import Evaluator
from peergrid.planning.figures import Figures, figures_of
from peergrid.planning.genes import plan_of
from peergrid.planning.milp_dive import dive
from peergrid.planning.milp_model import (
    Answered,
    answered,
    explained,
    keeping,
    model_of,
    plan_of_values,
)
from peergrid.planning.milp_network import Reference, reference_of
from peergrid.planning.milp_terms import burning_pays
from peergrid.planning.plan import Plan
from peergrid.planning.problem import Problem
from peergrid.planning.search import SearchSettings, search

ROUNDS = 8
DIVES = 2
AGREE = 5e-5
CLEAN_PU = 1e-7
LEAST_S = 5.0
RELAXATIONS = 4
NEAR = 2e-4
SOLVER_SHARE = 0.5
SEARCHED, RESCUED = 60_000, 20_000
DEFAULT = Limits(gap=2e-3, time_limit_s=60.0, restarts=False)
Progress = Callable[[int, float], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Programme:
    """What the programme found.

    Parameters
    ----------
    plan, figures
        The plan, and what it is worth by exact power flow.
    score, bound
        Its objective by exact power flow (EUR, or minus kWh traded), and what no plan undercuts.
    rounds
        Programmes solved.
    trace
        Seconds and objective after each round.
    """

    plan: Plan
    figures: Figures
    score: float
    bound: float
    rounds: int
    trace: list[tuple[float, float]]

    @property
    def is_clean(self) -> bool:
        """Whether the exact power flow keeps every limit."""
        return self.figures.violation_pu <= CLEAN_PU


def by_milp(
    problem: Problem,
    *,
    limits: Limits | None = None,
    start: Plan | None = None,
    rescue: bool = True,
    progress: Progress | None = None,
) -> Programme:
    """Plan by mixed-integer linear programming.

    Whole numbers (sites, whole sizes, directions) come from the relaxation by diving, and are kept
    while the rest is corrected. The bound is that of the relaxation around the answer's own state;
    where it does not prove the gap, branch and bound follows.

    Parameters
    ----------
    problem
        What is planned.
    limits
        Gap, time and threads of the solver; the time is that of all rounds together.
    start
        A plan whose whole numbers are kept: only the rest is planned, and nothing is proven.
    rescue
        Whether to begin from a search where programmes miss what narrow limits leave.
    progress
        Told the round and the seconds so far.

    Raises
    ------
    SolverError
        If no plan keeps the limits, or none was found in time.
    """
    rounds = _Rounds(problem, limits or DEFAULT, progress or (lambda _number, _seconds: None))
    if start is not None:
        around = reference_of(problem, Plan.nothing(problem)).corrected(start)
        rounds.correct(around, start, only=True)
    elif problem.objective == "traded":
        plan = _searched(problem, SEARCHED)
        rounds.correct(reference_of(problem, Plan.nothing(problem)), plan)
    else:
        _by_relaxation(rounds)
        if rounds.best is None and rescue:
            rounds.rescue(_searched(problem, RESCUED))
    return rounds.ended()


class _Rounds:
    """Rounds of programmes, each around the exact state of the plan before, and the best plan."""

    def __init__(self, problem: Problem, limits: Limits, told: Progress) -> None:
        self.problem = problem
        self.limits = limits
        self.best: Figures | None = None
        self.bound = -np.inf
        self._told = told
        self._begun = time.perf_counter()
        self._trace: list[tuple[float, float]] = []

    def correct(self, reference: Reference, kept: Plan | None, *, only: bool = False) -> None:
        """Solve and correct until programme and power flow agree and the gap is proven.

        The whole numbers of ``kept`` are given; all of them are free where that is impossible or
        too dear, unless ``only`` they are asked for.
        """
        modes = burning_pays(self.problem)
        for _ in range(ROUNDS):
            if kept is None and self.best is not None and self._seconds > self.limits.time_limit_s:
                return
            try:
                answer = self._solve(reference, kept, modes=modes)
            except SolverError:
                if kept is None or only:
                    return
                kept = None
                continue
            plan = answer.plan
            agrees = self._add(answer) and not (answer.burns or answer.inflates)
            if kept is None and not reference.tight:
                self.bound = max(self.bound, answer.bound)
            if agrees and (only or kept is None or self.is_near):
                return
            # where nothing is gained by correcting, all whole numbers are free again
            kept = None if agrees else plan
            modes = modes or answer.burns
            reference = reference.corrected(plan).kept_tight(answer.inflates)

    def rescue(self, plan: Plan) -> None:
        """Go on from a plan that keeps the limits, if it does."""
        figures = figures_of(plan)
        if figures.violation_pu <= CLEAN_PU:
            self._keep(figures)
            around = reference_of(self.problem, Plan.nothing(self.problem)).corrected(plan)
            self.correct(around.kept_tight(True), plan)

    def ended(self) -> Programme:
        """The best of all rounds.

        Raises
        ------
        SolverError
            If none kept the limits.
        """
        if self.best is None:
            raise SolverError(explained(self.problem))
        return Programme(
            plan=self.best.plan,
            figures=self.best,
            score=self.best.score,
            bound=min(self.bound, self.best.score),
            rounds=len(self._trace),
            trace=self._trace,
        )

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._begun

    @property
    def is_near(self) -> bool:
        """Whether the gap is proven."""
        return (
            self.best is not None and relative_gap(self.best.score, self.bound) <= self.limits.gap
        )

    def _solve(self, reference: Reference, kept: Plan | None, *, modes: bool) -> Answered:
        left = max(self.limits.time_limit_s - self._seconds, LEAST_S)
        limits = replace(self.limits, gap=SOLVER_SHARE * self.limits.gap, time_limit_s=left)
        model = model_of(self.problem, reference, modes=modes)
        if kept is not None:
            return answered(keeping(model, kept), limits, reference, None)
        return answered(model, limits, reference, None if self.best is None else self.best.plan)

    def _add(self, answer: Answered) -> bool:
        """Take an answer; whether the exact power flow agrees with it and keeps the limits."""
        figures = figures_of(answer.plan)
        is_clean = figures.violation_pu <= CLEAN_PU
        if is_clean and not answer.burns:  # a plan whose storages burn energy is none
            self._keep(figures)
        shown = figures.score if self.best is None else self.best.score
        self._trace.append((self._seconds, shown))
        self._told(len(self._trace), self._seconds)
        return is_clean and relative_gap(figures.score, answer.objective) <= AGREE

    def _keep(self, figures: Figures) -> None:
        if self.best is None or figures.score <= self.best.score:
            self.best = figures


def _by_relaxation(rounds: _Rounds) -> None:
    """Dive, correct, and prove the gap by the relaxation around the answer; else branch and bound.

    Around no plan voltages are low and losses too high, so that first bound proves nothing.
    """
    around = reference_of(rounds.problem, Plan.nothing(rounds.problem))
    for _ in range(DIVES):
        found = _relaxed(rounds, around)
        if found is None or (rounds.best is not None and rounds.is_near):
            break
        around, plan = found
        if plan is not None:
            rounds.correct(around, plan, only=True)
        if rounds.best is None:
            break
        around = around.corrected(rounds.best.plan)
    if rounds.best is None or not rounds.is_near:
        rounds.correct(around, None)


def _relaxed(rounds: _Rounds, around: Reference) -> tuple[Reference, Plan | None] | None:
    """Set the bound by the relaxation around a state; tangents where its flows are, and a dive.

    None where nothing keeps the limits, or the time is over.
    """
    problem = rounds.problem
    price = np.maximum(problem.price_import_eur_per_kwh, 0.0) * problem.dt_h
    limits = replace(rounds.limits, gap=SOLVER_SHARE * rounds.limits.gap)
    for _ in range(RELAXATIONS):
        model = model_of(problem, around, modes=burning_pays(problem))
        relaxed = Relaxed(model, limits)
        rounds.bound = -np.inf
        try:
            bound, values = relaxed.solve()
        except SolverError:  # no time left
            return None
        if not values:
            return None
        rounds.bound = bound
        short = around.true_loss_kw(values["flow"]) - values["loss"]
        if float(short.sum(axis=0) @ price) <= NEAR * abs(rounds.bound):
            break
        around = around.touching(values["flow"])
    if rounds.best is not None and rounds.is_near:
        return around, None
    try:
        found = dive(problem, model, relaxed, (rounds.bound, values), limits)
    except SolverError:
        found = None
    return around, None if found is None else plan_of_values(problem, found)


def _searched(problem: Problem, budget: int) -> Plan:
    """What a search finds: the relaxation says nothing of who sells, or of tight limits."""
    evaluator = Evaluator(problem)
    settings = SearchSettings(budget=budget)
    found = search("de", evaluator, evaluator.n_genes, seed=0, settings=settings)
    return plan_of(problem, found.genes)
