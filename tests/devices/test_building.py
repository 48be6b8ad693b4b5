"""Laws of the building: its equation, the band, a message that says the same and can be kept."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from peergrid.cosim.building import BuildingSimulator
from peergrid.devices import building
from peergrid.devices.building import Buildings
from peergrid.devices.flexibility import Flexibility, Storage, parse
from peergrid.devices.site import Room, room
from peergrid.errors import DataError
from peergrid.market.build import build_agents
from peergrid.market.clearing import clear
from peergrid.market.problem import Problem

Floats = NDArray[np.float64]
NAN = float("nan")
SET = st.one_of(st.just(NAN), st.integers(-12, 3).map(float))
MILD, WILD = st.integers(-2, 18).map(float), st.integers(-60, 90).map(float)
HOUSE: dict[str, Any] = {
    "p_max_kw": 4.0,
    "cop": 3.0,
    "r_k_per_kw": 2.5,
    "c_kwh_per_k": 6.0,
    "theta_min_c": 20.0,
    "theta_max_c": 24.0,
    "theta_set_c": 22.0,
    "cools": False,
    "gains_kw": 0.5,
    "tan_phi": 0.3,
}


def one(**changes: Any) -> Buildings:
    return Buildings(**{name: np.array([value]) for name, value in (HOUSE | changes).items()})


def wide(n: int = 1) -> Room:
    return Room(low_kw=np.full(n, -np.inf), high_kw=np.full(n, np.inf))


def mirrored(house: Buildings) -> Buildings:
    """Cooling where it was heating, every temperature and gain with the opposite sign."""
    return replace(
        house,
        theta_min_c=-house.theta_max_c,
        theta_max_c=-house.theta_min_c,
        theta_set_c=-house.theta_set_c,
        gains_kw=-house.gains_kw,
        cools=~house.cools,
    )


@st.composite
def houses(draw: Any) -> Buildings:
    """Any one building, tight or leaky, weak or strong; half of them cool."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * draw(st.integers(0, 100)) / 100

    return one(
        p_max_kw=between(0.0, 10.0),
        cop=between(1.0, 5.0),
        r_k_per_kw=between(0.5, 8.0),
        c_kwh_per_k=between(0.5, 20.0),
        theta_max_c=between(20.5, 26.0),
        theta_set_c=20.3,
        cools=draw(st.booleans()),
        gains_kw=between(0.0, 2.0),
    )


def lived(
    house: Buildings, theta_c: float, sets: list[float], weather: list[float], dt_h: float = 1.0
) -> tuple[Floats, Floats]:
    """Powers drawn and temperatures under these set-points."""
    powers, thetas = [], [theta_c]
    for asked, t_out in zip(sets, weather, strict=True):
        p_kw, after = building.follow(
            house, np.array(thetas[-1:]), np.array([t_out]), np.array([asked]), wide(), dt_h
        )
        assert -house.p_max_kw[0] <= p_kw[0] <= 0.0
        powers.append(-p_kw[0])
        thetas.append(after[0])
    return np.array(powers), np.array(thetas)


def message_of(
    house: Buildings, theta_c: float, weather: list[float], dt_h: float = 1.0
) -> tuple[Flexibility, Storage]:
    sent = building.messages(
        house,
        np.array([theta_c]),
        np.array([weather]),
        t0_s=0.0,
        dt_s=3600.0 * dt_h,
        dt_h=dt_h,
    )
    message = parse(sent[0])
    assert message.storage is not None
    return message, message.storage


def stored(storage: Storage, drawn_kw: Floats, dt_h: float) -> Floats:
    """Energies by the recursion of the message."""
    energy = [storage.e_now_kwh]
    for t, p_kw in enumerate(drawn_kw):
        gained = storage.eta_charge[t] * p_kw * dt_h - storage.demand_kwh[t]
        energy.append((1.0 - storage.leak) * energy[-1] + gained)
    return np.array(energy)


# -- the equation --------------------------------------------------------------------------------


@pytest.mark.parametrize("cools", [False, True])
@pytest.mark.parametrize("dt_h", [0.25, 1.0, 3.0])
def test_a_step_solves_the_differential_equation(cools: bool, dt_h: float) -> None:
    """C dtheta/dt = (theta_out - theta) / R + gains + s COP P, integrated numerically."""
    house, sign = one(cools=cools), -1.0 if cools else 1.0
    theta = 21.0
    for t_out, p_kw in ((-5.0, 4.0), (3.0, 0.0), (31.0, 1.7)):
        heat = 0.5 + sign * 3.0 * p_kw
        flow = solve_ivp(
            lambda _, x, t=t_out, q=heat: ((t - x) / 2.5 + q) / 6.0,
            (0.0, dt_h),
            [theta],
            rtol=1e-10,
            atol=1e-10,
        )
        end = building.end_c(house, np.array([theta]), np.array([t_out]), np.array([p_kw]), dt_h)
        assert end[0] == pytest.approx(flow.y[0, -1], abs=1e-8)
        beta = np.exp(-dt_h / 15.0)
        assert end[0] == pytest.approx(beta * theta + (1 - beta) * (t_out + 2.5 * heat), abs=1e-12)
        theta = end[0]


@given(house=houses(), t_out=WILD, share=st.integers(0, 10))
def test_quarters_of_an_hour_make_the_hour(house: Buildings, t_out: float, share: int) -> None:
    p_kw, out = 0.1 * share * house.p_max_kw, np.array([t_out])
    whole = building.end_c(house, np.array([21.0]), out, p_kw, 1.0)
    theta = np.array([21.0])
    for _ in range(4):
        theta = building.end_c(house, theta, out, p_kw, 0.25)
    assert theta[0] == pytest.approx(whole[0], abs=1e-10)


def test_thermostats_of_any_step_agree_on_constant_weather() -> None:
    for house, t_out in ((one(), 5.0), (one(cools=True), 35.0)):
        for dt_h in (0.25, 1.0):
            count = int(48 / dt_h)
            powers, thetas = lived(house, 22.0, [NAN] * count, [t_out] * count, dt_h)
            assert thetas == pytest.approx(np.full(count + 1, 22.0))
            needed = abs((22.0 - t_out) / 2.5 - 0.5) / 3.0
            assert powers == pytest.approx(np.full(count, needed))


@given(
    house=houses(),
    sets=st.lists(SET, min_size=6, max_size=6),
    weather=st.lists(WILD, min_size=6, max_size=6),
)
def test_cooling_is_the_mirror_of_heating(
    house: Buildings, sets: list[float], weather: list[float]
) -> None:
    other, turned = mirrored(house), [-t for t in weather]
    powers, thetas = lived(house, 21.0, sets, weather)
    same, opposite = lived(other, -21.0, sets, turned)
    assert same.tolist() == powers.tolist()
    assert opposite.tolist() == (-thetas).tolist()
    ours, theirs = message_of(house, 21.0, weather), message_of(other, -21.0, turned)
    assert ours[0].p_ref_kw.tolist() == theirs[0].p_ref_kw.tolist()
    for name in ("e_min_kwh", "e_max_kwh", "e_now_kwh", "demand_kwh", "eta_charge", "leak"):
        mine, its = getattr(ours[1], name), getattr(theirs[1], name)
        assert np.asarray(mine).tolist() == np.asarray(its).tolist(), name


def test_homes_in_step_are_one_building() -> None:
    house, weather = one(), np.array([[2.0, -8.0, 6.0]])
    block, theta = house.times(np.array([7.0])), np.array([21.0])
    p_kw, after = building.follow(house, theta, weather[:, 0], np.array([-2.0]), wide(), 1.0)
    many, same = building.follow(block, theta, weather[:, 0], np.array([-14.0]), wide(), 1.0)
    assert after[0] == pytest.approx(same[0], abs=1e-12)
    assert 7.0 * p_kw == pytest.approx(many)
    thermostat = building.thermostat_kw(house, theta, weather, 1.0)
    assert 7.0 * thermostat == pytest.approx(building.thermostat_kw(block, theta, weather, 1.0))
    bounds = zip(*(building.corridor(b, theta, weather, 1.0) for b in (house, block)), strict=True)
    for alone, together in bounds:
        assert 7.0 * alone == pytest.approx(together)


# -- set-points and the band ---------------------------------------------------------------------


@given(
    house=houses(),
    start=st.integers(18, 27).map(float),
    sets=st.lists(SET, min_size=12, max_size=12),
    weather=st.lists(WILD, min_size=12, max_size=12),
)
def test_the_band_is_kept_wherever_it_can_be(
    house: Buildings, start: float, sets: list[float], weather: list[float]
) -> None:
    """Step by step: outside only where nothing else was possible, and then as near as possible."""
    powers, thetas = lived(house, start, sets, weather)
    least, most = house.theta_min_c[0], house.theta_max_c[0]
    for t, t_out in enumerate(weather):
        now, out = thetas[t : t + 1], np.array([t_out])
        blamed = building.first_out_of_band(house, now, out[:, None], 1.0)[0]
        inside = least - 1e-9 <= thetas[t + 1] <= most + 1e-9
        assert inside == (blamed == -1)
        if not inside:
            helps = (thetas[t + 1] < least) != house.cools[0]
            assert powers[t] == (house.p_max_kw[0] if helps else 0.0)
        kh = building.discomfort_kh(house, thetas[t + 1 : t + 2], 1.0)[0]
        assert (kh == 0.0) == inside


@given(
    house=houses(),
    weather=st.lists(MILD, min_size=12, max_size=12),
    picks=st.lists(st.integers(0, 10), min_size=12, max_size=12),
)
def test_who_prepares_is_never_outside_before_the_step_that_is_blamed(
    house: Buildings, weather: list[float], picks: list[int]
) -> None:
    """Full preparation reaches all bounds of the message; the blamed step is out of reach."""
    start = 0.5 * (house.theta_min_c[0] + house.theta_max_c[0])
    blamed = building.first_out_of_band(house, np.array([start]), np.array([weather]), 1.0)[0]
    full, idle = (lived(house, start, [asked] * 12, weather)[1] for asked in (-1e3, 0.0))
    inside = [
        (house.theta_min_c[0] - 1e-9 <= best) & (worst <= house.theta_max_c[0] + 1e-9)
        for best, worst in (
            zip(idle[1:], full[1:], strict=True)
            if house.cools[0]
            else zip(full[1:], idle[1:], strict=True)
        )
    ]
    assert blamed == (inside.index(False) if False in inside else -1)


def test_an_undersized_heat_pump_is_named_with_its_hour() -> None:
    many: Any = {name: np.array([value, value, value, value]) for name, value in HOUSE.items()} | {
        "p_max_kw": np.array([4.0, 1.0, 4.0, 4.0])
    }
    many["cools"] = np.array([False, False, False, True])
    theta = np.array([22.0, 22.0, 15.0, 22.0])
    weather = np.array([[5.0] * 8, [5.0] * 8, [5.0] * 8, [5.0] * 7 + [NAN]])
    found = building.first_out_of_band(Buildings(**many), theta, weather, 1.0)
    # 5 + 2.5 (0.5 + 3) = 13.75 C drive the second from 22 to 20 C in 15 log(8.25 / 6.25) = 4.2 h
    assert found.tolist() == [-1, 4, 0, 2], "cooling is no help where 6.25 C drive: 2.04 h"


def test_the_connection_point_comes_before_comfort() -> None:
    site = room(*(np.array([value]) for value in (-2.5, NAN, 1.0, 0.5)))
    p_kw, after = building.follow(
        one(), np.array([20.0]), np.array([-10.0]), np.array([-4.0]), site, 1.0
    )
    assert p_kw[0] == -3.0, "2.5 kW may come in, 0.5 kW are there"
    assert after[0] < 20.0
    assert building.discomfort_kh(one(), after, 0.5)[0] == pytest.approx(0.5 * (20.0 - after[0]))
    must_draw = Room(low_kw=np.array([-np.inf]), high_kw=np.array([-4.0]))
    assert building.follow(
        one(), np.array([24.0]), np.array([23.0]), np.array([0.0]), must_draw, 1.0
    )[0] == [-4.0]


# -- the message ---------------------------------------------------------------------------------


@given(
    house=houses(),
    start=st.integers(18, 27).map(float),
    weather=st.lists(WILD, min_size=1, max_size=24),
    share=st.integers(0, 10),
    dt_h=st.sampled_from([0.25, 1.0, 2.0]),
)
def test_the_recursion_of_the_message_is_the_model(
    house: Buildings, start: float, weather: list[float], share: int, dt_h: float
) -> None:
    _, storage = message_of(house, start, weather, dt_h)
    drawn = 0.1 * share * house.p_max_kw[0] * (np.arange(len(weather)) % 2)
    theta, thetas = np.array([start]), [start]
    for p_kw, t_out in zip(drawn, weather, strict=True):
        theta = building.end_c(house, theta, np.array([t_out]), np.array([p_kw]), dt_h)
        thetas.append(theta[0])
    said = stored(storage, drawn, dt_h) / house.c_kwh_per_k
    told = house.theta_max_c - said if house.cools[0] else house.theta_min_c + said
    assert np.allclose(told, thetas, rtol=1e-12, atol=1e-12)


@settings(deadline=None)  # compiled code is loaded at the first call
@given(
    house=houses(),
    start=st.integers(15, 30).map(float),
    weather=st.lists(WILD, min_size=1, max_size=48),
    dt_h=st.sampled_from([0.25, 1.0, 2.0]),
)
def test_some_schedule_always_meets_the_bounds(
    house: Buildings, start: float, weather: list[float], dt_h: float
) -> None:
    message, storage = message_of(house, start, weather, dt_h)
    agents = build_agents([message], len(weather), dt_h)
    assert not agents.unreachable().any()
    count = len(weather)
    p_kw = agents.propose(np.full((1, count), -1.0), np.array([0.1]))
    energy = stored(storage, -p_kw[0], dt_h)
    near = 1e-6 * (1.0 + np.abs(energy))
    assert np.all(energy >= storage.e_min_kwh - near)
    assert np.all(energy <= storage.e_max_kwh + near)
    assert np.all(storage.e_min_kwh <= 0.0)
    assert np.all(storage.e_max_kwh >= house.capacity_kwh)
    blamed = building.first_out_of_band(house, np.array([start]), np.array([weather]), dt_h)[0]
    widened = (storage.e_min_kwh < -1e-6) | (storage.e_max_kwh > house.capacity_kwh + 1e-6)
    if blamed < 0:
        assert not widened[1:].any(), "the band itself wherever it can be kept"


def test_what_the_thermostat_does_is_what_it_expects() -> None:
    weather = [4.0, -3.0, 0.0, 9.0, 30.0, 12.0]
    message, storage = message_of(one(), 21.0, weather)
    powers, _ = lived(one(), 21.0, [NAN] * 6, weather)
    assert (-message.p_ref_kw).tolist() == powers.tolist()
    assert message.q_ref_kvar.tolist() == (0.3 * message.p_ref_kw).tolist()
    assert (message.kind, message.q) == ("FRBC", {"tan_phi": 0.3})
    assert message.p_min_kw.tolist() == [-4.0] * 6
    assert message.p_max_kw.tolist() == [0.0] * 6
    assert (storage.e_now_kwh, storage.e_max_kwh[0]) == (6.0, 24.0)
    assert storage.eta_charge[0] == pytest.approx(3.0, rel=0.05)
    assert message_of(one(tan_phi=0.0), 21.0, weather)[0].q is None


@pytest.mark.parametrize(("start", "cools"), [(17.0, False), (27.0, False), (27.0, True)])
def test_outside_the_band_the_bounds_are_the_way_back(start: float, cools: bool) -> None:
    house, weather = one(cools=cools), [18.0 if cools else 8.0] * 12
    _, storage = message_of(house, start, weather)
    _, back = lived(house, start, [0.0] * 12, weather)
    said = 6.0 * (24.0 - back if cools else back - 20.0)
    assert np.all(storage.e_min_kwh <= said + 1e-9)
    assert np.all(storage.e_max_kwh >= said - 1e-9)
    assert storage.e_min_kwh[-1] == 0.0
    assert storage.e_max_kwh[-1] == 24.0
    outside = (said < 0.0) | (said > 24.0)
    assert outside[0]
    assert outside.tolist() == ((storage.e_min_kwh < 0.0) | (storage.e_max_kwh > 24.0)).tolist()


def test_without_a_forecast_it_says_nothing() -> None:
    two: Any = {name: np.array([value, value]) for name, value in HOUSE.items()}
    weather = np.array([[5.0, 5.0], [5.0, NAN]])
    sent = building.messages(
        Buildings(**two), np.full(2, 22.0), weather, t0_s=0.0, dt_s=3600.0, dt_h=1.0
    )
    assert sent[0] is not None
    assert sent[1] is None


def test_a_market_heats_ahead_of_the_dear_hours_inside_the_band() -> None:
    weather = [2.0, 0.0, -2.0, -4.0, -4.0, -2.0, 0.0, 4.0]
    price = np.array([0.1, 0.1, 0.1, 0.5, 0.5, 0.5, 0.1, 0.1])
    message, _ = message_of(one(), 22.0, weather)
    problem = Problem(
        agents=build_agents([message], 8, 1.0),
        owner=np.array([0]),
        pool=np.array([0]),
        firm_kw=np.zeros((1, 8)),
        price_import_eur_per_kwh=price,
        price_feed_in_eur_per_kwh=np.full(8, 0.05),
        box_min_kw=np.full((1, 8), -np.inf),
        box_max_kw=np.full((1, 8), np.inf),
    )
    cleared = clear(problem)
    assert cleared.gap < 1e-3
    sets = cleared.schedule_kw[0].tolist()
    powers, thetas = lived(one(), 22.0, sets, weather)
    assert powers == pytest.approx(np.maximum(-np.array(sets), 0.0), abs=0.01)
    assert np.all((thetas >= 20.0 - 1e-9) & (thetas <= 24.0 + 1e-9))
    assert thetas[3] > 23.0, "warm before the dear hours"
    thermostat = lived(one(), 22.0, [NAN] * 8, weather)[0]
    assert price @ powers < 0.9 * price @ thermostat


# -- the adapter ---------------------------------------------------------------------------------


def simulated(**changes: Any) -> BuildingSimulator:
    simulator = BuildingSimulator()
    simulator.init("B", horizon=4)
    params = {"p_max_kw": 4.0, "r_k_per_kw": 2.5, "c_kwh_per_k": 6.0, "gains_kw": 0.5, "homes": 10}
    simulator.create(1, "Building", **(params | changes))
    return simulator


def after(simulator: BuildingSimulator, index: int, **sent: Any) -> dict[str, Any]:
    names = {"now": "T_air[C]", "ahead": "T_air_forecast[C]", "asked": "P_set[MW]"}
    inputs = {"Building-0": {names[key]: {"X": value} for key, value in sent.items()}}
    simulator.step(index * 3600, inputs, 1)
    return simulator._outputs["Building-0"]


def test_ten_homes_on_the_wire() -> None:
    values = after(simulated(tan_phi=0.3), 0, now=5.0, ahead=[4.0, -3.0])
    drawn_mw = 10 * ((22.0 - 5.0) / 2.5 - 0.5) / 3.0 / 1000.0
    assert values["P[MW]"] == pytest.approx(drawn_mw)
    assert values["Q[MVar]"] == pytest.approx(0.3 * drawn_mw)
    assert (values["T_in[C]"], values["discomfort[Kh]"]) == (pytest.approx(22.0), 0.0)
    storage = parse(values["flexibility"]).storage
    assert storage is not None
    assert (storage.e_now_kwh, storage.e_max_kwh[-1]) == (pytest.approx(120.0), 240.0)
    assert storage.demand_kwh[1:].tolist() == [storage.demand_kwh[1]] * 3, "the last one persists"
    asked = after(simulated(theta_start_c=20.0), 0, now=-20.0, asked=0.0)
    assert asked["P[MW]"] == 0.04, "full power, for comfort"
    cold = building.end_c(one(), *(np.array([x]) for x in (20.0, -20.0, 4.0)), 1.0)[0]
    assert asked["T_in[C]"] == pytest.approx(cold)
    assert asked["discomfort[Kh]"] == pytest.approx(20.0 - cold), "of one home"


def test_weather_that_falls_silent() -> None:
    simulator = simulated()
    silent = {"P[MW]": None, "Q[MVar]": None, "discomfort[Kh]": 0.0, "flexibility": None}
    assert after(simulator, 0) == silent | {"T_in[C]": 22.0}
    first = after(simulator, 1, now=5.0, ahead=[5.0] * 4)
    restored = simulated()
    restored.restore(json.loads(json.dumps(simulator.state())))
    second = after(restored, 2, now=NAN)
    assert second["P[MW]"] == pytest.approx(first["P[MW]"]), "the last known temperature"
    assert second["flexibility"] is None
    assert second == after(simulator, 2, now=None)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("theta_min_c", 24.0, "below theta_max_c = 24"),
        ("theta_start_c", 200.0, "-50 to 100"),
        ("theta_set_c", 19.0, "20 to 24"),
        ("mode", "warm", "heat or cool"),
        ("homes", 0, "1 or more"),
        ("c_kwh_per_k", 0.01, "0.1 or more"),
        ("r_k_per_kw", None, "a number"),
    ],
)
def test_what_cannot_be_is_named(field: str, value: Any, allowed: str) -> None:
    with pytest.raises(DataError) as caught:
        simulated(**{field: value})
    assert f"B.Building-0: {field} = {value!r}" in str(caught.value)
    assert allowed in str(caught.value)
