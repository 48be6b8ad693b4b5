"""Household appliances: whole cycles, so many a day, inside a daily window.

A cycle (one washing, one drying) is a fixed series of powers. Once begun it goes on to its end,
whatever anybody says; the cycles of a day run one after the other::

    earliest            habit               latest start           latest
    ├───────────────────┼───────────────────┼──────────────────────┤
    begins if asked to  begins unless       begins, asked or not:  all cycles
                        asked to wait       the rest just fits     have ended

At the latest start not even the envelope of the connection point counts: the clothes are needed in
the morning. A day whose window holds fewer cycles than wanted (clocks go forward, or long steps lie
across its ends) has as many as fit.

What a message says of a window depends on whether it ends inside the horizon::

    now                                                 horizon's end
    ├▓▓▓▓──────────────────────────────────────────────────┤
     rest  ├── today's window ──┤        ├── tomorrow's ───┼──────┤
     of a    a profile: anywhere           ▒▒▒▒
     cycle   in the window                 firm at the habit

A profile must run inside the horizon. A window that reaches past its end is therefore announced as
what comes without set-points: a profile without slack at the habit, cut at the horizon's end, for
nothing but profiles tells a clearing what an appliance draws. So the expected power is always one
of the schedules of the profiles, and the smallest injection is the largest power of any of them.

Arrays are ``(appliance, ...)``; steps are numbered, and a window belongs to one local day.
Injection is positive but in ``cycle_kw``, where consumption is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import compose
from peergrid.devices.site import Room

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

ON_GRID = 1e-9
"""Part of a step by which a time may miss its start and still counts as it (round-off)."""

TOLERANCE_KW = 1e-6
"""A cycle fits into the room of its connection point up to this much (round-off)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Appliances:
    """n appliances, one entry each.

    Parameters
    ----------
    cycle_kw
        ``(n, L)`` power drawn in each step of a cycle; zero after its length.
    length
        ``(n,)`` steps of a cycle.
    cycles_per_day
        ``(n,)`` cycles of a day.
    tan_phi
        ``(n,)`` reactive over active power drawn.
    earliest_h, latest_h, habit_h
        ``(n,)`` local hours of day, 0 to 24: when the first cycle may begin, by when the last one
        has ended, and when the first one begins if nobody asks.
    """

    cycle_kw: Floats
    length: Indices
    cycles_per_day: Indices
    tan_phi: Floats
    earliest_h: Floats
    latest_h: Floats
    habit_h: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """The windows of one local day in steps, ``(n,)`` each.

    Parameters
    ----------
    first, end
        First step that a cycle may run in, and the one by whose start the last one has ended.
    habit
        Step of the habit.
    count
        Cycles of the day.
    """

    first: Indices
    end: Indices
    habit: Indices
    count: Indices


@dataclass(frozen=True, kw_only=True, eq=False)
class Progress:
    """How far the day has come, ``(n,)`` each.

    Parameters
    ----------
    age
        Steps that the cycle in progress has run; 0: none is.
    left
        Cycles of the day that have not begun.
    """

    age: Indices
    left: Indices


def cycle_of(phases_kw: Sequence[float], phase_s: float, step_s: float) -> Floats:
    """Mean power in each step of a cycle [kW]; its energy is that of the phases.

    Parameters
    ----------
    phases_kw
        Power of phases that are ``phase_s`` seconds long each.
    step_s
        Length of a step; the last one may be filled in part.

    Examples
    --------
    >>> cycle_of([2.0, 0.4, 1.0], 1800.0, 3600.0).tolist()
    [1.2, 0.5]
    >>> cycle_of([2.0, 1.0], 1800.0, 900.0).tolist()
    [2.0, 2.0, 1.0, 1.0]
    """
    begin = phase_s * np.arange(len(phases_kw))
    steps = int(np.ceil(len(phases_kw) * phase_s / step_s - ON_GRID))
    at = step_s * np.arange(steps)[:, None]
    overlap = np.minimum(begin + phase_s, at + step_s) - np.maximum(begin, at)
    return np.asarray(np.maximum(overlap, 0.0) @ np.asarray(phases_kw, dtype=np.float64) / step_s)


def window(appliances: Appliances, earliest: Floats, latest: Floats, habit: Floats) -> Window:
    """Windows of a day from the instants of its hours.

    Parameters
    ----------
    earliest, latest, habit
        Where the hours of the appliances lie on that day, ``(n,)`` in steps, broken ones too.
    """
    first, end = _at_or_after(earliest), -_at_or_after(-latest)
    fit = np.maximum(end - first, 0) // appliances.length
    count = np.minimum(appliances.cycles_per_day, fit)
    return Window(first=first, end=end, habit=_at_or_after(habit), count=count)


def usual_window(appliances: Appliances, dt_h: float) -> Window:
    """Windows of a day of 24 hours whose first step begins at midnight, counted from there."""
    hours = (appliances.earliest_h, appliances.latest_h, appliances.habit_h)
    return window(appliances, *(hour / dt_h for hour in hours))


def _at_or_after(instant: Floats) -> Indices:
    """First step that does not begin before an instant."""
    return np.ceil(instant - ON_GRID).astype(np.int64)


def _by_habit(appliances: Appliances, day: Window, left: Indices, free: Indices) -> Indices:
    """Where the cycles left begin without set-points, if the appliance is free from ``free`` on."""
    wish = np.maximum(np.maximum(day.habit, day.first), free)
    return np.minimum(wish, day.end - left * appliances.length)


def at_start(appliances: Appliances, day: Window) -> Progress:
    """Progress before step 0, which may lie inside a day: habits before it count as done."""
    idle = np.zeros_like(day.count)
    begin = _by_habit(appliances, day, day.count, day.first)
    done = -(np.minimum(begin, 0) // appliances.length)
    return Progress(age=idle, left=np.maximum(day.count - done, 0))


def follow(
    appliances: Appliances,
    progress: Progress,
    day: Window,
    index: int,
    p_set_kw: Floats,
    room: Room,
) -> tuple[Floats, Progress]:
    """One step: a cycle that runs goes on; else one begins if it must, or may and is wanted.

    A set-point (NaN: none) wants a cycle if it asks for half of its first step's power or more;
    without set-point it is wanted from the habit on. A cycle that may begin does so only if its
    first step fits into the room of the connection point; one that must, begins regardless.

    Parameters
    ----------
    progress
        Before the step; on the first one of a day ``left`` is the day's ``count``.
    day
        Windows of the day of the step.
    index
        Number of the step.
    p_set_kw
        Set-points, ``(n,)``, injection positive.
    room
        What the connection points leave.

    Returns
    -------
    Injection ``(n,)`` [kW], and the progress after the step.
    """
    asked_kw = appliances.cycle_kw[:, 0]
    least_kw, _ = room.within(0.0 - asked_kw, np.zeros_like(asked_kw))
    unasked = np.isnan(p_set_kw)
    wanted = np.where(unasked, index >= day.habit, 0.0 - p_set_kw >= 0.5 * asked_kw)
    latest_start = day.end - progress.left * appliances.length
    free = (progress.age == 0) & (progress.left > 0) & (day.first <= index)
    may = (index <= latest_start) & wanted & (least_kw <= TOLERANCE_KW - asked_kw)
    begins = free & (may | (index == latest_start))
    runs = begins | (progress.age > 0)
    rows = np.arange(len(runs))
    p_kw = np.where(runs, 0.0 - appliances.cycle_kw[rows, progress.age], 0.0)
    age = np.where(runs, progress.age + 1, 0)
    age = np.where(age == appliances.length, 0, age)
    return p_kw, Progress(age=age, left=progress.left - begins)


def messages(
    appliances: Appliances,
    progress: Progress,
    days: Sequence[Window],
    *,
    first_step: int,
    steps: int,
    t0_s: float,
    dt_s: float,
) -> list[dict[str, Any]]:
    """Flexibility over the ``steps`` from ``first_step`` on; see the module's text.

    Parameters
    ----------
    progress
        Before ``first_step``, of its day.
    days
        Windows of the local days of these steps, in their order.
    """
    rest = np.where(progress.age > 0, appliances.length - progress.age, 0)
    free = first_step + rest
    left = [progress.left, *(day.count for day in days[1:])]
    spans = [
        np.stack(
            [np.maximum(day.first, free), day.end, _by_habit(appliances, day, count, free)], axis=1
        )
        - first_step
        for day, count in zip(days, left, strict=True)
    ]
    sent = []
    for i, tan_phi in enumerate(appliances.tan_phi.tolist()):
        cycle_kw = appliances.cycle_kw[i, : appliances.length[i]].tolist()
        running = cycle_kw[int(progress.age[i]) :][: min(int(rest[i]), steps)]
        found = [(_fixed(running, 0), 0)] if running else []
        for span, count in zip(spans, left, strict=True):
            earliest, latest, begin = span[i].tolist()
            profile = _profile(cycle_kw, int(count[i]), (earliest, latest, begin), steps)
            found += [(profile, begin)] if profile else []
        sent.append(_message(found, tan_phi, steps=steps, t0_s=t0_s, dt_s=dt_s))
    return sent


def _fixed(p_kw: list[float], begin: int) -> dict[str, Any]:
    """A profile without slack."""
    return {"p_kw": p_kw, "earliest": begin, "latest": begin + len(p_kw), "count": 1}


def _profile(
    cycle_kw: list[float], count: int, span: tuple[int, int, int], steps: int
) -> dict[str, Any] | None:
    """Profile of a day's cycles from ``(earliest, latest, begin)``; None: nothing to announce."""
    earliest, latest, begin = span
    if count and latest <= steps:
        return {"p_kw": cycle_kw, "earliest": earliest, "latest": latest, "count": count}
    firm = (cycle_kw * count)[: max(steps - begin, 0)]
    return _fixed(firm, begin) if firm else None


def _message(
    found: list[tuple[dict[str, Any], int]],
    tan_phi: float,
    *,
    steps: int,
    t0_s: float,
    dt_s: float,
) -> dict[str, Any]:
    """The message of one appliance from its profiles, each with where it begins by habit."""
    least, most, usual = np.zeros((3, steps))
    for profile, begin in found:
        power = np.tile(profile["p_kw"], profile["count"])
        inside = slice(profile["earliest"], profile["latest"])
        slack = profile["latest"] - profile["earliest"] - len(power)
        reach = np.lib.stride_tricks.sliding_window_view(np.pad(power, slack), slack + 1)
        most[inside] += reach.max(axis=1)
        least[inside] += 0.0 if slack else power
        usual[begin : begin + len(power)] += power
    return compose(
        kind="PPBC",
        t0_s=t0_s,
        dt_s=dt_s,
        p_min_kw=0.0 - most,
        p_max_kw=0.0 - least,
        p_ref_kw=0.0 - usual,
        q_ref_kvar=0.0 - tan_phi * usual,
        q={"tan_phi": tan_phi} if tan_phi else None,
        profiles=[profile for profile, _ in found],
    )
