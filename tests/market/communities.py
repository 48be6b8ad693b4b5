"""Random communities for the market's tests: PV, vehicles with trips, batteries, a generator."""

from typing import Any

import numpy as np

from peergrid.devices.flexibility import Flexibility, parse
from peergrid.market.build import build_agents
from peergrid.market.problem import Problem


def community(
    seed: int, *, steps: int = 24, boxes: bool = False, alone: bool = False, n: int = 32
) -> Problem:
    """A community of ``n`` participants: a third with PV, the others with a vehicle."""
    rng = np.random.default_rng(seed)
    hour = np.arange(steps)
    swing = 0.5 + 0.3 * np.sin(hour / 24 * 2 * np.pi) + 0.1 * rng.random((n, steps))
    firm = -rng.uniform(20, 200, n)[:, None] * swing
    messages: list[Flexibility] = []
    owner: list[int] = []

    def add(who: int, **parts: Any) -> None:
        messages.append(parse({"t0_s": 0, "dt_s": 3600, **parts}))
        owner.append(who)

    producers = n // 3
    for i in range(producers):
        pv = rng.uniform(100, 400) * np.maximum(np.sin((hour - 6) / 12 * np.pi), 0)
        series = pv.tolist()
        add(i, kind="PEBC", p_min_kw=[0] * steps, p_max_kw=series, p_ref_kw=series)
    for i in range(producers, n):
        add(i, **vehicle(rng, steps))
    for i in range(0, n, 11):
        add(
            i,
            kind="FRBC",
            p_min_kw=[-50] * steps,
            p_max_kw=[50] * steps,
            e_min_kwh=[20] * steps + [100],
            e_max_kwh=200,
            e_now_kwh=100.0,
            eta_charge=0.95,
            eta_discharge=0.95,
            cost={"wear": 0.005},
        )
    generator = {"linear": 0.15, "quadratic": 0.0003}
    add(n // 2, kind="PEBC", p_min_kw=[0] * steps, p_max_kw=[100] * steps, cost=generator)
    import_price = 0.18 + 0.05 * np.sin(hour / 24 * 4 * np.pi) + 0.01 * rng.random(steps)
    box_min, box_max = np.full((n, steps), -np.inf), np.full((n, steps), np.inf)
    if boxes:
        box_max[:producers] = rng.uniform(20, 120, (producers, 1))
        box_min[:] = np.minimum(firm - 8, 0)
    return Problem(
        agents=build_agents(messages, steps, 1.0),
        owner=np.array(owner),
        pool=np.arange(n) if alone else np.zeros(n, dtype=np.int64),
        firm_kw=firm,
        price_import_eur_per_kwh=import_price,
        price_feed_in_eur_per_kwh=np.full(steps, 0.05),
        box_min_kw=box_min,
        box_max_kw=box_max,
    )


def vehicle(rng: np.random.Generator, steps: int) -> dict[str, Any]:
    """A 40 kWh vehicle that leaves in the morning, nearly full, and returns in the afternoon."""
    leave, back = int(rng.integers(6, 9)), int(rng.integers(15, 19))
    plugged = np.ones(steps)
    plugged[leave:back] = 0
    e_min = np.full(steps + 1, 4.0)
    demand = np.zeros(steps)
    if leave <= steps:
        e_min[leave] = 36
    if back <= steps:
        demand[back - 1] = rng.uniform(3, 15)
    return {
        "kind": "FRBC",
        "p_min_kw": (-11 * plugged).tolist(),
        "p_max_kw": (11 * plugged).tolist(),
        "e_min_kwh": e_min.tolist(),
        "e_max_kwh": 40,
        "e_now_kwh": float(rng.uniform(10, 30)),
        "eta_charge": 0.95,
        "eta_discharge": 0.95,
        "demand_kwh": demand.tolist(),
        "cost": {"wear": 0.005},
    }
