"""Random planning problems on random feeders, and the bounds that every plan has to keep.

All sizes are shares of what a bus of the feeder may draw, so that they suit any base power.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from peergrid.network.feeder import Feeder
from peergrid.network.library import load_feeder
from peergrid.network.power_flow import solve
from peergrid.planning.plan import Plan
from peergrid.planning.problem import Plant, Problem, Storage, Technology
from tests.strategies import radial_feeders

Floats = NDArray[np.float64]
QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def laws(examples: int) -> settings:
    """Settings of a law over so many random problems, the same ones in every run."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=QUIET,
    )


@st.composite
def problems(draw: st.DrawFn, /, *, max_steps: int = 30, max_bus: int = 8, **given: Any) -> Problem:
    """A random problem; ``given`` are fields of it that are not drawn."""
    feeder = draw(radial_feeders(max_bus=max_bus, transformers=draw(st.booleans())))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps, kinds = draw(st.integers(1, max_steps)), st.sampled_from(["plant", "battery", "vehicle"])
    chosen = draw(st.lists(kinds, max_size=4))
    return random_problem(feeder, rng, steps=steps, kinds=chosen, **given)


def random_problem(
    feeder: Feeder, rng: np.random.Generator, *, steps: int, kinds: list[str], **given: Any
) -> Problem:
    """A problem with technologies of these kinds."""
    feeder = _with_shares(feeder, rng)
    dt_h = float(rng.choice([0.25, 0.5, 1.0]))
    shape = rng.uniform(-0.2, 1.0, steps)
    p_inj = -feeder.p_load_kw[:, None] * shape
    q_inj = -feeder.q_load_kvar[:, None] * rng.uniform(0.0, 1.0, steps)
    chosen = tuple(_technology(k, kind, feeder, rng, steps, dt_h) for k, kind in enumerate(kinds))
    vm = solve(feeder, p_inj, q_inj).vm_pu
    feed_in = rng.uniform(0.01, 0.1, steps)
    fields: dict[str, Any] = {
        "name": "random",
        "feeder": feeder,
        "dt_h": dt_h,
        "p_inj_kw": p_inj,
        "q_inj_kvar": q_inj,
        "price_import_eur_per_kwh": feed_in + rng.uniform(0.02, 0.3, steps),
        "price_feed_in_eur_per_kwh": feed_in,
        "technologies": chosen,
        "v_min_pu": float(vm.min() - rng.uniform(0.001, 0.05)),
        "v_max_pu": float(vm.max() + rng.uniform(0.001, 0.05)),
        "max_loading": float(rng.uniform(0.5, 1.2)),
        "budget_eur": _budget(chosen, rng),
        "objective": str(rng.choice(["cost", "traded"])),
    }
    return Problem(**{**fields, **given})


def _with_shares(feeder: Feeder, rng: np.random.Generator) -> Feeder:
    """With ratings near the flows that occur, and shunts of branches at both their ends."""
    n = feeder.n_bus
    own = rng.uniform(0.0, 0.02, (2, n)) * (1j if rng.random() < 0.5 else 0.0)
    shunt = own[0] + 0j
    np.add.at(shunt, feeder.parent[1:], own[1, 1:])
    shunt[0] -= own[0, 0]
    return replace(
        feeder,
        branch_kind=("line", *feeder.branch_kind[1:]),
        b_sh_pu=feeder.b_sh_pu + shunt.imag,
        y_child_pu=own[0],
        y_parent_pu=own[1],
        i_max_ka=feeder.i_base_ka * rng.uniform(0.2, 2.0, n),
        i_max_parent_ka=np.empty(0),
    )


def _technology(
    k: int, kind: str, feeder: Feeder, rng: np.random.Generator, steps: int, dt_h: float
) -> Technology:
    """A technology of a kind, at random buses."""
    count = int(rng.integers(1, feeder.n_bus + 1))
    whole = bool(rng.random() < 0.4)
    sites, most = int(rng.integers(1, count + 2)), 100.0 * feeder.base_mva * rng.uniform(0.1, 1.0)
    unit = most / rng.integers(1, 9) if whole else 1.0
    bound = np.sort(rng.uniform(0.0, min(sites, count), 2)) * most / unit
    low, high = np.floor(bound) if whole else bound
    common: dict[str, Any] = {
        "name": f"{kind}-{k}",
        "unit": "kW",
        "rows": rng.choice(feeder.n_bus, count, replace=False),
        "sites": sites,
        "max_per_site": float(np.round(most / unit)) if whole else float(most),
        "total_min": float(low) if rng.random() < 0.4 else 0.0,
        "total_max": float(high) if rng.random() < 0.4 else np.inf,
        "whole": whole,
        "capex_eur": float(rng.choice([0.0, rng.uniform(10.0, 2000.0)])) * unit,
        "cost_eur": float(rng.uniform(-0.01, 0.1)) * unit,
    }
    if kind == "plant":
        return Plant(**common, available_kw=unit * rng.uniform(0.0, 1.0, steps))
    return Storage(**common, **_energies(kind, rng, steps, dt_h, unit))


def _energies(
    kind: str, rng: np.random.Generator, steps: int, dt_h: float, unit: float
) -> dict[str, Any]:
    """Bounds around a path that a storage of one unit can take, so that they can be kept."""
    most = unit * rng.uniform(0.5, 4.0)
    eta_charge, eta_discharge = rng.uniform(0.7, 1.0, 2)
    plugged = rng.random(steps) < (0.7 if kind == "vehicle" else 1.0)
    charge = unit * plugged * rng.uniform(0.2, 1.0)
    discharge = unit * plugged * rng.choice([0.0, rng.uniform(0.2, 1.0)])
    demand, path = np.zeros(steps), np.empty(steps + 1)
    path[0] = rng.uniform(0.0, most)
    for t in range(steps):
        if not plugged[t]:
            demand[t] = path[t] * rng.choice([0.0, rng.uniform(0.0, 0.5)])
        low, high = -discharge[t] / eta_discharge * dt_h, eta_charge * charge[t] * dt_h
        path[t + 1] = np.clip(path[t] - demand[t] + rng.uniform(low, high), 0.0, most)
    return {
        "charge_kw": charge,
        "discharge_kw": discharge,
        "e_min_kwh": path * rng.uniform(0.0, 1.0, steps + 1) * rng.integers(0, 2),
        "e_max_kwh": path + (most - path) * rng.choice([rng.uniform(), 1.0]),
        "e_start_kwh": float(path[0]),
        "demand_kwh": demand,
        "eta_charge": float(eta_charge),
        "eta_discharge": float(eta_discharge),
        "wear_eur_per_kwh": float(rng.choice([0.0, 0.005])),
    }


def _budget(chosen: tuple[Technology, ...], rng: np.random.Generator) -> float:
    """None, or something between what must and what can be spent."""
    least = sum(t.capex_eur * t.total_min for t in chosen)
    most = sum(t.capex_eur * t.largest_total for t in chosen)
    return float(rng.choice([np.inf, least + rng.uniform() * (most - least) + 1e-6]))


def points(problem: Problem, count: int, seed: int = 0) -> Floats:
    """Points of the cube: inside, at corners, and outside by rounding."""
    rng = np.random.default_rng(seed)
    size = sum(t.slots * (2 + problem.steps * isinstance(t, Storage)) for t in problem.technologies)
    found = rng.random((count, size))
    corner = rng.integers(0, 2, found.shape)
    found = np.where(rng.random(found.shape) < rng.random((count, 1)), corner, found)
    return np.asarray(found + 1e-12 * rng.integers(-1, 2, found.shape))


def broken_bounds(plan: Plan, tol: float = 1e-9) -> list[str]:
    """Bounds of the problem, the network's left out, that a plan breaks by more than ``tol``."""
    problem = plan.problem
    found = []
    if plan.capex_eur > problem.budget_eur * (1.0 + tol) + tol:
        found.append("budget")
    for technology in problem.technologies:
        found += [f"{technology.name}: {word}" for word in _broken_sizes(plan, technology, tol)]
    for storage in problem.storages:
        found += [f"{storage.name}: {word}" for word in _broken_runs(plan, storage, tol)]
    return found


def _broken_sizes(plan: Plan, technology: Technology, tol: float) -> list[str]:
    size = plan.size[technology.name]
    room = tol * max(1.0, technology.largest_total)
    checks = {
        "shape": size.shape != technology.rows.shape,
        "negative": np.any(size < 0.0),
        "sites": np.sum(size > 0.0) > technology.sites,
        "site": np.any(size > technology.max_per_site + room),
        "least total": size.sum() < technology.total_min - room,
        "largest total": size.sum() > technology.total_max + room,
        "whole": technology.whole and np.any(size != np.round(size)),
    }
    return [word for word, is_broken in checks.items() if is_broken]


def _broken_runs(plan: Plan, storage: Storage, tol: float) -> list[str]:
    size, p_kw = plan.size[storage.name][:, None], plan.p_kw[storage.name]
    room = tol * max(1.0, storage.largest_total) * max(1.0, storage.e_max_kwh.max())
    energy = plan.energy_kwh(storage)
    checks = {
        "charge": np.any(-p_kw > size * storage.charge_kw + room),
        "discharge": np.any(p_kw > size * storage.discharge_kw + room),
        "too empty": np.any(energy < size * storage.e_min_kwh - room),
        "too full": np.any(energy > size * storage.e_max_kwh + room),
    }
    return [word for word, is_broken in checks.items() if is_broken]


def day(**given: Any) -> Problem:
    """Eight steps of three hours on the 12-bus feeder, something of each kind to build."""
    feeder = load_feeder("ieee12").with_slack(1.02)
    rows = np.arange(1, feeder.n_bus)
    sun = np.array([0.0, 0.0, 0.4, 0.8, 0.8, 0.4, 0.0, 0.0])
    plugged = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0])
    price = np.array([0.14, 0.14, 0.14, 0.19, 0.19, 0.19, 0.25, 0.25])
    least = np.array([10.0, 10.0, 10.0, 40.0, 0.0, 0.0, 10.0, 10.0, 25.0])
    demand = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 15.0, 0.0, 0.0])
    chosen: tuple[Technology, ...] = (
        Plant(
            name="pv",
            unit="kWp",
            rows=rows,
            sites=1,
            max_per_site=400.0,
            capex_eur=900.0,
            cost_eur=0.21,
            available_kw=sun,
        ),
        Storage(
            name="battery",
            unit="kWh",
            rows=rows,
            sites=1,
            max_per_site=600.0,
            capex_eur=250.0,
            cost_eur=0.01,
            charge_kw=np.full(8, 0.5),
            discharge_kw=np.full(8, 0.5),
            e_min_kwh=np.array([*[0.1] * 8, 0.5]),
            e_max_kwh=np.ones(9),
            e_start_kwh=0.5,
            demand_kwh=np.zeros(8),
            wear_eur_per_kwh=0.005,
        ),
        Storage(
            name="ev",
            unit="vehicles",
            rows=rows,
            sites=1,
            max_per_site=20.0,
            total_min=10.0,
            whole=True,
            capex_eur=1500.0,
            cost_eur=-2.4,
            charge_kw=11.0 * plugged,
            discharge_kw=11.0 * plugged,
            e_min_kwh=least,
            e_max_kwh=np.full(9, 50.0),
            e_start_kwh=25.0,
            demand_kwh=demand,
            wear_eur_per_kwh=0.01,
        ),
    )
    load = np.array([1.075, 1.075, 1.075, 1.19, 1.19, 1.19, 1.262, 1.262])
    fields: dict[str, Any] = {
        "name": "day",
        "feeder": feeder,
        "dt_h": 3.0,
        "p_inj_kw": -feeder.p_load_kw[:, None] * load,
        "q_inj_kvar": -feeder.q_load_kvar[:, None] * load,
        "price_import_eur_per_kwh": price,
        "price_feed_in_eur_per_kwh": np.full(8, 0.05),
        "technologies": chosen,
        "v_min_pu": 0.94,
        "v_max_pu": 1.05,
    }
    return Problem(**{**fields, **given})
