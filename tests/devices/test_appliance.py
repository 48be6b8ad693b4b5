"""Laws of the appliance: whole cycles every day, and messages that can be kept."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peergrid.devices import appliance
from peergrid.devices.appliance import Appliances, Progress, Window
from peergrid.devices.flexibility import Flexibility, parse
from peergrid.devices.site import Room
from peergrid.market.cycle_prox import best_all, build_cycles

NONE = float("nan")
POWER = st.one_of(st.just(NONE), st.integers(-6, 2).map(float))
PER_DAY = (12, 24, 48)


def one(
    cycle: list[float], *, hours: tuple[float, ...] = (0.0, 24.0, 0.0), count: int = 1
) -> Appliances:
    earliest, latest, habit = (np.array([hour]) for hour in hours)
    return Appliances(
        cycle_kw=np.array([cycle]),
        length=np.array([len(cycle)]),
        cycles_per_day=np.array([count]),
        tan_phi=np.array([0.4]),
        earliest_h=earliest,
        latest_h=latest,
        habit_h=habit,
    )


def wide(low_kw: float = -np.inf) -> Room:
    return Room(low_kw=np.array([low_kw]), high_kw=np.array([np.inf]))


def day_of(own: Appliances, step: int, per_day: int) -> Window:
    """Windows on the day of a step; days begin at multiples of ``per_day``."""
    usual, first = appliance.usual_window(own, 24.0 / per_day), step // per_day * per_day
    return Window(
        first=usual.first + first,
        end=usual.end + first,
        habit=usual.habit + first,
        count=usual.count,
    )


@dataclass
class Run:
    """An appliance that is stepped through days of ``per_day`` steps."""

    own: Appliances
    per_day: int
    index: int = 0

    def __post_init__(self) -> None:
        self.progress = appliance.at_start(self.own, self.day)

    @property
    def day(self) -> Window:
        return day_of(self.own, self.index, self.per_day)

    def step(self, p_set_kw: float = NONE, room: Room | None = None) -> float:
        p_kw, self.progress = appliance.follow(
            self.own, self.progress, self.day, self.index, np.array([p_set_kw]), room or wide()
        )
        self.index += 1
        if self.index % self.per_day == 0:
            assert not self.progress.age.any(), "no cycle crosses midnight"
            assert not self.progress.left.any(), "all have run"
            self.progress = Progress(age=self.progress.age, left=self.day.count)
        return float(p_kw[0])

    def raw(self, steps: int) -> dict[str, Any]:
        starts = range(self.index, self.index + steps)
        firsts = sorted({step // self.per_day * self.per_day for step in starts})
        days = [day_of(self.own, first, self.per_day) for first in firsts]
        how = {"first_step": self.index, "steps": steps, "t0_s": 0.0, "dt_s": 3600.0}
        return appliance.messages(self.own, self.progress, days, **how)[0]

    def message(self, steps: int) -> Flexibility:
        return parse(self.raw(steps))


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Any appliance whose cycles fit, a day or two into its life."""
    per_day = draw(st.sampled_from(PER_DAY))
    inner = st.lists(st.integers(0, 4).map(float), max_size=3)
    cycle = [float(draw(st.integers(1, 4))), *draw(inner), float(draw(st.integers(1, 4)))]
    count = draw(st.integers(1, min(3, per_day // len(cycle))))
    first = draw(st.integers(0, per_day - count * len(cycle)))
    end = draw(st.integers(first + count * len(cycle), per_day))
    habit = draw(st.integers(first, end))
    hours = tuple(24.0 * step / per_day for step in (first, end, habit))
    return Run(one(cycle, hours=hours, count=count), per_day)


def lived(run: Run, sets: list[float], rooms: list[float] | None = None) -> list[float]:
    return [
        run.step(asked, wide(low))
        for asked, low in zip(sets, rooms or [-np.inf] * 99, strict=False)
    ]


def cycles_in(powers: list[float], own: Appliances) -> list[int]:
    """Starts of the cycles that make up a series; fails if it is made of anything else."""
    cycle = own.cycle_kw[0, : own.length[0]].tolist()
    starts, step = [], 0
    while step < len(powers):
        if powers[step] == 0.0:
            step += 1
            continue
        assert [-p for p in powers[step : step + len(cycle)]] == cycle
        starts.append(step)
        step += len(cycle)
    return starts


@given(run=runs(), data=st.data())
def test_whole_cycles_every_day_whatever_the_set_points(run: Run, data: st.DataObject) -> None:
    steps = 2 * run.per_day
    sets = data.draw(st.lists(POWER, min_size=steps, max_size=steps))
    rooms = data.draw(st.lists(st.sampled_from([-np.inf, -2.0, 0.0]), min_size=24, max_size=24))
    powers = lived(run, sets, (rooms * 4)[:steps])
    usual = appliance.usual_window(run.own, 24.0 / run.per_day)
    for begin in (0, run.per_day):
        starts = cycles_in(powers[begin : begin + run.per_day], run.own)
        assert len(starts) == run.own.cycles_per_day[0]
        assert usual.first[0] <= min(starts)
        assert max(starts) + run.own.length[0] <= usual.end[0]
    assert -sum(powers) == 2 * len(starts) * run.own.cycle_kw.sum()


@given(run=runs(), data=st.data())
def test_what_is_expected_comes_without_set_points(run: Run, data: st.DataObject) -> None:
    """Whatever was asked before, and for every length of the horizon."""
    lived(run, data.draw(st.lists(POWER, max_size=run.per_day)))
    steps = data.draw(st.integers(1, 2 * run.per_day))
    message = run.message(steps)
    assert message.p_ref_kw.tolist() == lived(run, [NONE] * steps)
    assert message.q_ref_kvar == pytest.approx(0.4 * message.p_ref_kw)
    assert (message.kind, message.q) == ("PPBC", {"tan_phi": 0.4})


@settings(deadline=None)
@given(run=runs(), data=st.data(), seed=st.integers(0, 99))
def test_every_schedule_of_the_profiles_is_followed(
    run: Run, data: st.DataObject, seed: int
) -> None:
    lived(run, data.draw(st.lists(POWER, max_size=run.per_day)))
    message = run.message(data.draw(st.integers(1, 2 * run.per_day)))
    price = np.random.default_rng(seed).normal(size=(1, message.steps))
    chosen = best_all(build_cycles([message], message.steps), price)[0] if message.profiles else 0.0
    schedule = np.zeros(message.steps) + chosen
    assert np.all(message.p_min_kw <= schedule)
    assert np.all(schedule <= message.p_max_kw)
    assert lived(run, schedule.tolist()) == schedule.tolist()


@settings(deadline=None)
@given(run=runs(), data=st.data())
def test_the_smallest_injection_is_reached(run: Run, data: st.DataObject) -> None:
    """No limit is wider than what some schedule does in that step."""
    lived(run, data.draw(st.lists(POWER, max_size=run.per_day)))
    message = run.message(data.draw(st.integers(1, run.per_day)))
    if not message.profiles:
        assert message.is_fixed
        return
    cycles = build_cycles([message], message.steps)
    for t, least in enumerate(message.p_min_kw):
        price = np.zeros((1, message.steps))
        price[0, t] = -1.0
        assert best_all(cycles, price)[0, t] == least


# -- one by one ----------------------------------------------------------------------------------

EVENING = one([2.0, 1.0], hours=(8.0, 20.0, 18.0), count=2)


def test_it_begins_at_its_habit_and_ends_in_time() -> None:
    assert cycles_in(lived(Run(EVENING, 24), [NONE] * 24), EVENING) == [16, 18]
    early = one([2.0, 1.0], hours=(8.0, 20.0, 9.5), count=2)
    assert cycles_in(lived(Run(early, 24), [NONE] * 24), early) == [10, 12]


def test_half_of_the_first_power_is_asking() -> None:
    for asked, starts in ((-0.9, [16, 18]), (-1.0, [8, 10]), (0.0, [16, 18]), (9.0, [16, 18])):
        assert cycles_in(lived(Run(EVENING, 24), [asked] * 24), EVENING) == starts


def test_it_waits_for_room_as_long_as_it_may() -> None:
    for low, starts in ((-2.0, [8, 10]), (-1.9, [16, 18])):
        powers = lived(Run(EVENING, 24), [-9.0] * 24, [low] * 24)
        assert cycles_in(powers, EVENING) == starts
    assert lived(Run(EVENING, 24), [-9.0] * 10, [-2.0] * 9 + [0.0])[8:] == [-2.0, -1.0]


def test_the_message_of_a_morning() -> None:
    run = Run(EVENING, 24)
    lived(run, [NONE] * 8 + [-2.0])
    raw = run.raw(24)
    assert raw["profiles"] == [
        {"p_kw": [1.0], "earliest": 0, "latest": 1, "count": 1},
        {"p_kw": [2.0, 1.0], "earliest": 1, "latest": 11, "count": 1},
    ]
    assert raw["p_max_kw"] == [-1.0] + [0.0] * 23, "the rest of a cycle is certain"
    assert raw["p_min_kw"] == [-1.0] + [-2.0] * 9 + [-1.0] + [0.0] * 13
    assert raw["p_ref_kw"][9:11] == [-2.0, -1.0], "one cycle left: as late as it may be"
    tomorrow = run.raw(36)["profiles"][2]
    assert tomorrow == {"p_kw": [2.0, 1.0], "earliest": 23, "latest": 35, "count": 2}


@pytest.mark.parametrize(
    ("steps", "profile"),
    [
        (20, {"p_kw": [2.0, 1.0], "earliest": 8, "latest": 20, "count": 2}),
        (19, {"p_kw": [2.0, 1.0, 2.0], "earliest": 16, "latest": 19, "count": 1}),
        (17, {"p_kw": [2.0], "earliest": 16, "latest": 17, "count": 1}),
        (16, None),
    ],
)
def test_a_window_past_the_horizon_is_firm_at_its_habit(steps: int, profile: Any) -> None:
    raw = Run(EVENING, 24).raw(steps)
    assert raw["profiles"] == ([profile] if profile else [])
    message = parse(raw)
    assert message.is_fixed == (steps < 20)
    if message.is_fixed:
        assert message.p_ref_kw.tolist() == message.p_min_kw.tolist()


@pytest.mark.parametrize(("first", "left"), [(0, 2), (16, 2), (17, 1), (18, 1), (19, 0), (23, 0)])
def test_habits_before_the_run_count_as_done(first: int, left: int) -> None:
    usual = appliance.usual_window(EVENING, 1.0)
    shifted = {name: getattr(usual, name) - first for name in ("first", "end", "habit")}
    progress = appliance.at_start(EVENING, Window(**shifted, count=usual.count))
    assert (progress.age[0], progress.left[0]) == (0, left)


def test_a_short_day_has_as_many_cycles_as_fit() -> None:
    hours = [np.array([float(step)]) for step in (7.5, 11.4, 9.0)]
    found = appliance.window(EVENING, *hours)
    assert (found.first[0], found.end[0], found.count[0]) == (8, 11, 1)
    reversed_hours = appliance.window(EVENING, hours[1], hours[0], hours[2])
    assert reversed_hours.count[0] == 0


@given(
    phases=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=9),
    phase_min=st.sampled_from([5.0, 12.5, 15.0, 40.0, 90.0]),
    step_s=st.sampled_from([300.0, 900.0, 3600.0, 7200.0]),
)
def test_a_cycle_in_steps_has_the_energy_of_its_phases(
    phases: list[float], phase_min: float, step_s: float
) -> None:
    cycle = appliance.cycle_of(phases, 60.0 * phase_min, step_s)
    assert len(cycle) == np.ceil(len(phases) * 60.0 * phase_min / step_s)
    assert cycle.sum() * step_s == pytest.approx(sum(phases) * 60.0 * phase_min)
    assert cycle.max() <= max(phases) + 1e-9


def test_two_appliances_do_not_mix() -> None:
    both = Appliances(
        **{
            name: np.concatenate([getattr(EVENING, name), getattr(one([3.0, 1.0]), name)])
            for name in Appliances.__dataclass_fields__
        }
    )
    alone = [Run(EVENING, 24), Run(one([3.0, 1.0]), 24)]
    progress = appliance.at_start(both, day_of(both, 0, 24))
    room = Room(low_kw=np.array([-np.inf, -2.0]), high_kw=np.full(2, np.inf))
    for step in range(24):
        sets, day = np.array([-2.0, NONE]), day_of(both, step, 24)
        p_kw, progress = appliance.follow(both, progress, day, step, sets, room)
        expected = [alone[0].step(-2.0), alone[1].step(NONE, wide(-2.0))]
        assert p_kw.tolist() == expected
