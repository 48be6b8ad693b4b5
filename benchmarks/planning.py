"""Planning of sites and sizes: what scoring a candidate costs, and how near each method gets.

``python -m benchmarks.planning [FILE.toml] [--budget 60000] [--seed 0] [--methods milp,cheetah,...]
[--candidates 4000] [--repeat 15] [--time-limit 60]`` prints JSON lines, the evaluator first; all
on one thread.

``us_per_candidate_day`` is the time to decode and score a random candidate and ``us_flows_only``
that of its power flows alone, both per 24 steps: medians of repeats, after one that warms up, over
500 candidates at once. ``max_v_error_pu`` is the largest distance of its voltages from pandapower's
in all steps of several candidates.

The line of a method tells its objective (``cost`` [EUR]; ``traded``: minus the kWh), what a search
had ``searched`` before its sizes and powers were polished by a linear programme, the ``bound``
that the programme proves and the ``gap`` to it, ``gap_to_milp``, the relative distance from the
programme's objective (below zero: better), whether pandapower finds the plan ``clean``, and
seconds. A budget is evaluations of a search, seconds of the programme. ``cheetah`` is its text
variant; ``cheetah-code`` the other.

IEEE 12: 10 to 12 us per candidate and day on a slow core that nobody else uses.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from peergrid.errors import DataError, PeergridError
from peergrid.milp.model import relative_gap
from peergrid.network.ac import PandapowerGrid
from peergrid.network.magnitudes import (
    MAX_SWEEPS,
    TOL_V_SQ,
    branches_of,
    ladder_of,
    sweep,
    sweep_all,
)
from peergrid.network.matpower import net_of_case
from peergrid.planning.cheetah import CheetahSettings
from peergrid.planning.evaluate import Evaluator
from peergrid.planning.genes import plan_of
from peergrid.planning.methods import METHODS, Outcome, Settings, plan_by
from peergrid.planning.problem import Floats, Problem
from peergrid.planning.search import SEARCHES, SearchSettings
from peergrid.study.siting.case import case_of
from peergrid.threads import one_thread
from peergrid.units import mw_from_kw, pu_from_kw

FILE = Path(__file__).parent.parent / "scenarios" / "ieee12_siting.toml"
CODE = "cheetah-code"
STEPS_PER_DAY = 24
AT_ONCE = 500
CHECKED = 5
WARM = 200


def main() -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    parser.add_argument("--methods", default=",".join((*METHODS, CODE)), help="none: evaluator")
    parser.add_argument("--budget", type=int, default=60_000, help="evaluations of a search")
    parser.add_argument("--time-limit", type=float, default=60.0, help="of the programme [s]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--candidates", type=int, default=4000, help="scored in each repeat")
    parser.add_argument("--repeat", type=int, default=15)
    args = parser.parse_args()
    try:
        with one_thread():
            for line in lines(args):
                print(json.dumps(line), flush=True)
    except PeergridError as error:
        print(f"planning: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from error


def lines(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The evaluator, then the methods; the programme first, with which the others are compared."""
    names = checked(args)
    case = case_of(args.file)
    problem, name = case.problem, case.setup.scenario.name
    yield {"what": "evaluator", "case": name, **evaluator_line(problem, args)}
    milp = None
    for method in sorted(names, key=lambda one: one != "milp"):
        found = planned(problem, method, args)
        milp = found if method == "milp" else milp
        yield {"what": "method", "case": name, "method": method, **method_line(found, milp)}


def checked(args: argparse.Namespace) -> list[str]:
    """The methods; refuse what there is not, in one line."""
    for field in ("candidates", "repeat"):
        if getattr(args, field) < 1:
            raise DataError("benchmark", f"--{field}", getattr(args, field), "1 or more")
    if args.seed < 0:
        raise DataError("benchmark", "--seed", args.seed, "0 or more")
    if not args.time_limit > 0.0:
        raise DataError("benchmark", "--time-limit", args.time_limit, "a positive number [s]")
    names = [] if args.methods == "none" else [name.strip() for name in args.methods.split(",")]
    for name in names:
        if name not in (*METHODS, CODE):
            raise DataError("benchmark", "--methods", name, ", ".join((*METHODS, CODE, "none")))
    return list(dict.fromkeys(names))


# -- the evaluator -----------------------------------------------------------------------------


def evaluator_line(problem: Problem, args: argparse.Namespace) -> dict[str, Any]:
    """Time and error of scoring random candidates."""
    evaluator = Evaluator(problem)
    points = np.random.default_rng(args.seed).random((args.candidates, evaluator.n_genes))
    days = args.candidates * problem.steps / STEPS_PER_DAY
    parts = [points[k : k + AT_ONCE] for k in range(0, len(points), AT_ONCE)]
    scoring = sum(median_s(partial(evaluator, part), args.repeat) for part in parts)
    flows = sum(flows_s(problem, part, args.repeat) for part in parts)
    return {
        "candidates": args.candidates,
        "steps": problem.steps,
        "buses": problem.feeder.n_bus,
        "genes": evaluator.n_genes,
        "us_per_candidate_day": 1e6 * scoring / days,
        "us_flows_only": 1e6 * flows / days,
        "max_v_error_pu": max_v_error_pu(problem, points[:CHECKED]),
        "threads": 1,
    }


def median_s(work: Callable[[], Any], repeat: int) -> float:
    """Median time of a call [s]; the first warms up."""
    work()
    seconds = []
    for _ in range(repeat):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def flows_s(problem: Problem, points: Floats, repeat: int) -> float:
    """Median time of the power flows of candidates alone [s]."""
    q = load_pu(problem, problem.q_inj_kvar)
    p = np.stack([load_pu(problem, plan_of(problem, one).p_inj_kw) for one in points])
    branches, states = branches_of(problem.feeder), ladder_of(*p.shape)
    return median_s(partial(sweep_all, branches, p, q, states, TOL_V_SQ, MAX_SWEEPS), repeat)


def load_pu(problem: Problem, injection: Floats) -> Floats:
    """Load of the buses ``(n, T)`` as the sweep takes it [pu]."""
    return np.ascontiguousarray(-pu_from_kw(injection, problem.feeder.base_mva))


def max_v_error_pu(problem: Problem, points: Floats) -> float | None:
    """Largest distance of voltages from pandapower's; None if no candidate has a power flow."""
    feeder, worst = problem.feeder, None
    net = net_of_case(feeder) if problem.net is None else problem.net
    grid = PandapowerGrid(net, slack_vm_pu=feeder.slack_vm_pu)
    own = feeder.bus_id >= 0
    place = {bus: k for k, bus in enumerate(grid.bus_index)}
    at = np.array([place[int(bus)] for bus in feeder.bus_id[own]])
    branches, q = branches_of(feeder), load_pu(problem, problem.q_inj_kvar)
    for point in points:
        p_inj, state = plan_of(problem, point).p_inj_kw, ladder_of(*problem.p_inj_kw.shape)
        if not sweep(branches, load_pu(problem, p_inj), q, state, TOL_V_SQ, MAX_SWEEPS):
            continue
        vm_pu = np.sqrt(state.v) / np.abs(feeder.transformation)[:, None]
        for t in range(problem.steps):
            drawn, reactive, none = np.zeros((3, len(grid.bus_index)))
            drawn[at] = mw_from_kw(-p_inj[own, t])
            reactive[at] = mw_from_kw(-problem.q_inj_kvar[own, t])
            error = np.abs(vm_pu[own, t] - grid.solve(drawn, reactive, none, none).vm_pu[at]).max()
            worst = float(error) if worst is None else max(worst, float(error))
    return worst


# -- the methods -------------------------------------------------------------------------------


def planned(problem: Problem, method: str, args: argparse.Namespace) -> Outcome:
    """What a method finds, after a first few evaluations that load and compile what it needs."""
    cheetah = CheetahSettings(variant="code" if method == CODE else "text")
    settings = Settings(
        search=SearchSettings(budget=args.budget, cheetah=cheetah),
        milp=replace(Settings().milp, time_limit_s=args.time_limit),
    )
    name = "cheetah" if method == CODE else method
    if name in SEARCHES:
        warm = Settings(search=SearchSettings(budget=WARM, cheetah=cheetah))
        plan_by(name, problem, seed=args.seed, settings=warm)
    return plan_by(name, problem, seed=args.seed, settings=settings)


def method_line(found: Outcome, milp: Outcome | None) -> dict[str, Any]:
    """How near it gets, at what effort."""
    bound, to_milp = None, None
    if milp is not None:
        bound = finite(milp.bound)
        to_milp = (found.score - milp.score) / max(abs(milp.score), 1e-9)
    return {
        "seed": found.seed,
        "budget": found.budget,
        "used": found.used,
        "objective": found.score,
        "searched": found.searched_score,
        "bound": bound,
        "gap": None if bound is None else relative_gap(found.score, bound),
        "gap_to_milp": to_milp,
        "clean": found.is_clean,
        "violation_pu": finite(found.ac.violation_pu),
        "seconds": found.seconds,
    }


def finite(value: float | None) -> float | None:
    """What JSON can say."""
    return value if value is not None and np.isfinite(value) else None


if __name__ == "__main__":
    main()
