"""What the meters teach, on the day's scenario with a grid that differs from its model."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from peergrid.network.library import load_feeder
from peergrid.network.power_flow import solve
from peergrid.results import open_run
from peergrid.scenario.run import run
from peergrid.units import kw_from_mw

DAY = Path("scenarios/ieee33_day.toml").resolve()
BAND = (0.95, 1.05)
Runs = Callable[..., xr.Dataset]


def _variant(text: str, **values: str) -> str:
    """The scenario with other values; every key must be there exactly once."""
    for key, value in values.items():
        text, hits = re.subn(rf"(?m)^{key} = [^#\n]*", f"{key} = {value} ", text)
        assert hits == 1, key
    return text


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Runs the 14 hours with the given plant, each variant once."""
    folder = tmp_path_factory.mktemp("feedback")
    done: dict[tuple[str, ...], xr.Dataset] = {}

    def runs(impedance: float = 1.0, feedback: str = "true", swap: str = "[]") -> xr.Dataset:
        key = (str(impedance), feedback, swap)
        if key not in done:
            file = folder / f"{len(done)}.toml"
            text = _variant(
                DAY.read_text(encoding="utf-8"),
                hours="14",
                slack_vm_pu="1.04",
                v_min_pu=str(BAND[0]),
                v_max_pu=str(BAND[1]),
                impedance_scale=key[0],
                feedback=feedback,
                swap_meters=swap,
            )
            file.write_text(text, encoding="utf-8")
            done[key] = open_run(run(file, file.with_suffix(".h5")).path)
        return done[key]

    return runs


def _outside(vm_pu: NDArray[np.float64]) -> float:
    return float(np.maximum(vm_pu - BAND[1], BAND[0] - vm_pu).max())


def _worst_at_corners(data: xr.Dataset, impedance: float) -> float:
    """By how much the corners of the published boxes leave the band on the real grid."""
    feeder = load_feeder("ieee33").with_slack(1.04).scaled_impedance(impedance)
    members = json.loads(data.attrs["participants"])
    at = [feeder.index_of(member["bus"]) for member in members]
    worst = []
    for side in ("max", "min"):
        p_kw, q_kvar = (np.zeros((feeder.n_bus, data.sizes["time"])) for _ in range(2))
        for total, name in ((p_kw, f"P_{side}[MW]"), (q_kvar, f"Q_{side}[MVar]")):
            values = data[f"Participant.{name}"].sel(
                Participant=[member["id"] for member in members]
            )
            np.add.at(total, at, kw_from_mw(values.values.T))
        assert np.isfinite(p_kw).all()
        flow = solve(feeder, p_kw, q_kvar)
        assert flow.converged.all()
        worst.append(_outside(flow.vm_pu[1:]))
    return max(max(worst), 0.0)


def _width_mw(data: xr.Dataset) -> float:
    return float((data["Participant.P_max[MW]"] - data["Participant.P_min[MW]"]).sum())


def test_longer_lines_are_noticed_and_promises_kept(day: Runs) -> None:
    trusting = _worst_at_corners(day(1.1, "false"), 1.1)
    learning = _worst_at_corners(day(1.1), 1.1)
    assert trusting > 1e-3
    assert learning <= 0.5 * trusting


def test_realised_voltages_are_not_worse_for_it(day: Runs) -> None:
    trusting, learning = (day(1.1, how)["Bus.Vm[pu]"].values for how in ("false", "true"))
    assert _outside(learning) <= max(_outside(trusting), 0.0) + 1e-6


def test_shorter_lines_cost_next_to_nothing(day: Runs) -> None:
    assert _width_mw(day(0.9)) > 0.95 * _width_mw(day(1.0))


def test_mixed_up_meters_are_noticed(day: Runs) -> None:
    right, wrong = day(1.0), day(1.0, swap="[[2, 18]]")
    changed = np.abs((right["Participant.P_max[MW]"] - wrong["Participant.P_max[MW]"]).values)
    assert changed.max() > 1e-3
    error = np.abs(wrong["Meter.model_error"].values)
    assert np.nanmax(error) > 5e-3
