"""What ``peergrid plan`` found as the content of a results file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from peergrid.planning.ac_check import AcCheck, ac_check
from peergrid.planning.figures import Figures, figures_of
from peergrid.planning.methods import Outcome
from peergrid.planning.plan import Plan
from peergrid.planning.problem import Floats, Problem, Storage, Technology
from peergrid.results import PlanContent, PlanRecord
from peergrid.results.plans import BASE
from peergrid.scenario.run import effective, versions
from peergrid.scenario.setup import Setup


@dataclass(frozen=True, kw_only=True, eq=False)
class Attempt:
    """What a method found from a seed.

    Parameters
    ----------
    label, way
        What the plan is called, and the method with its variant.
    variant
        Of the cheetah optimizer.
    outcome
        What was found.
    """

    label: str
    way: str
    variant: str | None
    outcome: Outcome


@dataclass(frozen=True, kw_only=True, eq=False)
class Base:
    """The day without a plan, and its check by pandapower."""

    figures: Figures
    ac: AcCheck


def base_of(problem: Problem) -> Base:
    """What the day is without a plan."""
    plan = Plan.nothing(problem)
    figures = figures_of(plan)
    return Base(figures=figures, ac=ac_check(plan, figures))


def content_of(
    setup: Setup, base: Base, attempts: Sequence[Attempt], chosen: str | None
) -> PlanContent:
    """Everything that figures and tables need, as plain numbers and texts."""
    problem = base.figures.problem
    nothing = PlanRecord(
        label=BASE,
        method=BASE,
        values={"score": base.figures.score, **_values(base.figures, base.ac)},
    )
    return PlanContent(
        name=setup.scenario.name,
        network=setup.scenario.network.case,
        objective=problem.objective,
        start=setup.clock.start,
        step_s=setup.clock.step_s,
        technologies=[t.name for t in problem.technologies],
        units=[t.unit for t in problem.technologies],
        values=_common(problem),
        records=[nothing, *map(_record, attempts)],
        attrs={
            "v_min_pu": problem.v_min_pu,
            "v_max_pu": problem.v_max_pu,
            "max_loading": problem.max_loading,
            "exclusive": problem.exclusive,
            "chosen": chosen,
            "scenario": setup.text,
            "scenario_json": effective(setup),
            "versions": json.dumps(versions(), sort_keys=True),
        },
    )


def _record(attempt: Attempt) -> PlanRecord:
    outcome = attempt.outcome
    return PlanRecord(
        label=attempt.label,
        method=outcome.method,
        variant=attempt.variant or "",
        seed=outcome.seed,
        values={
            "score": outcome.score,
            "searched_score": outcome.searched_score,
            "bound": outcome.bound,
            "gap": outcome.gap,
            "budget": outcome.budget,
            "used": outcome.used,
            "seconds": outcome.seconds,
            **_values(outcome.figures, outcome.ac),
        },
        trace=outcome.trace,
    )


def _values(figures: Figures, ac: AcCheck) -> dict[str, Any]:
    return {**figures.to_dict(), **_checked(ac), **_series(figures)}


def _checked(ac: AcCheck) -> dict[str, float]:
    return {
        "ac_clean": float(ac.is_clean),
        "ac_converged": float(ac.converged),
        "ac_vm_min_pu": ac.v_min_pu,
        "ac_vm_max_pu": ac.v_max_pu,
        "ac_max_loading": ac.max_loading,
        "ac_loss_kwh": ac.loss_kwh,
        "ac_violation_pu": ac.violation_pu,
        "ac_max_v_error_pu": ac.max_v_error_pu,
    }


def _series(figures: Figures) -> dict[str, Floats]:
    """Series ``(T,)``, by technology ``(K, T)``, by bus ``(n, T)``, and sizes ``(K, n)``."""
    plan, technologies = figures.plan, figures.problem.technologies
    contributed = figures.contribution_kw()
    powers = [plan.power(t) for t in technologies]
    steps = figures.problem.steps
    return {
        "import_kw": figures.import_kw,
        "export_kw": figures.export_kw,
        "loss_kw": figures.loss_kw,
        "traded_kw": figures.traded_kw,
        "vm_low_pu": figures.v_min_pu,
        "vm_high_pu": figures.v_max_pu,
        "loading": figures.loading,
        "vm_pu": figures.flow.vm_pu,
        "contribution_kw": _rows([contributed[t.name] for t in technologies], steps),
        "generation_kw": _rows([np.maximum(p, 0.0).sum(axis=0) for p in powers], steps),
        "charging_kw": _rows([np.maximum(-p, 0.0).sum(axis=0) for p in powers], steps),
        "energy_kwh": _rows([_energy(figures, t) for t in technologies], steps + 1),
        "power_kw": np.stack([_powers(figures, t) for t in technologies])
        if technologies
        else np.zeros((0, figures.problem.feeder.n_bus, steps)),
        "size": _rows([_sizes(figures, t) for t in technologies], figures.problem.feeder.n_bus),
    }


def _energy(figures: Figures, technology: Technology) -> Floats:
    """In all storages of a technology ``(T + 1,)``; NaN for plants."""
    if isinstance(technology, Storage):
        return np.asarray(figures.plan.energy_kwh(technology).sum(axis=0))
    return np.full(figures.problem.steps + 1, np.nan)


def _powers(figures: Figures, technology: Technology) -> Floats:
    """Injections at all buses ``(n, T)``."""
    powers = np.zeros(figures.problem.p_inj_kw.shape)
    powers[technology.rows] = figures.plan.power(technology)
    return powers


def _sizes(figures: Figures, technology: Technology) -> Floats:
    """Sizes at all buses ``(n,)``."""
    sizes = np.zeros(figures.problem.feeder.n_bus)
    sizes[technology.rows] = figures.plan.size[technology.name]
    return sizes


def _rows(rows: Sequence[Floats], width: int) -> Floats:
    """Rows beneath each other, also where there are none."""
    return np.asarray(rows, dtype=np.float64).reshape(-1, width)


def _common(problem: Problem) -> Mapping[str, Any]:
    """What is the same for all plans."""
    feeder = problem.feeder
    return {
        "bus": np.asarray(feeder.bus_id),
        "parent": np.asarray(feeder.parent),
        "load_kw": 0.0 - problem.p_inj_kw,
        "load_kvar": 0.0 - problem.q_inj_kvar,
        "price_import_eur_per_kwh": problem.price_import_eur_per_kwh,
        "price_feed_in_eur_per_kwh": problem.price_feed_in_eur_per_kwh,
        "capex_eur_per_unit": np.array([t.capex_eur for t in problem.technologies]),
    }
