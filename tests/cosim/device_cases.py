"""One small case of every simulator of weather and devices, shared by several test modules."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from peergrid.cosim.appliance import ApplianceSimulator
from peergrid.cosim.attributes import MODELS, WEATHER_NAMES
from peergrid.cosim.base import Simulator
from peergrid.cosim.battery import BatterySimulator
from peergrid.cosim.building import BuildingSimulator
from peergrid.cosim.ev_fleet import EVFleetSimulator
from peergrid.cosim.flexible_load import FlexibleLoadSimulator
from peergrid.cosim.generator import GeneratorSimulator
from peergrid.cosim.load import LoadSimulator
from peergrid.cosim.pv import PVSimulator
from peergrid.cosim.weather import WeatherSimulator
from peergrid.cosim.wind import WindSimulator

Inputs = dict[str, dict[str, dict[str, Any]]]
SITE = ("P_gen[MW]", "P_load[MW]", "P_max[MW]", "P_min[MW]")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A simulator, one model of it, how to create it and what it listens to."""

    simulator: type[Simulator]
    model: str
    params: Mapping[str, Any] = field(default_factory=dict)
    num: int = 2
    weather: bool = False
    listens: tuple[str, ...] = ()

    @property
    def weather_names(self) -> list[str]:
        """What it takes of the weather."""
        if not self.weather:
            return []
        names = [n for w in WEATHER_NAMES for n in (w, w.replace("[", "_forecast["))]
        return [n for n in names if n in {a.name for a in MODELS[self.model].attributes}]

    @property
    def path(self) -> dict[str, str]:
        """How mosaik starts it."""
        return {"python": f"{self.simulator.__module__}:{self.simulator.__name__}"}


CASES = {
    "weather": Case(simulator=WeatherSimulator, model="Weather", num=1),
    "pv": Case(
        simulator=PVSimulator,
        model="PV",
        params={"kwp": 10.0},
        weather=True,
        listens=("P_set[MW]", "Q_set[MVar]", *SITE),
    ),
    "wind": Case(
        simulator=WindSimulator,
        model="WindTurbine",
        weather=True,
        listens=("P_set[MW]", "Q_set[MVar]", *SITE),
    ),
    "generator": Case(
        simulator=GeneratorSimulator,
        model="Generator",
        params={"p_max_kw": 10.0, "p_min_kw": 2.0},
        listens=("P_set[MW]", "Q_set[MVar]", *SITE),
    ),
    "load": Case(
        simulator=LoadSimulator,
        model="Load",
        params={"p_nom_kw": 50.0, "q_nom_kvar": 20.0},
        listens=("P_set[MW]",),
    ),
    "flexible_load": Case(
        simulator=FlexibleLoadSimulator,
        model="FlexibleLoad",
        params={"p_rated_kw": 8.0, "tan_phi": 0.4, "cut_cost_eur_per_mwh": 120.0},
        listens=("P_set[MW]", *SITE),
    ),
    "appliance": Case(
        simulator=ApplianceSimulator,
        model="Appliance",
        params={
            "phases_kw": [2.0, 0.4, 0.0, 1.0, 3.0],
            "earliest_h": 6.0,
            "latest_h": 22.0,
            "habit_h": 17.5,
            "cycles_per_day": 2,
            "tan_phi": 0.4,
        },
        listens=("P_set[MW]", *SITE),
    ),
    "building": Case(
        simulator=BuildingSimulator,
        model="Building",
        params={"p_max_kw": 3.0, "r_k_per_kw": 8.0, "c_kwh_per_k": 3.0, "homes": 2},
        weather=True,
        listens=("P_set[MW]", *SITE),
    ),
    "battery": Case(
        simulator=BatterySimulator,
        model="Battery",
        params={"e_max_kwh": 20.0, "p_max_kw": 10.0},
        listens=("P_set[MW]", *SITE),
    ),
    "ev": Case(
        simulator=EVFleetSimulator,
        model="EVFleet",
        params={"num_ev": 3},
        listens=("P_set[MW]",),
    ),
}


def started(case: Case, **sim_params: Any) -> Simulator:
    """The simulator with its entities, outside of mosaik."""
    simulator = case.simulator()
    simulator.init("Sim", **{"seed": 3, "hours": 48, **sim_params})
    simulator.create(case.num, case.model, **case.params)
    return simulator


def random_inputs(case: Case, simulator: Simulator) -> Callable[[int], Inputs]:
    """Inputs of a step that depend on its number only: weather, and now and then set-points."""
    sky = started(CASES["weather"], step_size=simulator.step_s)
    eids = [f"{case.model}-{i}" for i in range(case.num)]
    if case.model == "EVFleet":
        eids += [f"EV-{i}" for i in range(3)]

    def inputs_of(index: int) -> Inputs:
        rng = np.random.default_rng(index)
        sent: Inputs = {eid: {} for eid in eids}
        for eid in eids:
            for name in case.listens:
                if rng.random() < 0.6:
                    sent[eid][name] = {"A.x": 0.01 * rng.normal(), "B.y": None}
        if case.weather:
            step = round(simulator.step_s)
            sky.step(index * step, {}, 0)
            weather = sky.get_data({"Weather-0": case.weather_names})["Weather-0"]
            for eid in eids:
                sent[eid] |= {name: {"W.Weather-0": value} for name, value in weather.items()}
        return sent

    return inputs_of


def play(simulator: Simulator, inputs_of: Callable[[int], Inputs], steps: range) -> list[Any]:
    """Run the steps and keep all outputs."""
    outputs = []
    for index in steps:
        unit = round(simulator.step_s)
        assert simulator.step(index * unit, inputs_of(index), unit) == (index + 1) * unit
        outputs.append(simulator.state()["outputs"])
    return outputs
