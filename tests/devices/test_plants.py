"""Wind, generators, fixed loads, curtailment and connection points."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peergrid.devices import generator, load, plant, wind
from peergrid.devices.flexibility import parse
from peergrid.devices.reactive import ReactiveOffers, in_disc
from peergrid.devices.site import Room, room
from peergrid.inputs import Span, load_turbine, load_weather, parse_start

NONE = float("nan")
MAYBE = st.one_of(st.just(NONE), st.integers(-50, 50).map(float))


def wide(n: int = 1) -> Room:
    return Room(low_kw=np.full(n, -np.inf), high_kw=np.full(n, np.inf))


@pytest.mark.parametrize(("region", "factor"), [(4, 0.25), (1, 0.34)])
def test_wind_capacity_factor(region: int, factor: float) -> None:
    curve = load_turbine("NPS100C-24")
    span = Span(start=parse_start("2015-12-31T23:00Z"), hours=8760)
    weather = load_weather(f"try2010:{region}", span)
    turbines = wind.Turbines(
        curves=((curve.wind_speed_m_s, curve.power_kw),),
        rated_kw=np.array([curve.rated_kw]),
        hub_height_m=np.array([37.0]),
        count=np.array([1.0]),
    )
    power = wind.available_kw(turbines, weather.wind_speed_m_s[None], weather.wind_height_m)
    assert power.min() >= 0.0
    assert power.mean() / curve.rated_kw == pytest.approx(factor, abs=0.01)


def test_wind_outside_the_curve_is_still_and_turbines_add_up() -> None:
    turbines = wind.Turbines(
        curves=((np.array([3.0, 10.0]), np.array([0.0, 70.0])),),
        rated_kw=np.array([140.0]),
        hub_height_m=np.array([10.0]),
        count=np.array([2.0]),
    )
    power = wind.available_kw(turbines, np.array([[1.0, 6.0, 30.0, NONE]]), 10.0)
    assert power[0, :3].tolist() == [0.0, 60.0, 0.0]
    assert np.isnan(power[0, 3])


@given(available=st.integers(0, 40).map(float), asked=MAYBE, limit=MAYBE, others=MAYBE)
def test_curtailed_plants_only_come_down(
    available: float, asked: float, limit: float, others: float
) -> None:
    site = room(*(np.array([v]) for v in (NONE, limit, others, NONE)))
    power = plant.curtailed(np.array([available]), np.array([asked]), site)[0]
    assert 0.0 <= power <= available
    if not np.isnan(asked):
        assert power <= max(asked, 0.0)
    left = np.inf if np.isnan(limit) else limit - np.nan_to_num(others)
    assert power <= max(left, 0.0)
    if np.isnan(asked) and left >= available:
        assert power == available


def test_reactive_power_stays_in_the_disc() -> None:
    kva = np.array([11.0, 11.0, 11.0])
    q_kvar = in_disc(np.array([-20.0, 1.0, NONE]), np.array([10.0, 10.0, 10.0]), kva)
    assert q_kvar == pytest.approx([-np.sqrt(21.0), 1.0, 0.0])


def test_plant_message_ranges_from_zero_to_the_forecast() -> None:
    forecast = np.array([[1.0, 2.0], [NONE, NONE]])
    offers = [{"disc_kva": 3.0}, {"box": [-1.0, 1.0]}]
    sent = plant.messages(forecast, 0.1 * forecast, offers, t0_s=0.0, dt_s=900.0)
    message = parse(sent[0])
    assert message.p_min_kw.tolist() == [0.0, 0.0]
    assert message.p_max_kw.tolist() == message.p_ref_kw.tolist() == [1.0, 2.0]
    assert message.sigma_kw.tolist() == [0.1, 0.2]
    assert sent[1] is None


def offers_of(kva: float, low: float, high: float, *cost: float) -> ReactiveOffers:
    linear, square = cost or (0.0, 0.0)
    return ReactiveOffers(
        kva=np.array([kva]),
        q_min_kvar=np.array([low]),
        q_max_kvar=np.array([high]),
        cost_eur_per_kvarh=np.array([linear]),
        cost_eur_per_kvar2h=np.array([square]),
    )


def test_a_reactive_offer_says_only_what_there_is() -> None:
    assert offers_of(5.0, NONE, NONE).on_wire() == [{"disc_kva": 5.0}]
    assert offers_of(5.0, NONE, NONE, 2.0, 0.0).on_wire() == [{"disc_kva": 5.0, "cost": 2.0}]
    told = {"box": [-3.0, 6.0], "cost": 0.002, "quadratic": 5e-7}
    assert offers_of(5.0, -3.0, 6.0, 0.002, 5e-7).on_wire() == [told]


@given(asked=MAYBE, p_kw=st.integers(0, 9).map(float))
def test_a_stated_range_is_there_whatever_the_power(asked: float, p_kw: float) -> None:
    found = offers_of(10.0, -3.0, 6.0).follow(np.array([asked]), np.array([p_kw]))[0]
    assert found == (0.0 if np.isnan(asked) else min(max(asked, -3.0), 6.0))


def test_a_generator_at_rest_gives_only_the_range_it_stated() -> None:
    still, much = np.zeros(1), np.array([50.0])
    assert generator.reactive_output(generators(), much, still)[0] == 0.0
    ranged = replace(generators(), reactive=offers_of(110.0, -30.0, 60.0))
    assert generator.reactive_output(ranged, much, still)[0] == 50.0


def generators() -> generator.Generators:
    return generator.Generators(
        p_min_kw=np.array([20.0]),
        p_max_kw=np.array([100.0]),
        cost_eur_per_kwh=np.array([0.12]),
        cost_eur_per_kw2h=np.array([1e-5]),
        reactive=offers_of(110.0, NONE, NONE),
    )


@pytest.mark.parametrize(
    ("asked", "limit", "expected"),
    [
        (NONE, NONE, 0.0),
        (50.0, NONE, 50.0),
        (5.0, NONE, 20.0),
        (500.0, NONE, 100.0),
        (50.0, 30.0, 30.0),
        (50.0, 10.0, 0.0),
        (50.0, 80.0, 50.0),
    ],
)
def test_generator_follows(asked: float, limit: float, expected: float) -> None:
    site = room(*(np.array([v]) for v in (NONE, limit, NONE, NONE)))
    assert generator.output(generators(), np.array([asked]), site)[0] == expected


def test_generator_message_has_its_cost() -> None:
    message = parse(generator.messages(generators(), steps=3, t0_s=0.0, dt_s=3600.0)[0])
    assert message.cost.linear_eur_per_kwh == pytest.approx([0.12] * 3)
    assert message.cost.quadratic_eur_per_kw2h == 1e-5
    assert message.p_max_kw.tolist() == [100.0] * 3


def test_load_message_is_fixed_and_negative() -> None:
    p_kw, q_kvar = np.array([[4.0, 5.0]]), np.array([[1.0, -1.0]])
    message = parse(load.messages(p_kw, q_kvar, 0.1 * p_kw, t0_s=0.0, dt_s=3600.0)[0])
    assert message.is_fixed
    assert message.p_ref_kw.tolist() == [-4.0, -5.0]
    assert message.q_ref_kvar.tolist() == [-1.0, 1.0]


def test_reactive_forecast_of_idle_loads() -> None:
    p_true, q_true = np.array([[0.0], [0.0]]), np.array([[0.0], [7.0]])
    expected = np.array([[3.0], [0.0]])
    q_kvar = load.reactive_forecast(q_true, p_true, expected, np.array([0.5, 0.0]))
    assert q_kvar.tolist() == [[1.5], [7.0]]


def test_room_narrows_a_range_but_never_leaves_it() -> None:
    tight = Room(low_kw=np.array([-1.0, 5.0]), high_kw=np.array([1.0, 6.0]))
    low, high = tight.within(np.array([-4.0, -4.0]), np.array([4.0, 4.0]))
    assert (low.tolist(), high.tolist()) == ([-1.0, 4.0], [1.0, 4.0])
