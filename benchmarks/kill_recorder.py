"""Kill a process that writes a results file, many times, at random moments, and read the file.

``python -m benchmarks.kill_recorder --kills 1000``: one JSON object a line, one line per way of
writing. A file counts as lost when it cannot be read, holds other numbers than were written, or
has fewer whole rows than the writer had said it finished.
"""

import argparse
import json
import math
import mmap
import os
import random
import signal
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from peergrid.errors import DataError
from peergrid.results import RunFile, RunHeader, open_events, open_run, read_state

MANY = 1_000_000
Say = Callable[[int], None]


def feed(run: RunFile, first: int, last: int, say: Say) -> None:
    """Write hours with numbers, lists that grow, late series, events and states."""
    for row in range(first, last):
        values: dict[str, Any] = {
            "P[MW]": {f"M-0.Bus-{i}": row + i / 128 for i in range(100)},
            "h": {"M-0.Market-0": [float(row)] * (1 + row % 9)},
        }
        if row >= 40:
            values[f"late{row // 200}"] = {"M-0.Market-0": float(row)}
        events = [{"who": "M", "what": "odd", "value": row}] if row % 2 else []
        states = {"M": {"row": row, "x": [0.5] * (row % 500)}} if row % 8 == 7 else {}
        run.write(row, values, events=events, states=states)
        say(row + 1)


def start(path: Path, rows: int | None) -> RunFile:
    """A new file."""
    header = RunHeader(start="2016-01-01T00:00+00:00", step_s=3600.0, rows=rows)
    return RunFile.create(path, header)


def planned(path: Path, say: Say) -> None:
    """Rows allocated at the start."""
    run = start(path, 20_000)
    say(0)
    feed(run, 0, MANY, say)


def unplanned(path: Path, say: Say) -> None:
    """Rows allocated as the run goes on."""
    run = start(path, None)
    say(0)
    feed(run, 0, MANY, say)


def reopened(path: Path, say: Say) -> None:
    """Opened, cut and closed again and again."""
    start(path, None).close()
    say(0)
    for row in range(0, MANY, 5):
        with RunFile.append(path, row) as run:
            feed(run, row, row + 5, say)


WAYS = {"planned": planned, "unplanned": unplanned, "reopened": reopened}


def kill_one(way: str, path: Path, wait_s: float) -> int:
    """Fork a writer, kill it after a while; rows it had said it finished (-1: not begun)."""
    board = mmap.mmap(-1, 8)
    board[:8] = struct.pack("q", -1)
    child = os.fork()
    if child == 0:
        try:
            WAYS[way](path, lambda rows: board.__setitem__(slice(0, 8), struct.pack("q", rows)))
        finally:
            os._exit(1)
    deadline = time.monotonic() + 30.0
    while struct.unpack("q", board[:8])[0] < 0 and time.monotonic() < deadline:
        time.sleep(0.0005)
    time.sleep(wait_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return int(struct.unpack("q", board[:8])[0])


def fault_of(path: Path, said: int) -> str | None:
    """What is wrong with a killed file; None when nothing is."""
    try:
        data = open_run(path)
        rows = data.sizes["time"]
        if rows < said:
            return f"{rows} rows of {said}"
        if rows:
            values = data["Bus.P[MW]"].values
            if (values != [[r + i / 128 for i in range(100)] for r in range(rows)]).any():
                return "other numbers"
            if len(open_events(path)) < rows // 2:
                return "events lost"
        row, states = read_state(path)
        if row != 8 * (rows // 8) or (row and states["M"]["row"] != row - 1):
            return f"state of row {row} at {rows} rows"
        with RunFile.append(path, row) as run:
            feed(run, row, row + 3, lambda _: None)
        again = open_run(path).sizes["time"]
    except DataError as error:
        return str(error)
    return None if again == row + 3 else "cannot go on"


def campaign(way: str, kills: int, seed: int) -> dict[str, Any]:
    """Kill writers of one way and count what was lost."""
    rng = random.Random(seed)  # noqa: S311
    faults: list[str] = []
    rows: list[int] = []
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.h5"
        for kill in range(kills):
            path.unlink(missing_ok=True)
            early = math.exp(rng.uniform(math.log(1e-4), math.log(0.3)))
            said = kill_one(way, path, early if kill % 2 else rng.uniform(0.0, 0.6))
            fault = fault_of(path, said)
            rows.append(said)
            if fault is not None:
                faults.append(fault)
    return {
        "way": way,
        "kills": kills,
        "lost": len(faults),
        "faults": faults[:5],
        "rows_median": sorted(rows)[len(rows) // 2],
        "seconds": round(time.perf_counter() - began, 1),
    }


def main() -> None:
    """Run the campaign of each way of writing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for way in WAYS:
        print(json.dumps(campaign(way, given.kills, given.seed)), flush=True)


if __name__ == "__main__":
    main()
