"""Storages that may charge and discharge at once: when they would, and what forbidding costs."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.devices.flexibility import parse
from peergrid.errors import DataError, ModelError
from peergrid.market.admm import Settings
from peergrid.market.agents import Agents
from peergrid.market.build import build_agents
from peergrid.market.clearing import clear
from peergrid.market.exclusivity import check_exclusivity
from tests.market.communities import community

STEPS = 3


def agents_of(steps: int = STEPS, *, dt_h: float = 1.0, **parts: Any) -> Agents:
    """One fixed load and one battery: 5 kW, 10 kWh, half full unless told otherwise."""
    load = parse(
        {"kind": "PEBC", "t0_s": 0, "dt_s": 3600, "p_min_kw": [-1] * 99, "p_max_kw": [-1] * 99}
    )
    battery = {
        "kind": "FRBC",
        "t0_s": 0,
        "dt_s": 3600 * dt_h,
        "p_min_kw": [-5] * steps,
        "p_max_kw": [5] * steps,
        "e_max_kwh": 10,
        "e_now_kwh": 5.0,
        "eta_charge": 0.9,
        "eta_discharge": 0.9,
    }
    return build_agents([load, parse(battery | parts)], steps, dt_h)


def paid(*prices: float) -> Any:
    return np.tile(prices, (2, 1))


@pytest.mark.parametrize("seed", [1, 2])
def test_values_agree_with_wear_and_positive_prices(seed: int) -> None:
    problem = community(seed, n=20)
    found = clear(problem, Settings(), network="none")
    checked = check_exclusivity(problem.agents, found.price_eur_per_kwh[problem.owner])
    assert checked.storages == len(problem.agents.stores) > 10
    assert checked.worst_relative < 1e-6
    assert checked.worst_simultaneous_kw == 0.0
    assert problem.agents.burning_kw(found.schedule_kw).max() == 0.0


def test_negative_prices_without_wear_reward_burning_and_it_is_said_by_how_much() -> None:
    # full: relaxed, it charges 5 kW and discharges 4.05 kW, and earns on the 0.95 kW between
    agents = agents_of(e_now_kwh=10.0)
    checked = check_exclusivity(agents, paid(-0.1, -0.1, -0.1))
    np.testing.assert_allclose(checked.relaxed_eur, [-0.1 * 3 * 0.95], atol=1e-6)
    # exclusive, it discharges 5 kWh in one hour and takes them back, and the losses, in the others
    np.testing.assert_allclose(checked.exclusive_eur, [-0.1 * (5 / 0.81 - 5)], atol=1e-6)
    np.testing.assert_allclose(checked.simultaneous_kw, [4.05], atol=1e-4)
    assert checked.worst_relative == pytest.approx(0.285 - 0.117284, abs=1e-6)
    assert list(checked.resource) == [1]


def test_wear_keeps_a_storage_from_burning_at_slightly_negative_prices() -> None:
    # 0.95 kW burnt earn 0.0095 EUR at -0.01; its 9.05 kW of wear cost 0.045 EUR
    worn = agents_of(e_now_kwh=10.0, cost={"wear": 0.005})
    assert check_exclusivity(worn, paid(-0.01, -0.01, -0.01)).worst_relative < 1e-6
    assert check_exclusivity(worn, paid(-0.1, -0.1, -0.1)).worst_relative > 0.08


def by_trying(agents: Agents, price: Any, *, exclusive: bool, levels: int = 11) -> float:
    """Least of cost minus revenue over a grid of charge and discharge, battery of the tests."""
    _, eta_c, eta_d, keep, demand, e_now, e_lo, e_hi = agents.storage
    wear, dt_h, grid = agents.wear_eur_per_kwh[1], agents.dt_h, np.linspace(0.0, 5.0, levels)
    pairs = [(c, d) for c in grid for d in grid if not (exclusive and c and d)]
    best = np.inf
    for steps in itertools.product(pairs, repeat=STEPS):
        energy, value = float(e_now[0]), 0.0
        for t, (c, d) in enumerate(steps):
            energy = keep[0] * energy + dt_h * (eta_c[0, t] * c - d / eta_d[0, t]) - demand[0, t]
            if not e_lo[0, t] - 1e-9 <= energy <= e_hi[0, t] + 1e-9:
                break
            p, off = d - c, d - c - agents.p_ref_kw[1, t]
            cost = agents.linear_eur_per_kwh[1, t] * p
            cost += agents.quadratic_eur_per_kw2h[1] * p**2
            cost += agents.discomfort_eur_per_kw2h[1] * off**2
            value += dt_h * (cost + wear * (c + d) - price[t] * p)
        else:
            best = min(best, value)
    return float(best)


@pytest.mark.parametrize(
    "price", [(0.1, 0.2, 0.05), (-0.1, 0.1, -0.2), (-0.1, -0.1, -0.1), (0.3, -0.3, 0.1)]
)
@pytest.mark.parametrize("wear", [0.0, 0.01])
def test_values_bound_those_of_a_grid_of_schedules(price: Any, wear: float) -> None:
    # efficiencies and energies such that optima lie on the grid: 5 kW in gives 2.5 kWh
    agents = agents_of(
        eta_charge=0.5, eta_discharge=1.0, e_max_kwh=10.0, e_now_kwh=5.0, cost={"wear": wear}
    )
    checked = check_exclusivity(agents, paid(*price))
    assert checked.exclusive_eur[0] >= checked.relaxed_eur[0] - 1e-6
    exact = by_trying(agents, price, exclusive=True)
    np.testing.assert_allclose(checked.exclusive_eur[0], exact, atol=1e-6)


def test_quadratic_costs_enter_as_their_tangent_at_the_relaxed_answer() -> None:
    cost = {"quadratic": 0.004, "discomfort_eur_per_kw2h": 0.002, "wear": 0.005}
    agents = agents_of(p_ref_kw=[1.0] * STEPS, cost=cost)
    checked = check_exclusivity(agents, paid(0.1, 0.2, 0.05))
    assert checked.worst_relative < 1e-6
    assert checked.exclusive_eur[0] <= by_trying(agents, (0.1, 0.2, 0.05), exclusive=True) + 1e-6


def test_a_storage_that_must_charge_beyond_its_room_cannot_burn_instead() -> None:
    # limits that make it charge 1 kW for three hours leave no power to discharge with
    agents = agents_of(e_now_kwh=9.0, p_min_kw=[-5] * 3, p_max_kw=[-1] * 3, eta_discharge=1.0)
    with pytest.raises(ModelError, match="no schedule meets its energies"):
        check_exclusivity(agents, paid(0.1, 0.1, 0.1))
    schedule = np.array([[-1.0] * 3, [-1.0] * 3])
    assert np.isnan(agents.burning_kw(schedule)).all()


def test_a_storage_that_must_burn_to_follow_its_schedule() -> None:
    agents = agents_of(e_now_kwh=9.0)
    lost = 1 / 0.9 - 0.9
    # 2.7 kWh into 1 kWh of room
    burnt = agents.burning_kw(np.array([[0.0] * 3, [-1.0] * 3]))
    np.testing.assert_allclose(burnt.sum(), 1.7 / lost, rtol=1e-5)
    # 4.05 kW is the most that can be charged and discharged beside 0.95 kW
    assert np.isnan(agents.burning_kw(np.array([[0.0] * 3, [-3.0] * 3]))).all()
    # at less than that nothing is burnt
    assert agents.burning_kw(np.array([[0.0] * 3, [-0.3] * 3])).max() == 0.0


def test_a_schedule_that_empties_the_storage_too_far_cannot_be_followed() -> None:
    agents = agents_of(e_now_kwh=1.0)
    assert np.isnan(agents.burning_kw(np.array([[0.0] * 3, [2.0, 0.0, 0.0]]))).all()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_net_power_of_any_burning_schedule_can_be_followed(data: st.DataObject) -> None:
    steps = 4
    powers = st.lists(st.floats(0.0, 5.0), min_size=steps, max_size=steps)
    charge, discharge = np.array(data.draw(powers)), np.array(data.draw(powers))
    leak = data.draw(st.sampled_from([0.0, 0.05]))
    energy, path = 20.0, []
    for c, d in zip(charge, discharge, strict=True):
        energy = (1.0 - leak) * energy + 0.9 * c - d / 0.9
        path.append(energy)
    # limits through which this schedule just passes
    e_max, e_min = [*path], [*path]
    agents = agents_of(
        steps,
        leak=leak,
        e_now_kwh=20.0,
        e_max_kwh=[100.0, *e_max],
        e_min_kwh=[-100.0, *e_min],
    )
    net = np.vstack([np.zeros(steps), discharge - charge])
    burnt = agents.burning_kw(net)
    np.testing.assert_allclose(burnt[0], np.minimum(charge, discharge), atol=2e-3)


def test_no_storage_nothing_to_check() -> None:
    load = {"kind": "PEBC", "t0_s": 0, "dt_s": 3600, "p_min_kw": [-1] * 3, "p_max_kw": [-1] * 3}
    agents = build_agents([parse(load)], 3, 1.0)
    checked = check_exclusivity(agents, np.full((1, 3), 0.1))
    assert (checked.storages, checked.worst_relative, checked.worst_simultaneous_kw) == (0, 0, 0)
    assert agents.burning_kw(np.full((1, 3), -1.0)).shape == (0, 3)


def test_shapes_are_checked() -> None:
    agents = agents_of()
    with pytest.raises(DataError, match="paid_eur_per_kwh"):
        check_exclusivity(agents, np.zeros((1, STEPS)))
    with pytest.raises(DataError, match="schedule_kw"):
        agents.burning_kw(np.zeros((2, STEPS + 1)))
