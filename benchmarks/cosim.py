"""Time of the coupled simulation: ``python -m benchmarks.cosim --hours 168``.

Prints one JSON line: median milliseconds per simulated hour, their split by simulator (steps and
outputs; ``mosaik`` is the rest), of which the envelopes with the certification of the hour (median
and largest after the second hour: the first ones start cold), set-up seconds, and a bare pandapower
power flow of the same feeder in the same process. ``--envelopes KIND`` takes another kind than the
scenario's.
"""

import argparse
import json
import re
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pandapower

import peergrid.operator.hour as operator_hour
from peergrid.cosim.base import Simulator
from peergrid.network.library import to_pandapower
from peergrid.operator.community import KINDS
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


def watch_envelopes() -> list[float]:
    """Milliseconds that each hour's envelopes take from now on, certification included."""
    spent: list[float] = []
    original = operator_hour.set_boundaries

    def timed(*args: Any) -> Any:
        begin = time.perf_counter()
        found = original(*args)
        spent.append(1e3 * (time.perf_counter() - begin))
        return found

    operator_hour.set_boundaries = timed
    return spent


def with_kind(scenario: Path, kind: str | None, folder: Path) -> Path:
    """The scenario with another kind of envelopes; its relative files stay where they are."""
    if kind is None:
        return scenario
    text, hits = re.subn(
        r'(?m)^kind = "[a-z-]+"', f'kind = "{kind}"', scenario.read_text(encoding="utf-8")
    )
    if hits != 1:
        raise SystemExit(f"{scenario}: no single line kind = ... to change")
    for data in scenario.parent.iterdir():
        if data.is_dir():
            (folder / data.name).symlink_to(data.resolve())
    changed = folder / scenario.name
    changed.write_text(text, encoding="utf-8")
    return changed


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
    parser.add_argument("--envelopes", choices=KINDS, help="kind, instead of the scenario's")
    options = parser.parse_args()
    watch = Stopwatch()
    watch.watch("step")
    watch.watch("get_data")
    envelopes = watch_envelopes()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        file = with_kind(Path(options.scenario), options.envelopes, Path(folder))
        setup = prepare(file, hours=options.hours)
        prepared = time.perf_counter()
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
        "ms_envelopes": round(statistics.median(envelopes), 2),
        "ms_envelopes_most": round(max(envelopes[2:], default=float("nan")), 2),
        "ms_runpp": round(runpp_ms("ieee33"), 2),
        "seconds_prepare": round(prepared - begin, 2),
        "seconds_run": round(end - prepared, 2),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
