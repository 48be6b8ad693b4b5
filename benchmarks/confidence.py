"""Confidence study: margins at several levels, and how often what they promise is broken.

``python -m benchmarks.confidence [--case ieee69] [--draws 2000] [--calibration 1000]
[--levels 0.8,0.9,0.95,0.99] [--errors gaussian,lognormal,t3] [--seed 1]`` prints a JSON line per
confidence, shape of the errors, promise and method (``doe-prop`` and ``dfe-joint``): traded
volumes, breach rates of binding sides with the interval that chance explains, the worst of the
other sides, and how often any limit of the feeder is broken in the worst hour under the exact power
flow, with feeder load drawn as well. Margins are gaussian for gaussian errors and conformal for the
others; the operator's own margin is gaussian throughout, and so is its load.
"""

import argparse
import json
import sys

from peergrid.errors import DataError, PeergridError
from peergrid.study.confidence import Sample, confidence_line
from peergrid.study.errors import SHAPES, Shape
from peergrid.study.library import load_case
from peergrid.study.report import known

LEVELS = "0.80,0.90,0.95,0.99"
METHODS = ("doe-prop", "dfe-joint")


def main() -> None:
    """Print the lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", default="ieee69", help="ieee69, ieee33, FILE.toml, random:SEED")
    parser.add_argument("--draws", type=int, default=2000, help="days drawn")
    parser.add_argument("--calibration", type=int, default=1000, help="past days known")
    parser.add_argument("--errors", default=",".join(SHAPES), help="shapes, separated by commas")
    parser.add_argument("--levels", default=LEVELS, help="confidences, separated by commas")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.draws < 1 or args.calibration < 1:
        parser.error("--draws and --calibration take 1 or more")
    try:
        case = load_case(args.case)
        for shape in shapes(args.errors):
            sample = Sample(draws=args.draws, calibration=args.calibration, shape=shape)
            for level in levels(args.levels):
                for promise in ("side", "network"):
                    for method in METHODS:
                        line = confidence_line(case, method, level, promise, sample, args.seed)
                        line = {key: known(value) for key, value in line.items()}
                        print(json.dumps({"case": args.case, **line}), flush=True)
    except PeergridError as error:
        print(f"confidence: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from error


def shapes(text: str) -> tuple[Shape, ...]:
    """Shapes from a comma-separated list."""
    found = []
    for name in text.split(","):
        match = [shape for shape in SHAPES if shape == name.strip()]
        if not match:
            raise DataError("benchmark", "--errors", name, ", ".join(SHAPES))
        found += match
    return tuple(found)


def levels(text: str) -> tuple[float, ...]:
    """Confidences from a comma-separated list."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0.5 <= level < 1.0 for level in found):
        raise DataError("benchmark", "--levels", text, "numbers from 0.5 to below 1, such as 0.95")
    return found


if __name__ == "__main__":
    main()
