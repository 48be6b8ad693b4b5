"""Laws of the battery: energy recursion, limits, a message that some schedule keeps."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peergrid.devices import battery
from peergrid.devices.flexibility import parse
from peergrid.devices.site import Room, room

SHARE = st.integers(0, 100).map(lambda k: k / 100.0)
POWER = st.one_of(st.just(float("nan")), st.integers(-300, 300).map(float))


def one(**changes: Any) -> battery.Batteries:
    values = {
        "capacity_kwh": 100.0,
        "p_max_kw": 50.0,
        "eta_charge": 0.9,
        "eta_discharge": 0.8,
        "soc_min": 0.1,
        "soc_end": float("nan"),
        "wear_eur_per_kwh": 0.005,
    } | changes
    return battery.Batteries(**{name: np.array([value]) for name, value in values.items()})


def wide() -> Room:
    return Room(low_kw=np.array([-np.inf]), high_kw=np.array([np.inf]))


@given(
    soc=st.integers(10, 100).map(lambda k: k / 100.0),
    sets=st.lists(POWER, min_size=1, max_size=30),
    dt_h=st.sampled_from([0.25, 1.0, 2.0]),
)
def test_energy_recursion_and_limits(soc: float, sets: list[float], dt_h: float) -> None:
    model, e_kwh = one(), np.array([100.0 * soc])
    for asked in sets:
        p_kw, after = battery.follow(model, e_kwh, np.array([asked]), wide(), dt_h)
        charge, discharge = max(-p_kw[0], 0.0), max(p_kw[0], 0.0)
        expected = e_kwh[0] + (0.9 * charge - discharge / 0.8) * dt_h
        assert after[0] == pytest.approx(expected, abs=1e-9)
        assert 10.0 - 1e-9 <= after[0] <= 100.0
        assert abs(p_kw[0]) <= 50.0
        low, high = battery.power_range(model, e_kwh, dt_h)
        if low[0] <= asked <= high[0]:
            assert p_kw[0] == asked
        e_kwh = after


@given(soc=st.integers(10, 100), soc_end=SHARE, steps=st.integers(1, 30), draw=st.data())
def test_message_is_always_feasible(soc: int, soc_end: float, steps: int, draw: Any) -> None:
    model, e_kwh = one(soc_end=soc_end, p_max_kw=7.0), np.array([float(soc)])
    sent = battery.messages(model, e_kwh, steps=steps, t0_s=3600.0, dt_s=3600.0, dt_h=1.0)[0]
    message = parse(sent)
    storage = message.storage
    assert storage is not None
    assert message.steps == steps
    assert storage.e_min_kwh[-1] == pytest.approx(
        max(10.0, min(100.0 * soc_end, 100.0, soc + steps * 0.9 * 7.0))
    )
    energy = storage.e_now_kwh
    for t in range(steps):
        least = max(storage.e_min_kwh[t + 1], energy - 7.0 / 0.8)
        most = min(storage.e_max_kwh[t + 1], energy + 0.9 * 7.0)
        assert least <= most + 1e-9
        energy = least + draw.draw(SHARE) * (most - least)


def test_without_set_point_it_stands_still() -> None:
    p_kw, e_kwh = battery.follow(one(), np.array([50.0]), np.array([np.nan]), wide(), 1.0)
    assert (p_kw[0], e_kwh[0]) == (0.0, 50.0)


def test_connection_point_comes_before_the_set_point() -> None:
    site = room(np.array([-20.0]), np.array([5.0]), np.array([30.0]), np.array([10.0]))
    p_kw, _ = battery.follow(one(), np.array([50.0]), np.array([40.0]), site, 1.0)
    assert p_kw[0] == -15.0, "5 kW may leave, 20 kW come from the others"


def test_terminal_wish_is_absent_by_default() -> None:
    sent = battery.messages(one(), np.array([50.0]), steps=2, t0_s=0.0, dt_s=3600.0, dt_h=1.0)
    assert sent[0]["e_min_kwh"] == [10.0, 10.0, 10.0]
    assert sent[0]["cost"]["wear"] == 0.005
    assert sent[0]["cost"]["quadratic"] > 0
