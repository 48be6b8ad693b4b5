"""The stochastic plan of households: how large the programme is, and how long it takes.

``python -m benchmarks.households [--users 10] [--scenarios 3] [--step 60] [--case 1] [--seed 0]
[--repeat 1]`` prints one JSON line. ``build_s`` and ``solve_s`` are medians of repeated plans after
one that warms up, one thread: sparse rows, and diving, branch and bound and the correction of the
network rows. ``gap`` is the distance of ``cost_eur`` (penalties included) from the bound that the
solver proves, ``linear_gap_pu`` the largest distance of linear from exact voltages.

10 users with 10 scenarios take about 4 s on a slow core, 100 users with 3 scenarios about 6 s.
"""

import argparse
import json
import statistics
import sys
from typing import Any

from peergrid.errors import DataError, PeergridError
from peergrid.market.stochastic import plan
from peergrid.market.stochastic_plan import Plan
from peergrid.study.households.day import Asked, study_day

STEPS_MIN = (60, 30, 15)
PLAIN = ("columns", "rows", "binaries")


def main() -> None:
    """Print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=10, help="10, 20, 30 and so on")
    parser.add_argument("--scenarios", type=int, default=3)
    parser.add_argument("--step", type=int, default=60, help="minutes: 60, 30 or 15")
    parser.add_argument("--case", type=int, default=1, help="0, 1 or 2")
    parser.add_argument("--seed", type=int, default=0, help="of the day")
    parser.add_argument("--repeat", type=int, default=1, help="timed plans after the warm-up")
    args = parser.parse_args()
    try:
        print(json.dumps(measured(args)), flush=True)
    except PeergridError as error:
        print(f"households: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from error


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """The line."""
    checked(args)
    day = study_day(
        Asked(
            case=args.case,
            users=args.users,
            seed=args.seed,
            scenarios=args.scenarios,
            step_s=60 * args.step,
        )
    )
    plans = [plan(day.households) for _ in range(args.repeat + 1)][1:]
    last = plans[-1]
    return {
        "users": args.users,
        "scenarios": args.scenarios,
        "step_min": args.step,
        "case": args.case,
        "seed": args.seed,
        **{name: getattr(last, name) for name in PLAIN},
        "build_s": statistics.median(one.build_s for one in plans),
        "solve_s": statistics.median(one.solve_s for one in plans),
        "gap": last.gap,
        "cost_eur": last.cost_eur,
        "linear_gap_pu": linear_gap_pu(last),
        "status": "optimal" if last.is_optimal else "time limit",
    }


def checked(args: argparse.Namespace) -> None:
    """Refuse what there is not, in one line."""
    if args.step not in STEPS_MIN:
        raise DataError("benchmark", "--step", args.step, ", ".join(map(str, STEPS_MIN)))
    for field in ("scenarios", "repeat"):
        if getattr(args, field) < 1:
            raise DataError("benchmark", f"--{field}", getattr(args, field), "1 or more")
    if args.seed < 0:
        raise DataError("benchmark", "--seed", args.seed, "0 or more")


def linear_gap_pu(found: Plan) -> float | None:
    """Largest distance of linear from exact voltages; None without a feeder."""
    return None if found.network is None else found.network.gap_pu


if __name__ == "__main__":
    main()
