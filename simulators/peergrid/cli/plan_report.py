"""What ``peergrid plan`` found, in the words of JSON: by method, by plan, and in operation."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from peergrid.cli.plan_content import Attempt, Base
from peergrid.planning.ac_check import CLEAN, AcCheck
from peergrid.planning.figures import Figures
from peergrid.planning.methods import Outcome
from peergrid.planning.plan import Plan
from peergrid.planning.problem import Problem
from peergrid.results import open_run, summary
from peergrid.units import kw_from_mw

HEAD = "ExternalGrid.P[MW]"
PLANTS = ("PV.P[MW]", "WindTurbine.P[MW]")
STORED = ("Battery.E[MWh]", "EVFleet.E[MWh]")
PERCENT = 100.0


def report(base: Base, attempts: Sequence[Attempt], chosen: Attempt | None) -> dict[str, Any]:
    """Everything that was found.

    Returns
    -------
    ``objective``; ``methods``, a line each: ``median, best, worst`` of the objective
    (cost [EUR], or what is traded [kWh]) over plans that keep all limits, ``distance`` of the
    median from the best known, median of what was ``searched`` before polishing, proven ``gap``,
    median ``seconds``, ``runs``, ``clean`` and what ``breaks`` in the others; ``plans``, all of
    them; ``base``, the day without one; ``chosen``, the label of the best that keeps all limits,
    and what is ``built`` by it. Shares are of 1.
    """
    problem = base.figures.problem
    clean = [a.outcome for a in attempts if a.outcome.is_clean]
    known = min(clean, key=lambda outcome: outcome.score, default=None)
    best = None if known is None else objective_value(known.figures)
    ways = dict.fromkeys(attempt.way for attempt in attempts)
    found = {
        "objective": problem.objective,
        "methods": [_line(way, [a for a in attempts if a.way == way], best) for way in ways],
        "plans": [_plan(attempt) for attempt in attempts],
        "base": {
            **base.figures.to_dict(),
            "ac": base.ac.to_dict(),
            "breaks": broken(base.ac, problem),
        },
        "chosen": None if chosen is None else chosen.label,
        "built": [] if chosen is None else built(chosen.outcome.plan),
    }
    plain: dict[str, Any] = _plain(found)
    return plain


def objective_value(figures: Figures) -> float:
    """The objective as people read it: cost [EUR], or what is traded [kWh]."""
    is_trade = figures.problem.objective == "traded"
    return figures.traded_kwh if is_trade else figures.cost_eur


def broken(ac: AcCheck, problem: Problem) -> list[str]:
    """Limits that pandapower finds broken, and how far it got."""
    if not ac.converged:
        return ["no power flow"]
    found = []
    if ac.v_min_pu < problem.v_min_pu - CLEAN:
        found.append(f"lowest voltage {ac.v_min_pu:.4f} pu")
    if ac.v_max_pu > problem.v_max_pu + CLEAN:
        found.append(f"highest voltage {ac.v_max_pu:.4f} pu")
    if ac.max_loading > problem.max_loading + CLEAN:
        found.append(f"loading {PERCENT * ac.max_loading:.1f} %")
    return found


def built(plan: Plan) -> list[dict[str, Any]]:
    """What a plan builds, with the investment."""
    costs = {t.name: t.capex_eur for t in plan.problem.technologies}
    return [
        {**unit, "capex_eur": unit["size"] * costs[unit["technology"]]} for unit in plan.to_dict()
    ]


def operated(planned: Figures, path: Path) -> dict[str, Any]:
    """Figures of the plan beside those of its run in the loop.

    The cost of energy is that of what crosses the feeder head, at the plan's prices, in both.
    """
    found, data = summary(path), open_run(path)
    keys = ("import_kwh", "export_kwh", "loss_kwh", "traded_kwh", "vm_min_pu", "vm_max_pu")
    counts = ("ev_departures", "ev_departures_met", "envelope_breaches")
    broken = ("voltage_violations", "overloads")
    wanted = planned.to_dict()
    loading = found["max_loading_pct"]
    energies = (planned.plan.energy_kwh(s)[:, -1].sum() for s in planned.problem.storages)
    compared: dict[str, Any] = _plain(
        {
            "planned": {
                **{key: wanted[key] for key in (*keys, "max_loading", "energy_cost_eur")},
                "stored_end_kwh": float(sum(energies)),
                "plants_kwh": float(planned.generated_kw.sum() * planned.problem.dt_h),
                **dict.fromkeys(broken, 0),
                **dict.fromkeys(counts),
            },
            "operated": {
                **{key: found[key] for key in (*keys, *counts, *broken)},
                "plants_kwh": _plants_kwh(planned.problem, data),
                "max_loading": None if loading is None else loading / PERCENT,
                "energy_cost_eur": _energy_cost_eur(planned.problem, data),
                "stored_end_kwh": _stored_end_kwh(data),
                "cost_eur": found["cost_eur"],
            },
        }
    )
    return compared


def _plants_kwh(problem: Problem, data: xr.Dataset) -> float:
    """Fed in by plants, those included that were there before; the market may curtail them."""
    fed_kw = (kw_from_mw(np.nansum(data[name].values)) for name in PLANTS if name in data)
    return float(sum(fed_kw)) * problem.dt_h


def _stored_end_kwh(data: xr.Dataset) -> float:
    """Left in batteries and vehicles."""
    left = (np.nansum(data[name].values[-1]) for name in STORED if name in data)
    return kw_from_mw(float(sum(left)))


def _energy_cost_eur(problem: Problem, data: xr.Dataset) -> float | None:
    """Cost of what crossed the feeder head; None if the run has other steps than the plan."""
    if HEAD not in data or data.sizes["time"] != problem.steps:
        return None
    head_kw = kw_from_mw(np.asarray(data[HEAD].values, dtype=np.float64).sum(axis=1))
    bill = np.maximum(head_kw, 0.0) @ problem.price_import_eur_per_kwh
    bill -= np.maximum(-head_kw, 0.0) @ problem.price_feed_in_eur_per_kwh
    return float(bill * problem.dt_h)


def _line(way: str, attempts: Sequence[Attempt], best: float | None) -> dict[str, Any]:
    """A method over all seeds."""
    outcomes = [attempt.outcome for attempt in attempts]
    first, problem = outcomes[0], outcomes[0].plan.problem
    values = sorted(objective_value(o.figures) for o in outcomes if o.is_clean)
    if problem.objective == "traded":
        values.reverse()
    median = statistics.median(values) if values else None
    distance = None
    if median is not None and best is not None:
        distance = abs(median - best) / max(abs(best), 1e-9)
    return {
        "method": first.method,
        "variant": attempts[0].variant,
        "runs": len(outcomes),
        "clean": len(values),
        "median": median,
        "best": values[0] if values else None,
        "worst": values[-1] if values else None,
        "distance": distance,
        "searched": _searched(outcomes),
        "gap": first.gap,
        "seconds": statistics.median(o.seconds for o in outcomes),
        "breaks": _once(text for o in outcomes for text in broken(o.ac, problem)),
    }


def _searched(outcomes: Sequence[Outcome]) -> float | None:
    """Median of what searches found by themselves, as people read the objective."""
    scores = [o.searched_score for o in outcomes if o.searched_score is not None]
    if not scores:
        return None
    is_trade = outcomes[0].plan.problem.objective == "traded"
    return (-1.0 if is_trade else 1.0) * statistics.median(scores)


def _plan(attempt: Attempt) -> dict[str, Any]:
    outcome = attempt.outcome
    return {
        "label": attempt.label,
        "variant": attempt.variant,
        **outcome.to_dict(),
        "breaks": broken(outcome.ac, outcome.plan.problem),
    }


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _plain(value: Any) -> Any:
    """The same with None for what is not finite."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
