"""Envelopes compared: a day of energy communities under one method after the other.

``python -m benchmarks.envelopes [--case ieee69|ieee33|FILE.toml|random:SEED] [--methods a,b]
[--corners 300] [--repeat 3]`` prints one JSON line per method. ``seconds`` (wall clock) and
``cpu_seconds`` are medians of repeated calls after one that warms up. ``worst_violation_pu`` and
``worst_loading`` are the worst of random points of the envelopes (of the contracts where there is
none) under the exact power flow; ``schedule_violation_pu`` is that of the schedule itself. ``cost``
leaves the charge on losses of ``dfe-joint-loss`` out. With ``random:SEED`` a last line compares
costs on identical rows, where agreed envelopes provably cost no more than any DOE.

``--days N`` instead runs ``doe-prop``, ``dfe-joint`` and ``dfe-joint-loss`` on random days 0 to
N - 1 (certified, so that nothing is proven beforehand) and counts at last on how many which of
them is better.
"""

import argparse
import json
import statistics
import sys
from typing import Any

from benchmarks.envelope_cases import chosen, is_random
from peergrid.errors import PeergridError
from peergrid.market import Settings
from peergrid.study.case import Case
from peergrid.study.library import load_case
from peergrid.study.methods import run
from peergrid.study.report import CORNERS, line
from peergrid.study.same_rows import on_same_rows

DAYS = Settings(max_iterations=2000).tightened(1e-5)
SAME = 1e-4
TIMES = ("seconds", "certify_seconds", "cpu_seconds")


def main() -> None:
    """Print a line per method."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="ieee69", help="ieee69, ieee33, FILE.toml, random:SEED")
    parser.add_argument("--methods", help="separated by commas")
    parser.add_argument("--corners", type=int, default=CORNERS, help="random points per hour")
    parser.add_argument("--repeat", type=int, default=3, help="timed calls after the warm-up")
    parser.add_argument("--no-central", action="store_true", help="without central reference")
    parser.add_argument("--days", type=int, help="compare on so many random days instead")
    args = parser.parse_args()
    if args.corners < 2 or args.repeat < 1:
        parser.error("--corners takes 2 or more, --repeat 1 or more")
    try:
        if args.days is not None:
            many_days(args.days)
            return
        methods, case = chosen(args.methods), load_case(args.case)
        for method in methods:
            print(json.dumps(measured(case, method, args)), flush=True)
        if is_random(args.case):
            print(json.dumps(identical_rows(case, args.case)), flush=True)
    except PeergridError as error:
        print(f"envelopes: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from error


def measured(case: Case, method: str, args: argparse.Namespace) -> dict[str, Any]:
    """One method's line, with the medians of its times."""
    days = [run(case, method) for _ in range(args.repeat + 1)][1:]
    found = line(days[-1], corners=args.corners, central=not args.no_central)
    times = {name: statistics.median(getattr(day, name) for day in days) for name in TIMES}
    return {**found, "case": args.case, **times}


def identical_rows(case: Case, name: str) -> dict[str, Any]:
    """Costs of agreed and operating envelopes on the same uncertified rows."""
    found = on_same_rows(case)
    return {
        "case": name,
        "method": "same-rows",
        "joint_cost": found.joint_eur,
        "doe_cost": found.doe_eur,
        "advantage": found.advantage,
    }


def many_days(days: int) -> None:
    """A line per random day, and one with the counts."""
    lines = []
    for seed in range(days):
        lines.append(random_day(seed))
        print(json.dumps(lines[-1]), flush=True)
    keys = [key for key, value in lines[0].items() if isinstance(value, bool)] if lines else []
    counts = {key: sum(line[key] for line in lines) for key in keys}
    print(json.dumps({"case": "random", "days": days, **counts}), flush=True)


def random_day(seed: int) -> dict[str, Any]:
    """Whether agreed envelopes beat proportional ones on a random day, and in what."""
    case = load_case(f"random:{seed}")
    doe, dfe, priced = (
        run(case, method, DAYS) for method in ("doe-prop", "dfe-joint", "dfe-joint-loss")
    )
    return {
        "case": f"random:{seed}",
        "cost": [day.cost_eur for day in (doe, dfe, priced)],
        "traded_mwh": [day.traded_mwh for day in (doe, dfe, priced)],
        "loss_kwh": [day.loss_kwh for day in (doe, dfe, priced)],
        "status": [day.clearing.status.name.lower() for day in (doe, dfe, priced)],
        "dfe_costs_less": dfe.cost_eur <= doe.cost_eur * (1.0 + SAME),
        "dfe_trades_more": dfe.traded_mwh >= doe.traded_mwh * (1.0 - SAME),
        "dfe_loses_less": dfe.loss_kwh <= doe.loss_kwh * (1.0 + SAME),
        "priced_loses_less": priced.loss_kwh <= doe.loss_kwh * (1.0 + SAME),
    }


if __name__ == "__main__":
    main()
