"""Laws of the vehicles: every departure is met whatever the set-points, energy is conserved."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from peergrid.devices import ev, fleet
from peergrid.devices.flexibility import parse
from peergrid.devices.site import Room

T = 40
AHEAD = 12


def vehicles(n: int, **changes: Any) -> ev.Vehicles:
    values = {
        "capacity_kwh": 40.0,
        "p_max_kw": 11.0,
        "eta_charge": 0.95,
        "eta_discharge": 0.9,
        "soc_min": 0.2,
        "soc_departure": 0.9,
        "v2g": True,
    } | changes
    return ev.Vehicles(**{name: np.full(n, value) for name, value in values.items()})


@st.composite
def trips(draw: Any, n: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Random stays and absences; each absence ends with the energy it used."""
    plugged, demand = np.ones((n, T), dtype=bool), np.zeros((n, T))
    for row in range(n):
        t = draw(st.integers(0, 8))
        while t < T:
            back = min(t + draw(st.integers(1, 10)), T)
            plugged[row, t:back] = False
            demand[row, back - 1] = draw(st.integers(0, 40)) if back < T else 0
            t = back + draw(st.integers(1, 14))
    return plugged, demand


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    power=st.sampled_from([1.5, 3.7, 11.0]),
    v2g=st.booleans(),
    dt_h=st.sampled_from([0.25, 1.0]),
)
def test_departures_are_met_against_any_set_points(
    data: Any, power: float, v2g: bool, dt_h: float
) -> None:
    n = 3
    model = vehicles(n, p_max_kw=power, v2g=v2g)
    plugged, demand = data.draw(trips(n))
    plan = ev.itinerary(model, plugged, demand, dt_h)
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    start = np.floor(40.0 * rng.random(n))
    state = ev.State(e_kwh=start, full_kwh=start.copy())
    first = np.array([0, n])
    for t in range(T - 1):
        here = plan.window(t, 2)
        room = Room(low_kw=30.0 * rng.normal(size=n), high_kw=30.0 * rng.normal(size=n))
        low, high = room.within(*ev.power_range(model, state.e_kwh, here, dt_h))
        own = np.where(rng.random(n) < 0.7, 50.0 * rng.normal(size=n), np.nan)
        total = np.array([50.0 * rng.normal() if rng.random() < 0.5 else np.nan])
        p_kw = ev.setpoints(low, high, own, total, first)
        after, step = ev.follow(model, state, here, p_kw, dt_h)
        assert (step.met == step.departs).all()
        assert (np.abs(p_kw) <= power + 1e-9).all()
        assert (p_kw[~here.plugged[:, 0]] == 0.0).all()
        assert v2g or (p_kw <= 0.0).all()
        assert (after.e_kwh >= 0.0).all()
        assert (after.e_kwh <= 40.0).all()
        assert (after.e_kwh <= after.full_kwh + 1e-9).all()
        change = (0.95 * np.maximum(-p_kw, 0) - np.maximum(p_kw, 0) / 0.9) * dt_h
        balance = np.maximum(state.e_kwh + change - here.demand_kwh[:, 0], 0.0)
        assert after.e_kwh == pytest.approx(balance, abs=1e-9)
        state = after


@settings(max_examples=40, deadline=None)
@given(data=st.data(), power=st.sampled_from([1.5, 11.0]), at=st.integers(0, T - AHEAD))
def test_messages_are_feasible(data: Any, power: float, at: int) -> None:
    n = 3
    model = vehicles(n, p_max_kw=power)
    plugged, demand = data.draw(trips(n))
    plan = ev.itinerary(model, plugged, demand, 1.0).window(at, AHEAD)
    e_kwh = np.array([float(data.draw(st.integers(0, 40))) for _ in range(n)])
    own, summed = fleet.messages(
        model, np.zeros(n), e_kwh, plan, np.array([0, 2, n]), t0_s=0.0, dt_s=3600.0, dt_h=1.0
    )
    assert len(own) == n
    assert len(summed) == 2
    for sent in own + summed:
        message = parse(sent)
        storage = message.storage
        assert storage is not None
        energy = storage.e_now_kwh
        for t in range(AHEAD):  # charging at once keeps every bound
            energy += 0.95 * -message.p_ref_kw[t] - storage.demand_kwh[t]
            assert message.p_min_kw[t] - 1e-9 <= message.p_ref_kw[t] <= message.p_max_kw[t] + 1e-9
            assert storage.e_min_kwh[t + 1] - 1e-7 <= energy <= storage.e_max_kwh[t + 1] + 1e-7
    sums = np.sum([sent["e_min_kwh"] for sent in own[:2]], axis=0)
    assert summed[0]["e_min_kwh"] == pytest.approx(sums)


def test_message_rises_to_the_promise_at_the_departure() -> None:
    model = vehicles(1)
    plugged = np.ones((1, 8), dtype=bool)
    plugged[0, 4:6] = False
    demand = np.zeros((1, 8))
    demand[0, 5] = 10.0
    plan = ev.itinerary(model, plugged, demand, 1.0)
    own, _ = fleet.messages(
        model,
        np.zeros(1),
        np.array([20.0]),
        plan,
        np.array([0, 1]),
        t0_s=0.0,
        dt_s=3600.0,
        dt_h=1.0,
    )
    low = own[0]["e_min_kwh"]
    assert low[4] == pytest.approx(36.0)
    assert low[3] == pytest.approx(36.0 - 0.95 * 11.0)
    assert low[5] == pytest.approx(18.0), "what the tour uses and the least energy behind it"
    assert low[6] == pytest.approx(8.0)


def test_bids_and_wear_go_into_the_message_and_only_if_there_are_any() -> None:
    model = vehicles(2)
    plan = ev.itinerary(model, np.ones((2, 3), dtype=bool), np.zeros((2, 3)), 1.0)
    bid = np.array([[0.08, 0.09, 0.1], [0.0, 0.0, 0.0]])
    own, summed = fleet.messages(
        model,
        np.zeros(2),
        np.full(2, 20.0),
        plan,
        np.array([0, 1, 2]),
        t0_s=0.0,
        dt_s=3600.0,
        dt_h=1.0,
        rise_eur_per_kwh=np.array([0.0, 0.022]),
        bid_eur_per_kwh=bid,
    )
    for sent in (own, summed):
        first, second = (parse(message).cost for message in sent)
        np.testing.assert_array_equal(first.linear_eur_per_kwh, bid[0])
        assert first.quadratic_eur_per_kw2h == 0.0
        assert "linear" not in sent[1]["cost"]
        assert second.quadratic_eur_per_kw2h * 11.0 == pytest.approx(0.022)


def test_promise_is_raised_for_a_long_tour() -> None:
    plugged = np.array([[True, False, True]])
    plan = ev.itinerary(vehicles(1), plugged, np.array([[0.0, 31.0, 0.0]]), 1.0)
    assert plan.need_kwh[0, 1] == pytest.approx(39.0)


def test_without_set_points_vehicles_charge_at_once() -> None:
    model, nothing = vehicles(2), np.full(2, np.nan)
    plan = ev.itinerary(model, np.ones((2, 4), dtype=bool), np.zeros((2, 4)), 1.0)
    low, high = ev.power_range(model, np.array([10.0, 39.05]), plan.window(0, 2), 1.0)
    p_kw = ev.setpoints(low, high, nothing, np.array([np.nan]), np.array([0, 2]))
    assert p_kw == pytest.approx([-11.0, -1.0])


@given(
    asked=st.floats(-60, 60),
    ends=st.lists(st.tuples(st.integers(-11, 11), st.integers(0, 11)), min_size=1, max_size=5),
)
def test_fleet_power_is_shared_inside_every_range(
    asked: float, ends: list[tuple[int, int]]
) -> None:
    low = np.array([float(a) for a, _ in ends])
    high = np.array([float(a + width) for a, width in ends])
    p_kw = ev.allot(asked, low, high)
    assert (p_kw >= low - 1e-9).all()
    assert (p_kw <= high + 1e-9).all()
    assert p_kw.sum() == pytest.approx(np.clip(asked, low.sum(), high.sum()), abs=1e-9)


def test_running_tours_are_not_booked() -> None:
    plugged = np.array([[False, True, False], [False, True, True]])
    departs = np.array([[False, False, True], [True, False, False]])
    demand = np.array([[5.0, 0.0, 6.0], [7.0, 0.0, 0.0]])
    kept = ev.without_running_tours(plugged, departs, demand)
    assert kept.tolist() == [[0.0, 0.0, 6.0], [7.0, 0.0, 0.0]]


def test_vehicle_that_cannot_reach_its_promise_gets_what_is_reachable() -> None:
    model = vehicles(1, p_max_kw=2.0)
    plugged = np.array([[True, True, False, True]])
    plan = ev.itinerary(model, plugged, np.zeros((1, 4)), 1.0)
    state = ev.State(e_kwh=np.array([10.0]), full_kwh=np.array([10.0]))
    for t in range(2):
        here = plan.window(t, 2)
        low, high = ev.power_range(model, state.e_kwh, here, 1.0)
        p_kw = ev.setpoints(low, high, np.array([2.0]), np.array([np.nan]), np.array([0, 1]))
        assert p_kw[0] == pytest.approx(-2.0), "a set-point to discharge is overruled"
        state, step = ev.follow(model, state, here, p_kw, 1.0)
    assert step.departs[0]
    assert step.met[0]
    assert state.e_kwh[0] == pytest.approx(10.0 + 2 * 0.95 * 2.0)
