"""Feasible energy bounds: some schedule always keeps them, and they grant every reachable wish."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from peergrid.devices.storage import feasible_energy_bounds, required_energy

STEPS = 6
AMOUNTS = st.lists(st.integers(0, 20).map(float), min_size=STEPS, max_size=STEPS)


@given(
    start=st.integers(0, 20),
    wishes=st.lists(st.integers(0, 25).map(float), min_size=STEPS + 1, max_size=STEPS + 1),
    charge=AMOUNTS,
    demand=AMOUNTS,
)
def test_bounds_are_feasible(
    start: int, wishes: list[float], charge: list[float], demand: list[float]
) -> None:
    capacity = np.array([20.0])
    gain, wish = np.array([charge]), np.array([wishes])
    bounds = feasible_energy_bounds(
        np.array([float(start)]), wish, capacity, gain, np.array([demand])
    )
    low, top, drawn = bounds.low_kwh[0], bounds.top_kwh[0], bounds.demand_kwh[0]
    assert (low <= top + 1e-9).all()
    assert (top >= 0.0).all()
    assert (top <= 20.0).all()
    assert (low >= np.minimum(wish[0], top) - 1e-9).all(), "every reachable wish is kept"
    assert (drawn <= np.array(demand)).all()
    for t in range(STEPS):
        reached = min(low[t] + charge[t], 20.0) - drawn[t]
        assert reached >= low[t + 1] - 1e-9, "from the lower bound the next one is reachable"


def test_served_demand_is_not_cut() -> None:
    bounds = feasible_energy_bounds(
        np.array([5.0]), np.zeros((1, 3)), np.array([9.0]), np.zeros((1, 2)), np.full((1, 2), 2.0)
    )
    assert bounds.demand_kwh.tolist() == [[2.0, 2.0]]
    assert bounds.low_kwh.tolist() == [[4.0, 2.0, 0.0]]


def test_required_energy_looks_through_a_short_stay() -> None:
    wish = np.array([[0.0, 0.0, 0.0, 8.0]])
    charge = np.array([[0.0, 0.0, 3.0]])
    demand = np.array([[0.0, 4.0, 0.0]])
    required = required_energy(wish, np.array([10.0]), charge, demand)
    assert required.tolist() == [[9.0, 9.0, 5.0, 8.0]]


def test_required_energy_never_exceeds_the_capacity() -> None:
    wish = np.array([[0.0, 0.0, 8.0]])
    required = required_energy(wish, np.array([10.0]), np.zeros((1, 2)), np.array([[0.0, 6.0]]))
    assert required.tolist() == [[10.0, 10.0, 8.0]]
