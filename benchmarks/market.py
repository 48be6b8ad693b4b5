"""The clearing by ADMM on the exact AC network against central solvers on the relaxed one.

``python -m benchmarks.market [--case ieee33] [--limit 600] [--repeat 5] [--neighbours]`` prints
one JSON line per method. Each method runs in a process of its own, one after the other, so that
its peak memory is its own and a limit can end it. ``seconds`` is the median of repeated calls
after a warm-up: the whole call of ``peergrid.market.clear`` for the ADMM, the solver alone for
the central methods (``call_seconds``: with building and translating the problem). ``gap`` is the
distance of the objective from the best central optimum, ``bound_gap`` from the bound that the
ADMM proves itself. ``ac_error_pu`` compares voltages with pandapower on the same injections.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandapower as pp
from numpy.typing import NDArray

from benchmarks.market_cases import CASES, STEPS, community
from peergrid.errors import PeergridError
from peergrid.market import Clearing, Problem, Settings, clear
from peergrid.market.by_neighbours import NeighbourSettings, clear_by_neighbours
from peergrid.market.central import build_programme, clear_centrally, run
from peergrid.market.exclusivity import check_exclusivity
from peergrid.network.library import LIBRARY, to_pandapower
from peergrid.network.matpower import net_of_case

Floats = NDArray[np.float64]
SOLVERS = {"central-ecos": "ECOS", "central-clarabel": "CLARABEL"}
METHODS = ("admm", *SOLVERS, "neighbours")
ADMM = Settings(tolerance_gap=1e-7)
MOST_MILPS = 200  # storages whose problem is solved once more with binaries


def main() -> None:
    """Run all methods, or one of them here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="ieee33", help=f"{', '.join(CASES)} or matpower:NAME")
    parser.add_argument("--pv-scale", type=float, default=1.0, help="times the published PV")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for one method")
    parser.add_argument("--repeat", type=int, default=5, help="timed calls after the warm-up")
    parser.add_argument("--seed", type=int, default=1, help="of vehicles and tours")
    parser.add_argument("--neighbours", action="store_true", help="also the paper's own ADMM: slow")
    parser.add_argument("--only", choices=METHODS, help="one method, in this process")
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measured(args)))
        return
    methods = METHODS if args.neighbours else METHODS[:-1]
    lines = [in_a_child(args, method) for method in methods]
    for line in with_gaps(lines):
        print(json.dumps(line), flush=True)


def in_a_child(args: argparse.Namespace, method: str) -> dict[str, Any]:
    """Measure one method in a process of its own; past the limit it is ended."""
    options = ["case", "pv_scale", "limit", "repeat", "seed"]
    command = [sys.executable, "-m", "benchmarks.market", "--only", method]
    for name in options:
        command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    head = {"case": args.case, "method": method}
    print(f"{args.case}: {method} ...", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=args.limit, check=False
        )
    except subprocess.TimeoutExpired:
        return {**head, "status": f"passed the limit of {args.limit:g} s"}
    if done.returncode:
        return {**head, "status": f"failed: {done.stderr.strip().splitlines()[-1]}"}
    return {**head, **json.loads(done.stdout)}


def with_gaps(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gaps to the best central optimum, where there is one."""
    optima = [line["optimum"] for line in lines if "optimum" in line]
    best = min(optima, default=None)
    for line in lines:
        line.pop("optimum", None)
        if best is not None and "objective" in line:
            line["gap"] = (line["objective"] - best) / max(abs(best), 1.0)
    return lines


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """One method's line."""
    problem = community(args.case, seed=args.seed, pv_scale=args.pv_scale)
    line: dict[str, Any] = {
        "case": args.case,
        "buses": problem.grid.feeder.n_bus if problem.grid else 0,
        "agents": len(problem.owner),
        "method": args.only,
    }
    try:
        line |= WAYS[args.only](problem, args)
    except PeergridError as error:
        line["status"] = str(error)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return line | {"peak_mb": round(peak, 1)}


def by_admm(problem: Problem, args: argparse.Namespace) -> dict[str, Any]:
    """Our ADMM on the exact AC network."""
    found, seconds = timed(lambda: clear(problem, ADMM, network="ac"), args.repeat)
    return line_of(found) | {
        "seconds": seconds,
        "bound_gap": found.gap,
        "ac_error_pu": ac_error_pu(problem, found, args.case),
        "status": found.status.name.lower(),
        "exclusivity": exclusivity(problem, found),
    }


def exclusivity(problem: Problem, found: Clearing) -> dict[str, float] | None:
    """What forbidding charge and discharge at once would change at these prices."""
    if len(problem.agents.stores) > MOST_MILPS:
        return None
    checked = check_exclusivity(problem.agents, found.price_eur_per_kwh[problem.owner])
    return {
        "worst_relative_value": checked.worst_relative,
        "worst_simultaneous_kw": checked.worst_simultaneous_kw,
    }


def centrally(problem: Problem, args: argparse.Namespace) -> dict[str, Any]:
    """The relaxed branch flow model by a cone solver; build, canonicalise and solve each time."""
    solver = SOLVERS[args.only]
    alone: list[float] = []

    def call() -> None:
        programme = build_programme(problem)
        run(programme.problem, solver, cones=True)
        alone.append(float(programme.problem.solver_stats.solve_time))

    _, seconds = timed(call, args.repeat)
    found = clear_centrally(problem, solver)
    exact = found.relaxation
    return line_of(found) | {
        "seconds": statistics.median(alone[-args.repeat :]),
        "call_seconds": seconds,
        "optimum": found.lower_bound_eur,
        "ac_error_pu": None if exact is None else exact.voltage_error_pu,
        "status": "optimal" if exact is None else exact.verdict,
    }


def by_neighbours(problem: Problem, args: argparse.Namespace) -> dict[str, Any]:
    """The ADMM of the published case, once: its time is in minutes."""
    how = NeighbourSettings(wait_for_seed=True, limit_s=0.9 * args.limit)
    found = clear_by_neighbours(problem, how)
    own = found.neighbours
    return line_of(found) | {
        "seconds": own.seconds,
        "residual_rule_iterations": own.stop_iteration,
        "published_rule_iterations": own.seed_stop_iteration,
        "published_rule_objective": own.seed_objective_eur,
        "ac_error_pu": own.voltage_error_pu,
        "status": found.status.name.lower(),
    }


WAYS: dict[str, Callable[[Problem, argparse.Namespace], dict[str, Any]]] = {
    "admm": by_admm,
    "central-ecos": centrally,
    "central-clarabel": centrally,
    "neighbours": by_neighbours,
}


def line_of(found: Clearing) -> dict[str, Any]:
    """What every method's line says of its result."""
    return {
        "iterations": found.iterations,
        "objective": found.objective_eur,
        "primal_residual": found.primal_kw,
        "dual_residual": found.dual_eur_per_kwh,
    }


def timed(call: Callable[[], Any], repeat: int) -> tuple[Any, float]:
    """Result and median time of a call [s], after one that warms up."""
    result, seconds = call(), []
    for _ in range(repeat):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return result, statistics.median(seconds)


def ac_error_pu(problem: Problem, found: Clearing, case: str) -> float:
    """Largest distance of the clearing's voltages from pandapower's on the same injections."""
    grid = problem.grid
    if grid is None or found.grid is None:
        return float("nan")
    feeder = grid.feeder
    net = to_pandapower(case) if case in LIBRARY else net_of_case(feeder)
    for table in ("load", "sgen"):
        net[table] = net[table].drop(net[table].index)
    loads = [pp.create_load(net, int(feeder.bus_id[row]), 0.0) for row in grid.at]
    worst = 0.0
    for hour in range(STEPS):
        net.load.loc[loads, "p_mw"] = -found.position_kw[:, hour] / 1000.0
        net.load.loc[loads, "q_mvar"] = -found.position_kvar[:, hour] / 1000.0
        pp.runpp(net, tolerance_mva=1e-9, numba=False, init="flat", max_iteration=30)
        exact = net.res_bus.vm_pu.loc[feeder.bus_id].to_numpy()
        worst = max(worst, float(np.abs(exact - found.grid.vm_pu[:, hour]).max()))
    return worst


if __name__ == "__main__":
    main()
