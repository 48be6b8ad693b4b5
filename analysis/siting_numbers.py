"""Everything that ``siting.py`` prints, as plain numbers and words."""

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from siting_plans import BASE, TITLES, Study, plain
from siting_ranks import rank_test

from peergrid.study.siting.published import (
    CAVEATS,
    CLAIMS,
    ILL_POSED,
    PAPER,
    SCENARIO,
    Tables,
    contradictions,
    slips,
    verdict,
)

SERIES = {"traded_kwh": "traded_kw", "loss_kw": "loss_kw", "vm_min_pu": "vm_low_pu"}
"""Tables 1, 3 and 4 of the paper by the variable that they are means of."""
FIGURES = (
    *("cost_eur", "capex_eur", "traded_kwh", "import_kwh", "export_kwh", "loss_kwh"),
    *("vm_min_pu", "vm_max_pu", "max_loading"),
)
NOTES = (
    "Medians over the seeds, of plans that keep all limits by pandapower. Hours are those of the "
    "local day: off-peak is 0 to 8 h, which the paper calls hours 1 to 8.",
    "Distance: of the median from the programme's plan, and from the best plan known. Alone: what "
    "the search found before a linear programme had the last word on sizes and powers.",
    "In the loop the market dispatches storages anew at least cost: of a plan for most trade only "
    "sites and sizes are operated, not its trades.",
    "Tests are on what searches found alone, the same seeds as blocks; the programme has no seeds.",
)


def numbers(studies: Sequence[Study]) -> dict[str, Any]:
    """Everything that is printed."""
    first = studies[0]
    is_published = first.name == SCENARIO
    found = {
        "case": {
            "name": first.name,
            "network": str(first.plans.attrs.get("network")),
            "steps": first.plans.sizes["step"],
            "periods": list(first.periods),
            "base": {name: first.row_means(v, BASE) for name, v in SERIES.items()},
        },
        "objectives": {study.objective: _objective(study) for study in studies},
        "paper": _paper(studies) if is_published else None,
        "notes": [*NOTES, *(CAVEATS if is_published else ())],
    }
    return {name: plain(one) for name, one in found.items()}


def _objective(study: Study) -> dict[str, Any]:
    return {
        "file": str(study.path),
        "unit": study.unit,
        "methods": methods(study),
        "tables": {
            name: {way: study.row_means(v, way) for way in study.ways} for name, v in SERIES.items()
        },
        "contributed_kwh": {way: study.contributed(way) for way in study.ways},
        "ranks": ranks(study),
        "best": None if study.best is None else best(study, study.best),
    }


def methods(study: Study) -> list[dict[str, Any]]:
    """Each method over its seeds."""
    best_known = None if study.best is None else float(study.score[study.best])
    exact = study.clean("milp")[:1] if "milp" in study.ways else np.zeros(0, dtype=int)
    lines = []
    for way, rows in study.ways.items():
        clean = study.clean(way)
        scores = study.score[clean].tolist()
        median = statistics.median(scores) if scores else None
        alone = study.own_score[rows]
        searched = bool(np.isfinite(study.plans["searched_score"].values[rows]).any())
        gap = study.plans["gap"].values[rows]
        lines.append(
            {
                "way": way,
                "runs": len(rows),
                "clean": len(clean),
                "median": None if median is None else study.value(median),
                "best": study.value(scores[0]) if scores else None,
                "worst": study.value(scores[-1]) if scores else None,
                "from_programme": _distance(median, float(study.score[exact[0]]))
                if len(exact)
                else None,
                "from_best": _distance(median, best_known),
                "alone": study.value(float(np.median(alone))) if searched else None,
                "alone_clean": int((alone < study.penalty).sum()) if searched else None,
                "gap": float(gap[0]) if np.isfinite(gap).any() else None,
                "evaluations": float(np.median(study.plans["used"].values[rows])),
                "seconds": float(np.median(study.plans["seconds"].values[rows])),
            }
        )
    return lines


def _distance(median: float | None, goal: float | None) -> float | None:
    """How much worse a score is, relative; negative if it is better."""
    if median is None or goal is None:
        return None
    return (median - goal) / max(abs(goal), 1e-9)


def ranks(study: Study) -> dict[str, Any]:
    """The searches compared on the seeds that all of them have."""
    seeds = study.plans["seed"].values
    searches = {way: rows for way, rows in study.ways.items() if (seeds[rows] >= 0).all()}
    shared = sorted(set.intersection(*(set(seeds[rows]) for rows in searches.values()), set(seeds)))
    if not searches:
        shared = []
    scores = {
        way: [float(study.own_score[rows[seeds[rows] == seed][0]]) for seed in shared]
        for way, rows in searches.items()
    }
    return rank_test(scores)


def best(study: Study, row: int) -> dict[str, Any]:
    """The best plan: what it builds, what comes of it, and how often a kWh is sold in it."""
    values = study.plans
    return {
        "plan": str(values["plan"].values[row]),
        "built": study.built(row),
        "figures": {name: float(values[name].values[row]) for name in FIGURES},
        "base": {name: float(values[name].values[0]) for name in FIGURES},
        "trading": study.trading(row),
    }


# -- the paper -------------------------------------------------------------------------------------


def _paper(studies: Sequence[Study]) -> dict[str, Any]:
    """The paper's tables, what ours are worth, its claims and how it contradicts itself."""
    ours = {study.objective: study.tables() for study in studies}
    return {
        "tables": {name: getattr(PAPER, name) for name in (*SERIES, "contributed_kwh")},
        "base_verdicts": {name: _verdict(name, BASE) for name in SERIES},
        "method_verdict": _verdict("traded_kwh", "ga"),
        "claims": [claim.line() | _ours(k, ours) for k, claim in enumerate(CLAIMS)],
        "contradictions": contradictions(),
        "slips": slips(),
        "ill_posed": _ill_posed(studies),
    }


def _verdict(table: str, case: str) -> dict[str, str]:
    found = verdict(table, case)
    return {"kind": found.kind, "note": found.note}


def _ours(k: int, ours: dict[str, Tables]) -> dict[str, Any]:
    """What our plans make of a claim, by objective."""
    claim = CLAIMS[k]
    return {
        "ours": {
            name: {"values": claim.measure(tables), "judgement": claim.judge(tables)}
            for name, tables in ours.items()
        }
    }


def _ill_posed(studies: Sequence[Study]) -> str:
    """The paper's objective, in one sentence with our figures."""
    said = []
    for study in studies:
        row = None if study.best is None else study.best
        if row is None:
            continue
        found = study.trading(row)
        ratios = (found["traded_over_generated"], found["traded_over_primary"])
        if None in ratios:
            continue
        generated, primary = ratios
        base, loss = (float(study.plans["loss_kwh"].values[k]) for k in (0, row))
        low = float(study.plans["vm_min_pu"].values[row])
        said.append(
            f"{TITLES[study.objective]}: {found['traded_kwh']:.0f} kWh traded, {generated:.2f} "
            f"times what plants generate and {primary:.2f} times what they give to it; losses "
            f"{loss:.0f} kWh (base {base:.0f}), lowest voltage {low:.3f} pu"
        )
    return f"{ILL_POSED} ({'; '.join(said)})." if said else f"{ILL_POSED}."
