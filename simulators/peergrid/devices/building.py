"""Buildings heated or cooled by a heat pump: one temperature, one resistance, a comfort band.

The indoor temperature is that of S. F. Santos, J. T. R. A. Branco, G. J. Osório, J. P. S. Catalão,
"Impact of P2P Market Transactions on Distribution Network Congestion Considering Physical
Constraints", eq. 30, as mended: the driving temperature has the weight ``1 - beta`` (insulation
without end, ``beta = 1``, leaves a building as warm as it is), and cooling the opposite sign::

    theta[t+1] = beta theta[t] + (1 - beta) (theta_out[t] + R (gains + s COP P[t]))
    beta = exp(-dt / (R C)),   s = 1 heating, -1 cooling,   0 <= P <= p_max

This is the exact solution of ``C dtheta/dt = (theta_out - theta) / R + gains + s COP P`` for inputs
that are constant over the step, so steps of any length agree.

To the market a building is a storage that is only charged. It holds ``C (theta - theta_min)`` when
heated and ``C (theta_max - theta)`` when cooled.

Arrays are ``(building, time)``; injection is positive, so all powers of buildings are negative.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peergrid.devices.flexibility import compose
from peergrid.devices.site import Room

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

TOLERANCE_K = 1e-9
"""The band counts as kept down to this much outside it (round-off)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Buildings:
    """n buildings, one entry each.

    Parameters
    ----------
    p_max_kw
        Largest electrical power of the heat pump.
    cop
        Coefficient of performance: heat moved over electrical power.
    r_k_per_kw, c_kwh_per_k
        Thermal resistance to the outside, and heat capacity.
    theta_min_c, theta_max_c, theta_set_c
        Comfort band, and what the thermostat holds without a set-point.
    cools
        Whether heat is moved out instead of in.
    gains_kw
        Heat from people, sun and appliances.
    tan_phi
        Reactive over active power drawn.
    """

    p_max_kw: Floats
    cop: Floats
    r_k_per_kw: Floats
    c_kwh_per_k: Floats
    theta_min_c: Floats
    theta_max_c: Floats
    theta_set_c: Floats
    cools: Flags
    gains_kw: Floats
    tan_phi: Floats

    def times(self, homes: Floats) -> "Buildings":
        """Each entry stands for ``homes`` ``(n,)`` alike homes in step, as one building.

        Powers, gains and capacities add up, resistances are in parallel: the temperature is that
        of one home.
        """
        return replace(
            self,
            p_max_kw=self.p_max_kw * homes,
            gains_kw=self.gains_kw * homes,
            c_kwh_per_k=self.c_kwh_per_k * homes,
            r_k_per_kw=self.r_k_per_kw / homes,
        )

    @property
    def sign(self) -> Floats:
        """What the heat pump does to the temperature: 1 heats, -1 cools, ``(n,)``."""
        return np.where(self.cools, -1.0, 1.0)

    @property
    def empty_c(self) -> Floats:
        """The end of the band that the heat pump keeps the temperature away from, ``(n,)`` [C]."""
        return np.where(self.cools, self.theta_max_c, self.theta_min_c)

    @property
    def capacity_kwh(self) -> Floats:
        """What the band holds, ``(n,)`` [kWh]."""
        return self.c_kwh_per_k * (self.theta_max_c - self.theta_min_c)

    def leak(self, dt_h: float) -> Floats:
        """Share ``1 - beta`` of the way to the driving temperature gone in a step, ``(n,)``."""
        return -np.expm1(-dt_h / (self.r_k_per_kw * self.c_kwh_per_k))

    def kwh_per_kw(self, dt_h: float) -> Floats:
        """Heat moved, and still there at the end of a step, per electrical power, ``(n,)``."""
        return self.cop * self.r_k_per_kw * self.c_kwh_per_k * self.leak(dt_h)

    def stored_kwh(self, theta_c: Floats) -> Floats:
        """Heat or cold above the empty end of the band, ``(n,)``; negative beyond it."""
        return self.sign * self.c_kwh_per_k * (theta_c - self.empty_c)

    def demand_kwh(self, t_out_c: Floats, dt_h: float) -> Floats:
        """What weather and gains draw off in each step, ``(n, H)``; negative: they help.

        What is left of eq. 30 when the stored energy takes the place of the temperature.
        """
        free_c = t_out_c + (self.r_k_per_kw * self.gains_kw)[:, None]
        per_k = self.sign * self.c_kwh_per_k * self.leak(dt_h)
        return np.asarray(per_k[:, None] * (self.empty_c[:, None] - free_c))


def end_c(
    buildings: Buildings, theta_c: Floats, t_out_c: Floats, p_kw: Floats, dt_h: float
) -> Floats:
    """Temperature at the end of a step by eq. 30, ``(n,)`` [C]; power drawn positive.

    Examples
    --------
    30 C are driving (10 outside, 2 K/kW times 1 kW gains and 3 * 3 kW of heat), half of the way
    from 20 C there lies behind after ``R C log 2`` hours.

    >>> one = Buildings(p_max_kw=np.array([3.0]), cop=np.array([3.0]), r_k_per_kw=np.array([2.0]),
    ...     c_kwh_per_k=np.array([4.0]), theta_min_c=np.array([20.0]), cools=np.array([False]),
    ...     theta_max_c=np.array([24.0]), theta_set_c=np.array([22.0]), gains_kw=np.array([1.0]),
    ...     tan_phi=np.zeros(1))
    >>> end = end_c(one, np.array([20.0]), np.array([10.0]), np.array([3.0]), 8.0 * np.log(2.0))
    >>> end.round(9).tolist()
    [25.0]
    """
    heat = buildings.gains_kw + buildings.sign * buildings.cop * p_kw
    driving = t_out_c + buildings.r_k_per_kw * heat
    return np.asarray(theta_c + buildings.leak(dt_h) * (driving - theta_c))


def power_kw(
    buildings: Buildings, theta_c: Floats, t_out_c: Floats, target_c: Floats, dt_h: float
) -> Floats:
    """Power drawn, ``(n,)`` [kW], that ends a step at a temperature, as far as 0 to full does."""
    idle = end_c(buildings, theta_c, t_out_c, np.zeros_like(theta_c), dt_h)
    missing_kwh = buildings.sign * buildings.c_kwh_per_k * (target_c - idle)
    return np.clip(missing_kwh / buildings.kwh_per_kw(dt_h), 0.0, buildings.p_max_kw)


def follow(
    buildings: Buildings,
    theta_c: Floats,
    t_out_c: Floats,
    p_set_kw: Floats,
    room: Room,
    dt_h: float,
) -> tuple[Floats, Floats]:
    """Injection of one step [kW] and the temperature at its end [C], ``(n,)`` each.

    The set-point is cut to the powers that end the step inside the band (outside of it: full power
    below, none above when heating, as far as that is needed); without one (NaN) the thermostat
    holds its temperature. Only the room of the connection point comes before comfort. A set-point
    is cut for this step alone: nothing is stored for worse weather that is to come.

    Parameters
    ----------
    theta_c
        Temperature at the start, ``(n,)``.
    t_out_c
        Realised outdoor temperature, ``(n,)``; where it is NaN so are the results.
    p_set_kw
        Set-points, ``(n,)``.
    room
        What the connection points leave.
    """
    cold, warm, held = (
        power_kw(buildings, theta_c, t_out_c, target, dt_h)
        for target in (buildings.theta_min_c, buildings.theta_max_c, buildings.theta_set_c)
    )
    must, may = np.minimum(cold, warm), np.maximum(cold, warm)
    wanted = np.where(np.isnan(p_set_kw), held, np.clip(-p_set_kw, must, may))
    least, most = room.within(-buildings.p_max_kw, np.zeros_like(wanted))
    p_kw = np.clip(0.0 - wanted, least, most) + 0.0
    return p_kw, end_c(buildings, theta_c, t_out_c, 0.0 - p_kw, dt_h)


def discomfort_kh(buildings: Buildings, theta_c: Floats, dt_h: float) -> Floats:
    """Distance to the band at the end of a step times its length, ``(n,)`` [K h].

    It is that of one home, however many an entry stands for.
    """
    outside = np.maximum(buildings.theta_min_c - theta_c, theta_c - buildings.theta_max_c)
    return np.where(outside > TOLERANCE_K, outside * dt_h, 0.0)


def thermostat_kw(buildings: Buildings, theta_c: Floats, t_out_c: Floats, dt_h: float) -> Floats:
    """What thermostats draw over outdoor temperatures ``(n, H)`` to come, ``(n, H)`` [kW]."""
    drawn, theta = np.empty(t_out_c.shape), theta_c
    for t, t_out in enumerate(t_out_c.T):
        drawn[:, t] = power_kw(buildings, theta, t_out, buildings.theta_set_c, dt_h)
        theta = end_c(buildings, theta, t_out, drawn[:, t], dt_h)
    return drawn


def corridor(
    buildings: Buildings, theta_c: Floats, t_out_c: Floats, dt_h: float
) -> tuple[Floats, Floats]:
    """Least and most energy stored that keep the band, or come nearest to it, ``(n, H+1)`` [kWh].

    Forward, with ``[least, most]`` what can be reached inside the bounds so far::

        least' = keep least - demand                  low[t+1] = min(0, most')
        most' = keep most + full power - demand       top[t+1] = max(capacity, least')

    To every point of the interval inside the bounds leads one before it: some schedule meets them
    all. (:func:`peergrid.devices.storage.feasible_energy_bounds` knows no leak.)

    Parameters
    ----------
    theta_c
        Temperature now, ``(n,)``.
    t_out_c
        Outdoor temperatures of the steps to come, ``(n, H)``; from a NaN on all bounds are NaN.
    """
    demand = buildings.demand_kwh(t_out_c, dt_h)
    keep, capacity = 1.0 - buildings.leak(dt_h), buildings.capacity_kwh
    full = buildings.kwh_per_kw(dt_h) * buildings.p_max_kw
    low = np.empty((len(theta_c), t_out_c.shape[1] + 1))
    top = np.empty_like(low)
    least = most = buildings.stored_kwh(theta_c)
    low[:, 0], top[:, 0] = np.minimum(0.0, most), np.maximum(capacity, least)
    for t, drawn in enumerate(demand.T):
        least, most = keep * least - drawn, keep * most + full - drawn
        low[:, t + 1], top[:, t + 1] = np.minimum(0.0, most), np.maximum(capacity, least)
        least, most = np.maximum(least, low[:, t + 1]), np.minimum(most, top[:, t + 1])
    return low, top


def first_out_of_band(
    buildings: Buildings, theta_c: Floats, t_out_c: Floats, dt_h: float
) -> Indices:
    """First step at whose end no schedule can be inside the band, ``(n,)``; -1: there is none.

    All steps before it count as prepared for it (preheated, as far as the band allows). An unknown
    outdoor temperature (NaN in ``t_out_c`` ``(n, H)``) blames nobody.
    """
    low, top = corridor(buildings, theta_c, t_out_c, dt_h)
    slack = (TOLERANCE_K * buildings.c_kwh_per_k)[:, None]
    above = top[:, 1:] > buildings.capacity_kwh[:, None] + slack
    out = (low[:, 1:] < -slack) | above
    return np.where(out.any(axis=1), out.argmax(axis=1), -1)


def messages(
    buildings: Buildings,
    theta_c: Floats,
    t_out_c: Floats,
    *,
    t0_s: float,
    dt_s: float,
    dt_h: float,
) -> list[dict[str, Any] | None]:
    """Flexibility over outdoor temperatures ``(n, H)``: a storage that is only charged.

    Where one of them is unknown (NaN) a building says nothing (None). The bounds can always be
    met. What is expected of a building is what its thermostat does.
    """
    low, top = corridor(buildings, theta_c, t_out_c, dt_h)
    drawn = thermostat_kw(buildings, theta_c, t_out_c, dt_h)
    columns = {
        "p_min_kw": np.broadcast_to(0.0 - buildings.p_max_kw[:, None], drawn.shape),
        "p_max_kw": np.zeros_like(drawn),
        "p_ref_kw": 0.0 - drawn,
        "q_ref_kvar": 0.0 - buildings.tan_phi[:, None] * drawn,
        "e_min_kwh": low,
        "e_max_kwh": top,
        "e_now_kwh": buildings.stored_kwh(theta_c),
        "eta_charge": buildings.kwh_per_kw(dt_h) / dt_h,
        "leak": buildings.leak(dt_h),
        "demand_kwh": buildings.demand_kwh(t_out_c, dt_h),
    }
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    sent: list[dict[str, Any] | None] = []
    for values, tan_phi, t_out in zip(rows, buildings.tan_phi.tolist(), t_out_c, strict=True):
        parts = dict(zip(columns, values, strict=True))
        parts["q"] = {"tan_phi": tan_phi} if tan_phi else None
        message = compose(kind="FRBC", t0_s=t0_s, dt_s=dt_s, **parts)
        sent.append(message if np.isfinite(t_out).all() else None)
    return sent
