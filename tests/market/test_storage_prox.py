"""The storage's proximal step against a general-purpose solver and against brute force."""

from dataclasses import dataclass
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from peergrid.devices.flexibility import parse
from peergrid.market import storage_prox
from peergrid.market.build import build_agents

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """Some storages and the step they are asked for."""

    storage: tuple[Floats, ...]
    weight: Floats
    target: Floats
    wear: Floats
    dt_h: float

    def solve(self) -> tuple[int, Floats, Floats]:
        charge, discharge = np.empty_like(self.target), np.empty_like(self.target)
        failed = storage_prox.solve(
            self.storage, self.dt_h, self.weight, self.target, self.wear, charge, discharge
        )
        return failed, charge, discharge

    def cost(self, charge: Floats, discharge: Floats) -> Floats:
        away = (discharge - charge - self.target) ** 2
        wear = self.wear[:, None] * (charge + discharge)
        return np.asarray((wear + self.weight[:, None] / 2.0 * away).sum(axis=1))

    def energy(self, charge: Floats, discharge: Floats) -> Floats:
        _, eta_c, eta_d, keep, demand, e_now, _, _ = self.storage
        energy, now = np.empty_like(charge), e_now
        for t in range(charge.shape[1]):
            change = self.dt_h * (eta_c[:, t] * charge[:, t] - discharge[:, t] / eta_d[:, t])
            now = keep * now + change - demand[:, t]
            energy[:, t] = now
        return energy


def storages(seed: int, *, steps: int = 8, count: int = 3) -> Case:
    """Storages with a feasible schedule, their energy bounds laid around it, often tightly."""
    rng = np.random.default_rng(seed)
    shape = (count, steps)

    def some(share: float, values: Floats, other: float) -> Floats:
        return np.where(rng.random(values.shape) < share, values, other)

    dt_h = float(rng.choice([0.25, 1.0]))
    least = some(0.1, rng.uniform(0, 2, (2, *shape)), 0.0)
    room = some(0.8, rng.uniform(0, 10, (2, *shape)), 0.0)  # zero width elsewhere
    box = np.stack([least[0], least[0] + room[0], least[1], least[1] + room[1]])
    eta_c = np.repeat(some(0.7, rng.uniform(0.7, 1.0, (count, 1)), 1.0), steps, axis=1)
    eta_d = np.repeat(some(0.7, rng.uniform(0.7, 1.0, (count, 1)), 1.0), steps, axis=1)
    keep = some(0.5, rng.uniform(0.9, 1.0, count), 1.0)
    demand = some(0.3, rng.uniform(0, 5, shape), 0.0)
    e_now = rng.uniform(0, 40, count)
    free = (box, eta_c, eta_d, keep, demand, e_now, np.full(shape, -1e9), np.full(shape, 1e9))
    weight = rng.choice([1e-3, 0.01, 0.5, 5.0], count)
    target = rng.normal(0, 10, shape)
    target[0] -= 40.0  # as if injections had to pay: burning energy is worth it
    wear = some(0.6, rng.uniform(0, 0.05, count), 0.0) * dt_h
    case = Case(storage=free, weight=weight, target=target, wear=wear, dt_h=dt_h)
    share = rng.random((2, *shape))
    feasible = case.energy(box[0] + share[0] * room[0], box[2] + share[1] * room[1])
    e_lo = feasible - some(0.7, rng.uniform(0, 20, shape), 0.0)
    e_hi = feasible + some(0.7, rng.uniform(0, 20, shape), 0.0)
    bounded = (*free[:6], e_lo, e_hi)
    return Case(storage=bounded, weight=weight, target=target, wear=wear, dt_h=dt_h)


def reference(case: Case, r: int) -> float:
    """Least cost of storage ``r`` found by Clarabel."""
    box, eta_c, eta_d, keep, demand, e_now, e_lo, e_hi = case.storage
    steps = case.target.shape[1]
    charge, discharge, energy = cp.Variable(steps), cp.Variable(steps), cp.Variable(steps + 1)
    change = case.dt_h * (cp.multiply(eta_c[r], charge) - cp.multiply(1 / eta_d[r], discharge))
    limits: list[Any] = [
        charge >= box[0, r],
        charge <= box[1, r],
        discharge >= box[2, r],
        discharge <= box[3, r],
        energy[0] == e_now[r],
        energy[1:] == keep[r] * energy[:-1] + change - demand[r],
        energy[1:] >= e_lo[r],
        energy[1:] <= e_hi[r],
    ]
    away = cp.sum_squares(discharge - charge - case.target[r])
    cost = case.wear[r] * cp.sum(charge + discharge) + case.weight[r] / 2 * away
    return float(cp.Problem(cp.Minimize(cost), limits).solve(solver="CLARABEL"))


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_is_feasible_and_keeps_the_energy_recursion(seed: int) -> None:
    case = storages(seed, steps=24, count=6)
    failed, charge, discharge = case.solve()
    assert failed == -1
    box, e_lo, e_hi = case.storage[0], case.storage[6], case.storage[7]
    slack = 1e-6
    assert np.all(charge >= box[0] - slack)
    assert np.all(charge <= box[1] + slack)
    assert np.all(discharge >= box[2] - slack)
    assert np.all(discharge <= box[3] + slack)
    energy = case.energy(charge, discharge)
    assert np.all(energy >= e_lo - 1e-5)
    assert np.all(energy <= e_hi + 1e-5)


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_costs_as_much_as_the_solver_finds(seed: int) -> None:
    case = storages(seed)
    failed, charge, discharge = case.solve()
    assert failed == -1
    cost = case.cost(charge, discharge)
    for r in range(len(cost)):
        assert cost[r] == pytest.approx(reference(case, r), rel=1e-5, abs=1e-5)


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_one_step_by_brute_force(seed: int) -> None:
    case = storages(seed, steps=1, count=4)
    failed, charge, discharge = case.solve()
    assert failed == -1
    box, e_lo, e_hi = case.storage[0], case.storage[6], case.storage[7]
    found = case.cost(charge, discharge)
    for c in np.linspace(0, 1, 41):
        for d in np.linspace(0, 1, 41):
            ch = box[0] + c * (box[1] - box[0])
            dis = box[2] + d * (box[3] - box[2])
            energy = case.energy(ch, dis)
            allowed = ((energy >= e_lo) & (energy <= e_hi))[:, 0]
            assert np.all(found[allowed] <= case.cost(ch, dis)[allowed] + 1e-6)


def test_burns_energy_where_injecting_costs_more_than_wear() -> None:
    """A full battery that is paid to draw charges and discharges at once; nobody else does."""
    full, step = np.array([10.0]), np.ones((1, 1))
    box = np.array([0.0, 10.0, 0.0, 10.0])[:, None, None]
    storage = (box, 0.9 * step, 0.9 * step, np.ones(1), 0 * step, full, 0 * step, 10 * step)
    for target, burns in ((-8.0, True), (8.0, False)):
        case = Case(
            storage=storage,
            weight=np.ones(1),
            target=np.full((1, 1), target),
            wear=np.full(1, 0.01),
            dt_h=1.0,
        )
        _, charge, discharge = case.solve()
        assert bool(min(charge[0, 0], discharge[0, 0]) > 1e-6) is burns
        assert case.energy(charge, discharge)[0, 0] <= 10.0 + 1e-6


@given(st.integers(0, 10**6), st.floats(-3.0, 3.0))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_infeasible_if_and_only_if_unreachable(seed: int, by_kwh: float) -> None:
    rng = np.random.default_rng(seed)
    p_max = rng.uniform(0, 5, 4)
    message = {
        "kind": "FRBC",
        "t0_s": 0,
        "dt_s": 3600,
        "p_min_kw": (-p_max).tolist(),
        "p_max_kw": p_max.tolist(),
        "e_now_kwh": 20.0,
        "e_min_kwh": [0.0] * 4 + [20.0 + 0.9 * float(p_max.sum()) + by_kwh],
        "e_max_kwh": 100.0,
        "eta_charge": 0.9,
    }
    agents = build_agents([parse(message)], 4, 1.0)
    charge, discharge = np.empty((1, 4)), np.empty((1, 4))
    weight, target = np.ones(1), np.zeros((1, 4))
    failed = storage_prox.solve(agents.storage, 1.0, weight, target, np.zeros(1), charge, discharge)
    if abs(by_kwh) > 1e-4:
        assert (failed == 0) == (by_kwh > 0.0)
        assert bool(agents.unreachable()[0]) == (by_kwh > 0.0)
