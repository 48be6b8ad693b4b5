"""What the clients own, as flexibility messages over their day: the devices' own, no copies."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from peergrid.devices import appliance, battery, building, ev, fleet
from peergrid.devices.flexibility import Flexibility, compose, parse
from peergrid.errors import DataError
from peergrid.inputs.forecast import ForecastModel, Kind
from peergrid.study.households.clients import Client, Sizes
from peergrid.study.households.profiles import TAN_PHI, Profiles

Floats = NDArray[np.float64]

WASHING_MACHINE_KW = (2.0, 2.0, 0.3, 0.2, 0.2, 0.3, 0.4, 0.4)
DISHWASHER_KW = (0.1, 1.8, 1.8, 0.1, 0.1, 1.6, 0.8, 0.1)
"""Power of one machine in quarters of an hour: heating, then turning. Typical, assumed."""

PHASE_S = 900.0
WINDOWS_H = {"washing machine": (8.0, 22.0, 18.0), "dishwasher": (12.0, 24.0, 20.0)}
"""From when, by when, and when by habit (assumed)."""

ETA = 0.95
WEAR_EUR_PER_KWH = 0.005
EV_SOC = 0.6
SCHOOL_HOMES = 20.0
"""Homes that a school or an industry counts as when forecasts are made (assumed)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Resource:
    """A device of a client: its message, what its forecast errors are like, their size ``(T,)``."""

    name: str
    owner: int
    message: Flexibility
    kind: Kind | None = None
    sigma_kw: Floats
    travels: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class _Day:
    """The clients' day in steps."""

    profiles: Profiles
    sizes: Sizes

    @property
    def steps(self) -> int:
        return self.profiles.span.n_total

    @property
    def step_s(self) -> float:
        return float(self.profiles.span.step_s)

    @property
    def dt_h(self) -> float:
        return self.step_s / 3600.0

    def head(self) -> dict[str, float]:
        return {"t0_s": 0.0, "dt_s": self.step_s, "dt_h": self.dt_h}


def resources(found: tuple[Client, ...], profiles: Profiles, sizes: Sizes) -> tuple[Resource, ...]:
    """All devices of all clients."""
    day = _Day(profiles=profiles, sizes=sizes)
    return tuple(made for i, client in enumerate(found) for made in _of_client(i, client, day))


def _of_client(i: int, client: Client, day: _Day) -> Iterator[Resource]:
    yield _load(i, client, day)
    scale = client.homes / day.sizes.homes
    if client.pv:
        yield _pv(i, client, day, scale)
    if client.flexible:
        yield _cycles(i, client, day, "washing machine", WASHING_MACHINE_KW)
        yield _cycles(i, client, day, "dishwasher", DISHWASHER_KW)
        yield _hvac(i, client, day)
    if client.ess:
        yield _ess(i, client, day, scale)
    if client.ev:
        yield _ev(i, client, day, scale)


def _load(i: int, client: Client, day: _Day) -> Resource:
    drawn = day.profiles.load_kw[i]
    homes = np.array(client.homes if client.kind == "home" else SCHOOL_HOMES)
    sigma = ForecastModel(seed=0).sigma("load", _lead_h(day), homes)
    message = compose(
        kind="PEBC",
        t0_s=0.0,
        dt_s=day.step_s,
        p_min_kw=-drawn,
        p_max_kw=-drawn,
        p_ref_kw=-drawn,
        q_ref_kvar=-TAN_PHI * drawn,
    )
    return Resource(
        name=f"{client.name} load",
        owner=i,
        message=parse(message),
        kind="load",
        sigma_kw=drawn.mean() * sigma,
    )


def _pv(i: int, client: Client, day: _Day, scale: float) -> Resource:
    offered = day.profiles.pv_kw[i]
    sizes = day.sizes
    kwp = scale * (sizes.school_pv_kwp if client.kind == "school" else sizes.pv_kwp)
    sigma = kwp * ForecastModel(seed=0).sigma("pv", _lead_h(day))
    message = compose(
        kind="PEBC",
        t0_s=0.0,
        dt_s=day.step_s,
        p_min_kw=0.0 * offered,
        p_max_kw=offered,
        p_ref_kw=offered,
    )
    return Resource(
        name=f"{client.name} PV",
        owner=i,
        message=parse(message),
        kind="pv",
        sigma_kw=np.where(offered > 0.0, sigma, 0.0),
    )


def _cycles(i: int, client: Client, day: _Day, what: str, phases_kw: tuple[float, ...]) -> Resource:
    """One in so many homes runs its machine on this day, all at once."""
    machines = client.homes * day.sizes.appliance_share
    cycle = machines * appliance.cycle_of(phases_kw, PHASE_S, day.step_s)
    earliest, latest, habit = WINDOWS_H[what]
    one = appliance.Appliances(
        cycle_kw=cycle[None],
        length=np.array([len(cycle)]),
        cycles_per_day=np.ones(1, dtype=np.int64),
        tan_phi=np.zeros(1),
        earliest_h=np.array([earliest]),
        latest_h=np.array([latest]),
        habit_h=np.array([habit]),
    )
    window = appliance.usual_window(one, day.dt_h)
    sent = appliance.messages(
        one,
        appliance.at_start(one, window),
        [window],
        first_step=0,
        steps=day.steps,
        t0_s=0.0,
        dt_s=day.step_s,
    )
    return _certain(f"{client.name} {what}", i, day, sent[0])


def _hvac(i: int, client: Client, day: _Day) -> Resource:
    sizes = day.sizes
    homes = building.Buildings(
        p_max_kw=np.array([sizes.hvac_kw]),
        cop=np.array([sizes.hvac_cop]),
        r_k_per_kw=np.array([sizes.home_k_per_kw]),
        c_kwh_per_k=np.array([sizes.home_kwh_per_k]),
        theta_min_c=np.array([sizes.comfort_c[0]]),
        theta_max_c=np.array([sizes.comfort_c[1]]),
        theta_set_c=np.array([sizes.comfort_c[1] - 1.0]),
        cools=np.array([True]),
        gains_kw=np.array([sizes.home_gains_kw]),
        tan_phi=np.zeros(1),
    ).times(np.array([client.homes * sizes.hvac_share]))
    start, outside = np.array([sizes.theta_start_c]), day.profiles.t_air_c[None]
    missed = int(building.first_out_of_band(homes, start, outside, day.dt_h)[0])
    if missed >= 0:
        low, high = sizes.comfort_c
        where = f"household {client.name}, HVAC, hour {missed * day.dt_h:g}"
        allowed = f"a band that the cooling can hold at {outside[0, missed]:.1f} C outside"
        raise DataError(where, "comfort_c", f"{low:g} to {high:g} C", allowed)
    sent = building.messages(homes, start, outside, **day.head())[0]
    return _certain(f"{client.name} HVAC", i, day, sent)


def _ess(i: int, client: Client, day: _Day, scale: float) -> Resource:
    sizes = day.sizes
    capacity = scale * (sizes.school_ess_kwh if client.kind == "school" else sizes.ess_kwh)
    one = battery.Batteries(
        capacity_kwh=np.array([capacity]),
        p_max_kw=np.array([capacity / sizes.ess_hours]),
        eta_charge=np.array([ETA]),
        eta_discharge=np.array([ETA]),
        soc_min=np.array([0.1]),
        soc_end=np.array([0.5]),
        wear_eur_per_kwh=np.array([WEAR_EUR_PER_KWH]),
        wear_rise_eur_per_kwh=np.zeros(1),
    )
    sent = battery.messages(one, np.array([0.5 * capacity]), steps=day.steps, **day.head())
    return _certain(f"{client.name} ESS", i, day, sent[0])


def _ev(i: int, client: Client, day: _Day, scale: float) -> Resource:
    """The client's vehicles as one: they leave and come home together, full when they leave."""
    vehicles = day.sizes.ev_count * scale
    one = ev.Vehicles(
        capacity_kwh=np.array([day.sizes.ev_kwh * vehicles]),
        p_max_kw=np.array([day.sizes.ev_kw * vehicles]),
        eta_charge=np.array([ETA]),
        eta_discharge=np.array([ETA]),
        soc_min=np.array([0.2]),
        soc_departure=np.ones(1),
        v2g=np.ones(1, dtype=bool),
    )
    per_day = round(24.0 / day.dt_h)
    hour = np.arange(day.steps + per_day) * day.dt_h % 24.0
    leaves, back = day.profiles.depart_h[i], day.profiles.return_h[i]
    plugged = ((hour < leaves) | (hour >= back))[None]
    used = np.zeros(plugged.shape)
    used[0, round(back / day.dt_h) - 1 :: per_day] = day.sizes.ev_trip_kwh * vehicles
    trips = ev.itinerary(one, plugged, used, day.dt_h).window(0, day.steps)
    now = EV_SOC * one.capacity_kwh
    sent, _ = fleet.messages(
        one,
        np.array([WEAR_EUR_PER_KWH]),
        now,
        trips,
        np.array([0, 1]),
        t0_s=0.0,
        dt_s=day.step_s,
        dt_h=day.dt_h,
        rise_eur_per_kwh=np.zeros(1),
    )
    least = sent[0]["e_min_kwh"]
    # the day ends as it began: (29) has no such wish
    ending = {**sent[0], "e_min_kwh": [*least[:-1], max(least[-1], float(now[0]))]}
    return _certain(f"{client.name} EV", i, day, ending, travels=True)


def _certain(
    name: str, owner: int, day: _Day, message: object, *, travels: bool = False
) -> Resource:
    return Resource(
        name=name,
        owner=owner,
        message=parse(message),
        sigma_kw=np.zeros(day.steps),
        travels=travels,
    )


def _lead_h(day: _Day) -> Floats:
    """Hours from the beginning of the day to the end of each step, ``(T,)``."""
    return np.arange(1, day.steps + 1, dtype=np.float64) * day.dt_h
