"""Time of the coupled simulation: ``python -m benchmarks.cosim --hours 168``.

Prints one JSON line: median milliseconds per simulated hour, their split by simulator (steps and
outputs; ``mosaik`` is the rest), set-up seconds, and a bare pandapower power flow of the same
feeder in the same process.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandapower

from peergrid.cosim.base import Simulator
from peergrid.network.library import to_pandapower
from peergrid.scenario.run import prepare, run


class Stopwatch:
    """Time spent in each simulator, and the moment each recorder step ended."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.hours: list[float] = []

    def watch(self, name: str) -> None:
        """Measure one method of all simulators."""
        original = getattr(Simulator, name)

        def timed(simulator: Simulator, *args: Any, **kwargs: Any) -> Any:
            begin = time.perf_counter()
            result = original(simulator, *args, **kwargs)
            end = time.perf_counter()
            kind = type(simulator).__name__.removesuffix("Simulator")
            self.spent[kind] += end - begin
            if kind == "Recorder" and name == "step":
                self.hours.append(end)
            return result

        setattr(Simulator, name, timed)


def runpp_ms(network: str, repeats: int = 30) -> float:
    """Median time of a bare power flow."""
    net = to_pandapower(network)
    pandapower.runpp(net)
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        pandapower.runpp(net)
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def main() -> None:
    """Run the day's scenario for some hours and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=int, default=168)
    parser.add_argument("--scenario", default="scenarios/ieee33_day.toml")
    options = parser.parse_args()
    watch = Stopwatch()
    watch.watch("step")
    watch.watch("get_data")
    begin = time.perf_counter()
    setup = prepare(Path(options.scenario), hours=options.hours)
    prepared = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run(setup, Path(folder) / "run.h5")
    end = time.perf_counter()
    steps = [1e3 * (b - a) for a, b in zip(watch.hours, watch.hours[1:], strict=False)]
    count = len(watch.hours)
    split = {kind: round(1e3 * s / count, 3) for kind, s in sorted(watch.spent.items())}
    wall = 1e3 * (watch.hours[-1] - watch.hours[0]) / max(count - 1, 1)
    split["mosaik"] = round(wall - sum(split.values()), 3)
    line = {
        "benchmark": "cosim",
        "hours": options.hours,
        "ms_per_hour": round(statistics.median(steps), 2),
        "ms_per_hour_mean": round(wall, 2),
        "split_ms_mean": split,
        "ms_runpp": round(runpp_ms("ieee33"), 2),
        "seconds_prepare": round(prepared - begin, 2),
        "seconds_run": round(end - prepared, 2),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
