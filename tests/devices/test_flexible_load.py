"""Laws of the flexible load: the day's quota, the recursion, a message that can be kept."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peergrid.devices import flexible_load
from peergrid.devices.flexibility import Flexibility, Storage, parse
from peergrid.devices.flexible_load import Days, FlexibleLoads
from peergrid.devices.site import Room, room

RATED, MOST = 10.0, 20.0
POWER = st.one_of(st.just(float("nan")), st.integers(-30, 5).map(float))


def one(**changes: float) -> FlexibleLoads:
    values = {
        "p_rated_kw": RATED,
        "p_max_kw": MOST,
        "discomfort_eur_per_kw2h": 2e-5,
        "tan_phi": 0.4,
    } | changes
    return FlexibleLoads(**{name: np.array([value]) for name, value in values.items()})


def wide() -> Room:
    return Room(low_kw=np.array([-np.inf]), high_kw=np.array([np.inf]))


def days(first_step: int, steps: int, per_day: int = 24) -> Days:
    step = np.arange(first_step, first_step + steps)
    first = step // per_day * per_day
    return Days(step=step, first=first, end=first + per_day)


def drawn_in_a_day(sets: list[float], site: Room, dt_h: float = 1.0) -> list[float]:
    """Powers of a day of ``len(sets)`` steps under these set-points."""
    quota, drawn, powers = RATED * len(sets) * dt_h, 0.0, []
    for k, asked in enumerate(sets):
        p_kw = flexible_load.follow(
            one(),
            np.array([quota - drawn]),
            np.array([asked]),
            site,
            after_h=(len(sets) - 1 - k) * dt_h,
            dt_h=dt_h,
        )[0]
        assert -MOST <= p_kw <= 0.0
        drawn -= p_kw * dt_h
        assert drawn <= quota + 1e-9
        powers.append(p_kw)
    return powers


@given(
    sets=st.lists(POWER, min_size=2, max_size=24),
    dt_h=st.sampled_from([0.25, 1.0, 2.0]),
)
def test_the_quota_is_met_whatever_the_set_points(sets: list[float], dt_h: float) -> None:
    powers = drawn_in_a_day(sets, wide(), dt_h)
    assert -sum(powers) == pytest.approx(RATED * len(sets), abs=1e-9)


def test_without_set_points_it_draws_its_rated_power() -> None:
    assert drawn_in_a_day([float("nan")] * 24, wide()) == [-RATED] * 24


def test_the_connection_point_comes_before_the_quota() -> None:
    site = room(*(np.array([value]) for value in (-6.0, np.nan, 3.0, 1.0)))
    powers = drawn_in_a_day([-15.0] * 24, site)
    assert powers == [-8.0] * 24, "6 kW may come in, 2 kW are there"
    assert flexible_load.missed_kwh(np.array([240.0 + sum(powers)])) == 48.0


def message_of(e_kwh: float, horizon: Days, **changes: float) -> tuple[Flexibility, Storage]:
    sent = flexible_load.messages(
        one(**changes), np.array([e_kwh]), horizon, t0_s=0.0, dt_s=3600.0, dt_h=1.0
    )
    message = parse(sent[0])
    assert message.storage is not None
    return message, message.storage


@given(
    hour=st.integers(0, 23),
    steps=st.integers(1, 48),
    share=st.integers(0, 100),
    picks=st.lists(st.integers(0, 10), min_size=48, max_size=48),
)
def test_every_schedule_inside_the_message_meets_the_quotas(
    hour: int, steps: int, share: int, picks: list[int]
) -> None:
    """Any choice inside the corridor can go on, and at midnight the quota has been drawn."""
    drawn = min(0.01 * share * MOST * hour, 24 * RATED)
    _, storage = message_of(drawn, days(hour, steps))
    quota = min(24 * RATED, drawn + MOST * (24 - hour))
    energy = storage.e_now_kwh
    for t in range(steps):
        least = max(storage.e_min_kwh[t + 1], energy)
        most = min(storage.e_max_kwh[t + 1], energy + MOST)
        assert least <= most + 1e-9
        energy = least + 0.1 * picks[t] * (most - least)
        over, left = divmod(hour + t + 1, 24)
        if not left:
            assert energy == pytest.approx(quota + 24 * RATED * (over - 1))
    over, left = divmod(hour + steps, 24)
    if left and over:
        assert energy >= quota + 24 * RATED * (over - 1) + RATED * left - 1e-9, "pro rata"


@given(sets=st.lists(POWER, min_size=24, max_size=24), hour=st.integers(0, 23))
def test_what_the_device_does_keeps_what_it_said(sets: list[float], hour: int) -> None:
    powers = drawn_in_a_day(sets, wide())
    drawn = -np.concatenate([[0.0], np.cumsum(powers)])
    _, storage = message_of(drawn[hour], days(hour, 24 - hour))
    assert np.all(storage.e_min_kwh <= drawn[hour:] + 1e-9)
    assert np.all(storage.e_max_kwh >= drawn[hour:] - 1e-9)


def test_the_message_is_a_storage_that_is_only_charged() -> None:
    message, storage = message_of(100.0, days(10, 24))
    assert (message.kind, message.q) == ("FRBC", {"tan_phi": 0.4})
    assert message.p_min_kw.tolist() == [-MOST] * 24
    assert message.p_max_kw.tolist() == [0.0] * 24
    assert message.p_ref_kw.tolist() == [-RATED] * 24
    assert message.q_ref_kvar.tolist() == [-0.4 * RATED] * 24
    assert message.cost.discomfort_eur_per_kw2h == 2e-5
    assert storage.e_now_kwh == 100.0
    assert storage.e_min_kwh[14] == storage.e_max_kwh[14] == 240.0
    assert storage.e_min_kwh[-1] == pytest.approx(240.0 + 10 * RATED)
    assert message_of(0.0, days(0, 24), tan_phi=0.0)[0].q is None


@pytest.mark.parametrize(("drawn", "reach"), [(0.0, 60.0), (200.0, 240.0)])
def test_what_a_day_cannot_reach_is_not_asked_for(drawn: float, reach: float) -> None:
    _, storage = message_of(drawn, days(21, 27))
    assert storage.e_min_kwh[3] == storage.e_max_kwh[3] == pytest.approx(reach)
    assert storage.e_min_kwh[-1] == pytest.approx(reach + 240.0), "and is not made up for"


def test_two_loads_do_not_mix() -> None:
    values: Any = {
        name: np.concatenate([getattr(one(), name), getattr(one(p_rated_kw=5.0), name)])
        for name in ("p_rated_kw", "p_max_kw", "discomfort_eur_per_kw2h", "tan_phi")
    }
    both, energy = FlexibleLoads(**values), np.array([30.0, 7.0])
    low, top = flexible_load.corridor(both, energy, days(5, 30), 1.0)
    for k, rated in enumerate((10.0, 5.0)):
        alone = flexible_load.corridor(one(p_rated_kw=rated), energy[k : k + 1], days(5, 30), 1.0)
        assert (low[k].tolist(), top[k].tolist()) == (alone[0][0].tolist(), alone[1][0].tolist())
