"""Loads that may move their consumption within the day, but not out of it.

A load draws between zero and its largest power, and over each local day what its rated power would
draw (its quota): never more, and less only where the connection point leaves no room. What is then
missing at the day's end is not made up for later::

    drawn
    quota ┤          ╱──────   at most the quota of the day in progress
          │       ╱     ╱
          │    ╱     ╱         at least what full power can still bring to the quota
        0 ┼─╱─────╱────────
          midnight      midnight

A horizon may end inside a day: there no less than the part of the quota that the hours gone by
would have drawn at rated power is required, or a clearing that looks a fixed number of hours ahead
would postpone everything again and again.

Arrays are ``(load, time)``; injection is positive, so all powers of these loads are negative.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import compose
from peergrid.devices.site import Room
from peergrid.devices.storage import feasible_energy_bounds

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

TOLERANCE_KWH = 1e-6
"""A quota counts as met down to this much below it (round-off)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FlexibleLoads:
    """n flexible loads, one entry each.

    Parameters
    ----------
    p_rated_kw, p_max_kw
        Mean power over a day, and the largest.
    discomfort_eur_per_kw2h
        An hour at p kW costs ``discomfort * (p - rated)^2``.
    tan_phi
        Reactive over active power drawn.
    """

    p_rated_kw: Floats
    p_max_kw: Floats
    discomfort_eur_per_kw2h: Floats
    tan_phi: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Days:
    """Where T steps lie in their local days; a step belongs to the day that it begins on.

    Parameters
    ----------
    step
        ``(T,)`` number of each step.
    first, end
        ``(T,)`` first step of its day, and the one after the last.
    """

    step: Indices
    first: Indices
    end: Indices

    def length_h(self, dt_h: float) -> Floats:
        """Length of the day of each step, ``(T,)`` [h]."""
        return np.asarray((self.end - self.first) * dt_h, dtype=np.float64)

    def after_h(self, dt_h: float) -> Floats:
        """What is left of its day at the end of each step, ``(T,)`` [h]."""
        return np.asarray((self.end - self.step - 1) * dt_h, dtype=np.float64)


def follow(
    loads: FlexibleLoads,
    left_kwh: Floats,
    p_set_kw: Floats,
    room: Room,
    *,
    after_h: float,
    dt_h: float,
) -> Floats:
    """Injection of one step, ``(n,)`` [kW].

    The set-point (NaN: rated power) is cut to the powers from which the quota can still be met
    and is not exceeded; only the room of the connection point comes before the quota.

    Parameters
    ----------
    left_kwh
        What is missing to the day's quota, ``(n,)``.
    p_set_kw
        Set-points, ``(n,)``.
    room
        What the connection points leave.
    after_h
        What is left of the day after this step.
    """
    may = np.minimum(loads.p_max_kw, np.maximum(left_kwh, 0.0) / dt_h)
    must = np.clip((left_kwh - loads.p_max_kw * after_h) / dt_h, 0.0, may)
    asked = np.where(np.isnan(p_set_kw), loads.p_rated_kw, -p_set_kw)
    least, most = room.within(-may, np.zeros_like(may))
    return np.asarray(np.clip(0.0 - np.clip(asked, must, may), least, most) + 0.0)


def missed_kwh(left_kwh: Floats) -> Floats:
    """What of a quota was not drawn when its day ends, ``(n,)`` [kWh].

    >>> missed_kwh(np.array([3.0, 1e-12])).tolist()
    [3.0, 0.0]
    """
    return np.where(left_kwh > TOLERANCE_KWH, left_kwh, 0.0)


def corridor(loads: FlexibleLoads, e_kwh: Floats, days: Days, dt_h: float) -> tuple[Floats, Floats]:
    """Least and most energy drawn since the first step's day began, ``(n, H+1)`` each [kWh].

    At the end of each day at least the quotas up to then, never above that of the day in
    progress. What the first day cannot reach any more is left out of its quota.

    Parameters
    ----------
    e_kwh
        Drawn on the first step's day so far, ``(n,)``.
    days
        The steps of the horizon.

    Examples
    --------
    Two steps before midnight 3 of 8 kWh are missing; then a day of four
    steps begins at a rated power of 2 kW.

    >>> one = FlexibleLoads(p_rated_kw=np.array([2.0]), p_max_kw=np.array([3.0]),
    ...     discomfort_eur_per_kw2h=np.zeros(1), tan_phi=np.zeros(1))
    >>> days = Days(step=np.array([2, 3, 4, 5]), first=np.array([0, 0, 4, 4]),
    ...     end=np.array([4, 4, 8, 8]))
    >>> low, top = corridor(one, np.array([5.0]), days, 1.0)
    >>> low.tolist(), top.tolist()
    ([[2.0, 5.0, 8.0, 9.0, 12.0]], [[8.0, 8.0, 8.0, 16.0, 16.0]])
    """
    rated, length, after = loads.p_rated_kw[:, None], days.length_h(dt_h), days.after_h(dt_h)
    left = rated[:, 0] * length[0] - e_kwh
    reach = np.clip(left, 0.0, loads.p_max_kw * (after[0] + dt_h))
    begins = np.concatenate([[False], np.diff(days.first) != 0])
    most = (e_kwh + reach)[:, None] + rated * np.cumsum(np.where(begins, length, 0.0))
    required = (days.after_h(dt_h) == 0.0) | (np.arange(len(after)) == len(after) - 1)
    wish = np.where(required, most - rated * after, 0.0)
    wish, top = np.hstack([np.zeros_like(left)[:, None], wish]), np.hstack([most[:, :1], most])
    charge = np.repeat((loads.p_max_kw * dt_h)[:, None], len(after), axis=1)
    low = feasible_energy_bounds(e_kwh, wish, top, charge, np.zeros_like(charge)).low_kwh
    return low, top


def messages(
    loads: FlexibleLoads, e_kwh: Floats, days: Days, *, t0_s: float, dt_s: float, dt_h: float
) -> list[dict[str, Any]]:
    """Flexibility over the steps of ``days``: a storage that is only charged.

    ``e_kwh`` ``(n,)`` was drawn on the first step's day so far. The bounds can always be met.
    """
    steps = len(days.step)
    low, top, now = (e.tolist() for e in (*corridor(loads, e_kwh, days, dt_h), e_kwh))
    rated, most, discomfort, tan_phi = (
        values.tolist()
        for values in (
            loads.p_rated_kw,
            loads.p_max_kw,
            loads.discomfort_eur_per_kw2h,
            loads.tan_phi,
        )
    )
    return [
        compose(
            kind="FRBC",
            t0_s=t0_s,
            dt_s=dt_s,
            p_min_kw=[-most[i]] * steps,
            p_max_kw=[0.0] * steps,
            p_ref_kw=[-rated[i]] * steps,
            q_ref_kvar=[-tan_phi[i] * rated[i]] * steps,
            e_min_kwh=low[i],
            e_max_kwh=top[i],
            e_now_kwh=now[i],
            cost={"discomfort_eur_per_kw2h": discomfort[i]},
            q={"tan_phi": tan_phi[i]} if tan_phi[i] else None,
        )
        for i in range(len(now))
    ]
