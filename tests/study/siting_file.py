"""Small scenario files with a table ``[plan]``, and CSV files that they name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

HEAD = """
name = "siting"
hours = {hours}
step_s = {step_s}
[network]
case = "ieee12"
slack_vm_pu = 1.02
v_min_pu = 0.94
v_max_pu = 1.05
[forecast]
model = "perfect"
"""
PV = "[[plan.pv]]\nmax_kwp = 400\n"
WIND = "[[plan.wind]]\nmax_kw = 300\n"
BATTERY = "[[plan.battery]]\nmax_kwh = 600\n"
EV = "[[plan.ev]]\nmax_vehicles = 20\n"


def write(
    folder: Path, *parts: str, hours: int = 24, step_s: int = 3600, name: str = "siting.toml"
) -> Path:
    """A scenario of the 12-bus feeder with these tables."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("\n".join((HEAD.format(hours=hours, step_s=step_s), *parts)), encoding="utf-8")
    return path


def write_series(path: Path, columns: Mapping[str, Sequence[float]], *, start: str) -> Path:
    """A CSV file of hourly values from an instant on."""
    hours = len(next(iter(columns.values())))
    times = pd.date_range(start, periods=hours, freq="h").strftime("%Y-%m-%dT%H:%M:%SZ")
    pd.DataFrame({"time": times, **columns}).to_csv(path, index=False)
    return path
