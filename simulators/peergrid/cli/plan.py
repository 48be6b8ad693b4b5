"""``peergrid plan``: sites, sizes and operation by one method or several, side by side."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from peergrid.cli.plan_content import Attempt, Base, base_of, content_of
from peergrid.cli.plan_report import operated, report
from peergrid.errors import DataError, SolverError
from peergrid.planning.cheetah import VARIANTS, CheetahSettings, Variant
from peergrid.planning.methods import METHODS, Method, Outcome, Settings, plan_by
from peergrid.planning.problem import OBJECTIVES, Objective
from peergrid.planning.search import MOST_SEED, SearchSettings
from peergrid.results import write_plans
from peergrid.study.siting.case import Case, case_of
from peergrid.study.siting.replay import write_scenario
from peergrid.threads import one_thread

Advance = Callable[[int], None]

ALL, BOTH = "all", "both"
STEPS_PER_JOB = 100
MOST_SEEDS = 1000
TICK_S = 0.25
NEARLY = 0.99
AS_GOOD = 1e-4


@dataclass(frozen=True, kw_only=True)
class Job:
    """A method and what it starts from."""

    method: Method
    variant: Variant | None
    seed: int | None

    @property
    def label(self) -> str:
        """What its plan is called."""
        seed = "" if self.seed is None else f" {self.seed}"
        return f"{way_of(self.method, self.variant)}{seed}"


def way_of(method: str, variant: str | None) -> str:
    """A method with its variant."""
    return method if variant is None else f"{method}-{variant}"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for.

    Parameters
    ----------
    methods
        Separated by commas, or ``all``.
    variant
        Of the cheetah optimizer, or ``both``.
    objective
        Instead of the file's.
    seed, seeds
        First seed of the searches (that of the scenario if absent), and how many.
    budget
        Evaluations of a search.
    time_limit_s, gap
        Of the programme.
    polish
        Whether a programme has the last word on what searches find.
    out, scenario
        The results, and the scenario of the chosen plan.
    """

    methods: str = "milp"
    variant: str = "text"
    objective: str | None = None
    seed: int | None = None
    seeds: int = 1
    budget: int = 60_000
    time_limit_s: float = 60.0
    gap: float = 2e-3
    polish: bool = True
    out: Path | None = None
    scenario: Path | None = None

    def __post_init__(self) -> None:
        _refuse_unknown("--method", self.names, (*METHODS, ALL))
        _refuse_unknown("--variant", [self.variant], (*VARIANTS, BOTH))
        if self.objective is not None:
            _refuse_unknown("--objective", [self.objective], OBJECTIVES)
        if not 1 <= self.seeds <= MOST_SEEDS:
            raise DataError("plan", "--seeds", self.seeds, f"1 to {MOST_SEEDS}")
        if self.seed is not None and not 0 <= self.seed <= MOST_SEED - MOST_SEEDS:
            raise DataError("plan", "--seed", self.seed, f"0 to {MOST_SEED - MOST_SEEDS}")
        if not 0.0 < self.time_limit_s < 1e7:
            raise DataError("plan", "--time-limit", self.time_limit_s, "a positive number [s]")
        if not 0.0 <= self.gap < 1.0:
            raise DataError("plan", "--gap", self.gap, "0 or more, below 1")
        self.settings(None)

    @property
    def names(self) -> list[str]:
        """The methods as written, each once."""
        parts = [name.strip() for name in self.methods.split(",")]
        return list(dict.fromkeys(name for name in parts if name)) or [self.methods]

    @property
    def chosen_objective(self) -> Objective | None:
        """The objective instead of the file's."""
        return next((one for one in get_args(Objective) if one == self.objective), None)

    @cached_property
    def ways(self) -> list[tuple[Method, Variant | None]]:
        """Methods, the cheetah optimizer with its variants."""
        found: list[tuple[Method, Variant | None]] = []
        for method in METHODS:
            if method not in self.names and ALL not in self.names:
                continue
            variants = [v for v in VARIANTS if self.variant in (v, BOTH)]
            found += [(method, v) for v in variants] if method == "cheetah" else [(method, None)]
        return found

    def jobs(self, seed: int) -> list[Job]:
        """Everything to do; the programme needs no seeds."""
        first = seed if self.seed is None else self.seed
        return [
            Job(method=method, variant=variant, seed=one)
            for method, variant in self.ways
            for one in ([None] if method == "milp" else range(first, first + self.seeds))
        ]

    def settings(self, variant: Variant | None) -> Settings:
        """How long a method may work."""
        limits = replace(Settings().milp, gap=self.gap, time_limit_s=self.time_limit_s)
        cheetah = CheetahSettings() if variant is None else CheetahSettings(variant=variant)
        search = SearchSettings(budget=self.budget, cheetah=cheetah)
        return Settings(search=search, milp=limits, polish=self.polish)


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Where results, the scenario of the chosen plan, and its replay go."""

    out: Path
    scenario: Path
    replay: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """A case, what to do on it, and where it goes."""

    file: Path
    case: Case
    wish: Wish
    jobs: list[Job]
    targets: Targets

    @property
    def steps(self) -> int:
        """Steps of progress."""
        return STEPS_PER_JOB * len(self.jobs)


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """The day without a plan, every plan, why there is none of some methods, and the chosen one."""

    task: Task
    base: Base
    attempts: list[Attempt]
    failed: dict[str, str]

    @property
    def chosen(self) -> Attempt | None:
        """The best plan that keeps all limits; of those as good as it, the proven one."""
        clean = [one for one in self.attempts if one.outcome.is_clean]
        best = min((one.outcome.score for one in clean), default=0.0)
        good = [one for one in clean if one.outcome.score <= best + AS_GOOD * abs(best)]
        return min(good, key=lambda a: (a.outcome.bound is None, a.outcome.score), default=None)

    def to_dict(self) -> dict[str, Any]:
        """What was found, in the words of JSON."""
        chosen, targets = self.chosen, self.task.targets
        return {
            "name": self.task.case.setup.scenario.name,
            "file": str(self.task.file),
            **report(self.base, self.attempts, chosen),
            "failed": self.failed,
            "results": str(targets.out),
            "scenario": None if chosen is None else str(targets.scenario),
            "replay": None,
        }


def task_of(file: Path, wish: Wish) -> Task:
    """Everything looked up and checked, nothing done yet.

    Raises
    ------
    PeergridError
        If the file, or a place to write, is no good.
    """
    case = case_of(file, objective=wish.chosen_objective)
    targets = _targets(file, wish, case.setup.scenario.name)
    jobs = wish.jobs(case.setup.scenario.seed)
    return Task(file=file, case=case, wish=wish, jobs=jobs, targets=targets)


def planned(task: Task, advance: Advance) -> Found:
    """Plan by all methods from all seeds."""
    base = base_of(task.case.problem)
    bar = _Bar(advance)
    attempts, failed = [], {}
    with one_thread():
        for k, job in enumerate(task.jobs):
            try:
                outcome = _outcome(task, job, bar.of_job(k))
            except SolverError as error:
                failed[job.label] = error
                continue
            way = way_of(job.method, job.variant)
            attempts.append(Attempt(label=job.label, way=way, variant=job.variant, outcome=outcome))
    if failed and not attempts:
        raise next(iter(failed.values()))
    why = {label: str(error) for label, error in failed.items()}
    return Found(task=task, base=base, attempts=attempts, failed=why)


def _outcome(task: Task, job: Job, tell: Callable[[float], None]) -> Outcome:
    """What a job finds."""
    wish = task.wish
    is_programme = job.method == "milp"
    with _ticking(tell, wish.time_limit_s) if is_programme else nullcontext():
        outcome = plan_by(
            job.method,
            task.case.problem,
            seed=job.seed or 0,
            settings=wish.settings(job.variant),
            progress=tell,
        )
    tell(1.0)
    return outcome


def write(found: Found) -> None:
    """The file of results and, of a plan that was chosen, its scenario."""
    targets, chosen = found.task.targets, found.chosen
    try:
        for path in (targets.out, targets.scenario):
            path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError("plan", "--out", str(targets.out), f"a place to write ({error})") from error
    label = None if chosen is None else chosen.label
    write_plans(targets.out, content_of(found.task.case.setup, found.base, found.attempts, label))
    if chosen is not None:
        write_scenario(found.task.case, chosen.outcome.plan, targets.scenario, about=_about(chosen))


def replayed(found: Found, quiet: bool) -> dict[str, Any] | None:
    """Run the chosen plan's scenario: planned figures beside those that came of it."""
    from peergrid.cli.progress import progress_bar
    from peergrid.scenario import run as runner

    targets, chosen = found.task.targets, found.chosen
    if chosen is None:
        return None
    setup = runner.prepare(targets.scenario)
    with progress_bar(setup.clock.reported, enabled=not quiet) as advance:
        runner.run(setup, targets.replay, progress=advance)
    return {"results": str(targets.replay), **operated(chosen.outcome.figures, targets.replay)}


def _about(chosen: Attempt) -> str:
    """How the plan was found, and what it is worth."""
    figures = chosen.outcome.figures
    return f"{chosen.label}: {figures.cost_eur:.2f} EUR, {figures.traded_kwh:.1f} kWh traded"


class _Bar:
    """Progress of jobs one after the other; only ever forward."""

    def __init__(self, advance: Advance) -> None:
        self._advance = advance
        self._done = 0
        self._lock = threading.Lock()

    def of_job(self, k: int) -> Callable[[float], None]:
        """Takes the share of the k-th job that is done."""

        def tell(share: float) -> None:
            step = int(STEPS_PER_JOB * (k + min(share, 1.0)))
            with self._lock:
                if step > self._done:
                    self._done = step
                    self._advance(step)

        return tell


@contextmanager
def _ticking(tell: Callable[[float], None], limit_s: float) -> Iterator[None]:
    """Tell the share of the time that is gone while a solver is silent."""
    ended, begun = threading.Event(), time.monotonic()

    def tick() -> None:
        while not ended.wait(TICK_S):
            tell(min((time.monotonic() - begun) / limit_s, NEARLY))

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _refuse_unknown(field: str, names: list[str], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise DataError("plan", field, name, ", ".join(known))


def _targets(file: Path, wish: Wish, name: str) -> Targets:
    """Where everything goes; refused before any work where that cannot be."""
    out = Path("runs") / f"{name}_plan.h5" if wish.out is None else wish.out
    if not out.name:
        raise DataError("plan", "--out", str(out), "FILE.h5")
    scenario = out.with_suffix(".toml") if wish.scenario is None else wish.scenario
    for field, path, suffix in (("--out", out, ".h5"), ("--scenario", scenario, ".toml")):
        if path.suffix != suffix:
            raise DataError("plan", field, str(path), f"FILE{suffix}")
        if path.resolve() == file.resolve():
            raise DataError("plan", field, str(path), "another file than the one that is planned")
        _refuse_unwritable(field, path)
    return Targets(
        out=out, scenario=scenario, replay=out.with_name(f"{out.stem}_replay{out.suffix}")
    )


def _refuse_unwritable(field: str, path: Path) -> None:
    """Try the nearest folder that is there, and leave nothing in it."""
    folder = next(one for one in path.absolute().parents if one.exists())
    try:
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a folder")
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError("plan", field, str(path), f"a place to write ({error})") from error
