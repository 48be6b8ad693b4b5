"""What the meters teach, on the day's scenario with a grid that differs from its model."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.network.from_pandapower import from_pandapower
from peergrid.network.library import resolve_network
from peergrid.network.plant_net import LEAST_LINE_FACTOR, plant_net, varied_lines
from peergrid.network.power_flow import solve
from peergrid.results import open_run
from peergrid.scenario.run import prepare, run
from peergrid.units import kw_from_mw

DAY = Path("scenarios/ieee33_day.toml").resolve()
BAND = (0.95, 1.05)
HOURS = 14
SLACK_PU = 1.04
PROMISE_PU = 2e-4  # with every bus metered, from the second hour on
RESIDUAL_PU = 1e-3  # with a fifth of the buses metered; measured: 0
A_FIFTH = "[6, 12, 18, 22, 25, 33]"


@dataclass(frozen=True)
class Variant:
    """How the plant differs from its model, and what the operator makes of it."""

    impedance: float = 1.0
    spread: float = 0.0
    load: float = 1.0
    feedback: str = "true"
    swap: str = "[]"
    meters: str = '"all"'
    seed: int = 1

    def text(self) -> str:
        """The day's scenario, changed."""
        text = DAY.read_text(encoding="utf-8")
        values = {
            "hours": str(HOURS),
            "seed": str(self.seed),
            "slack_vm_pu": str(SLACK_PU),
            "v_min_pu": str(BAND[0]),
            "v_max_pu": str(BAND[1]),
            "impedance_scale": str(self.impedance),
            "load_scale": str(self.load),
            "feedback": self.feedback,
            "swap_meters": self.swap,
        }
        for key, value in values.items():
            text, hits = re.subn(rf"(?m)^{key} = [^#\n]*", f"{key} = {value} ", text)
            assert hits == 1, key
        text = text.replace("[plant]", f"[plant]\nimpedance_spread = {self.spread}", 1)
        return text.replace("[network]", f"[network]\nmetered_buses = {self.meters}", 1)


Runs = Callable[[Variant], xr.Dataset]
# the plant: every line its own factor around +5 %, loads 3 % larger
REAL = Variant(impedance=1.05, spread=0.1, load=1.03)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Runs the hours of a variant, each once."""
    folder = tmp_path_factory.mktemp("feedback")
    done: dict[Variant, xr.Dataset] = {}

    def runs(variant: Variant) -> xr.Dataset:
        if variant not in done:
            file = folder / f"{len(done)}.toml"
            file.write_text(variant.text(), encoding="utf-8")
            done[variant] = open_run(run(file, file.with_suffix(".h5")).path)
        return done[variant]

    return runs


def _outside(vm_pu: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much voltages ``(n, T)`` leave the band in each hour, ``(T,)``."""
    return np.maximum(vm_pu - BAND[1], BAND[0] - vm_pu).max(axis=0)


def _at_corners(data: xr.Dataset, variant: Variant) -> NDArray[np.float64]:
    """By how much the corners of the published boxes leave the band on the real grid, ``(T,)``."""
    net = varied_lines(resolve_network("ieee33"), variant.spread, variant.seed)
    feeder = from_pandapower(net).with_slack(SLACK_PU).scaled_impedance(variant.impedance)
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
    return np.maximum(np.max(worst, axis=0), 0.0)


def _width_mw(data: xr.Dataset) -> float:
    return float((data["Participant.P_max[MW]"] - data["Participant.P_min[MW]"]).sum())


@pytest.mark.parametrize("seed", [1, 3])
def test_with_every_bus_metered_promises_are_kept(day: Runs, seed: int) -> None:
    real = Variant(impedance=1.05, spread=0.1, load=1.03, seed=seed)
    assert _at_corners(day(real), real)[1:].max() <= PROMISE_PU


def test_without_feedback_the_same_promises_are_broken(day: Runs) -> None:
    trusting = Variant(impedance=1.05, spread=0.1, load=1.03, feedback="false")
    assert _at_corners(day(trusting), trusting).max() > 5e-3
    # and what keeping them costs
    assert _width_mw(day(REAL)) > 0.9 * _width_mw(day(trusting))


def test_with_a_fifth_of_the_buses_metered(day: Runs) -> None:
    few = Variant(impedance=1.05, spread=0.1, load=1.03, meters=A_FIFTH)
    assert _at_corners(day(few), few)[1:].max() <= RESIDUAL_PU
    assert _width_mw(day(few)) < _width_mw(day(REAL))


def test_longer_lines_are_noticed_and_promises_kept(day: Runs) -> None:
    learning, trusting = Variant(impedance=1.1), Variant(impedance=1.1, feedback="false")
    assert _at_corners(day(trusting), trusting).max() > 1e-3
    assert _at_corners(day(learning), learning)[1:].max() <= PROMISE_PU


def test_realised_voltages_are_not_worse_for_it(day: Runs) -> None:
    trusting, learning = (
        day(Variant(impedance=1.1, feedback=how))["Bus.Vm[pu]"].values.T
        for how in ("false", "true")
    )
    assert _outside(learning).max() <= max(_outside(trusting).max(), 0.0) + 1e-6


def test_shorter_lines_cost_next_to_nothing(day: Runs) -> None:
    assert _width_mw(day(Variant(impedance=0.9))) > 0.95 * _width_mw(day(Variant()))


def test_a_model_that_is_right_costs_a_margin_only(day: Runs) -> None:
    assert _width_mw(day(Variant())) > 0.93 * _width_mw(day(Variant(feedback="false")))


def test_mixed_up_meters_are_noticed(day: Runs) -> None:
    right, wrong = day(Variant()), day(Variant(swap="[[2, 18]]"))
    changed = np.abs((right["Participant.P_max[MW]"] - wrong["Participant.P_max[MW]"]).values)
    assert changed.max() > 1e-3
    assert np.nanmax(np.abs(wrong["Meter.model_error"].values)) > 5e-3
    assert _at_corners(wrong, Variant())[1:].max() <= PROMISE_PU


def test_only_metered_buses_have_meters(day: Runs) -> None:
    data = day(Variant(impedance=1.05, spread=0.1, load=1.03, meters=A_FIFTH))
    found = {int(str(eid).rpartition("-")[2]) for eid in data["Meter"].values}
    assert found == set(json.loads(A_FIFTH))


# ---- the plant


@pytest.mark.parametrize("name", ["ieee33", "ieee69"])
def test_every_line_has_its_own_factor(name: str) -> None:
    net = resolve_network(name)
    plants = [plant_net(varied_lines(net, 0.1, seed), impedance_scale=1.05) for seed in (1, 1, 2)]
    factors = [p.line["r_ohm_per_km"].to_numpy() / net.line["r_ohm_per_km"] for p in plants]
    np.testing.assert_array_equal(factors[0], factors[1])
    assert np.all(factors[0] != factors[2])
    assert factors[0].mean() == pytest.approx(1.05, abs=0.05)
    assert factors[0].std() == pytest.approx(0.105, abs=0.03)
    x_factors = plants[0].line["x_ohm_per_km"].to_numpy() / net.line["x_ohm_per_km"]
    np.testing.assert_allclose(factors[0], x_factors)
    widest = varied_lines(net, 5.0, 1).line["r_ohm_per_km"] / net.line["r_ohm_per_km"]
    assert widest.min() == pytest.approx(LEAST_LINE_FACTOR)
    assert varied_lines(net, 0.0, 1) is net


def test_somebody_elses_grid_gets_the_same_lines(tmp_path: Path) -> None:
    pytest.importorskip("mosaik_components.pandapower")
    theirs = (
        '[simulators]\ngrid = { python = "mosaik_components.pandapower:Simulator" }\n'
        '[record]\nattributes = ["Vm[pu]"]\n'
    )
    volts = []
    for k, more in enumerate(("", theirs)):
        file = tmp_path / f"{k}.toml"
        text = re.sub(r"(?m)^hours = \d+", "hours = 3", REAL.text())
        file.write_text(text + more, encoding="utf-8")
        volts.append(open_run(run(file, file.with_suffix(".h5")).path)["Bus.Vm[pu]"].values)
    np.testing.assert_allclose(volts[0], volts[1], atol=1e-6)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('metered_buses = "all"', "metered_buses = [2, 99]", r"network.metered_buses\[1\] = 99"),
        ('metered_buses = "all"', "metered_buses = [2, 2]", r"metered_buses\[1\] = 2: .*once"),
        ('metered_buses = "all"', 'metered_buses = "some"', "network.metered_buses = 'some'"),
        ("impedance_spread = 0.1", "impedance_spread = -0.1", "plant.impedance_spread = -0.1"),
    ],
)
def test_a_wrong_scenario_is_one_clear_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(REAL.text().replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=says):
        prepare(file)
