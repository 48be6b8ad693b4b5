"""A seeded day of the clients: load, sun, temperature, prices, tours.

Load is made of SimBench's measured households and businesses, sun and temperature are those of a
test reference year, so a seed is a weekday of early summer with its own mixture of households.
The tariff is ours: the published one is only drawn, with peaks at 12 and at 19 hours.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peergrid.devices import pv
from peergrid.inputs.load_shapes import simbench, simbench_year
from peergrid.inputs.span import Span, parse_start, positions, resample
from peergrid.inputs.tables import stream
from peergrid.inputs.weather import Weather, load_weather
from peergrid.study.households.clients import Client, Sizes

Floats = NDArray[np.float64]
FIRST_DAY = date(2016, 6, 1)
LAST_DAY = date(2016, 8, 12)
BASE_SEED = 0
BASE_DAY = date(2016, 7, 25)
WEATHER = "try2010:12"
TAN_PHI = 0.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Profiles:
    """One day of N clients over T steps.

    Parameters
    ----------
    span
        The day.
    load_kw
        ``(N, T)`` inflexible load.
    pv_kw
        ``(N, T)`` what the sun offers; zero without a plant.
    t_air_c
        ``(T,)``.
    price_import_eur_per_kwh, price_feed_in_eur_per_kwh
        ``(T,)``.
    depart_h, return_h
        ``(N,)`` local hours of the tours of the clients' vehicles.
    """

    span: Span
    load_kw: Floats
    pv_kw: Floats
    t_air_c: Floats
    price_import_eur_per_kwh: Floats
    price_feed_in_eur_per_kwh: Floats
    depart_h: Floats
    return_h: Floats


def day_of(seed: int) -> date:
    """Weekday of a seed; that of the base seed is the one that sizes were chosen for."""
    if seed == BASE_SEED:
        return BASE_DAY
    days = [FIRST_DAY + timedelta(days=k) for k in range((LAST_DAY - FIRST_DAY).days + 1)]
    working = [day for day in days if day.weekday() < 5]
    return working[int(stream(seed, "household day").integers(len(working)))]


def profiles(
    found: tuple[Client, ...], *, seed: int, step_s: int = 3600, sizes: Sizes | None = None
) -> Profiles:
    """The day of a seed for these clients."""
    sizes = sizes or Sizes()
    start = parse_start(day_of(seed).isoformat())
    span = Span(start=start, hours=24, step_s=step_s)
    weather = load_weather(WEATHER, span)
    rng = stream(seed, "household tours")
    middle = np.arange(span.n_total) * step_s / 3600.0 + step_s / 7200.0
    count = len(found)
    return Profiles(
        span=span,
        load_kw=np.stack([_load_kw(client, seed, span, sizes) for client in found]),
        pv_kw=_pv_kw(found, span, weather, sizes),
        t_air_c=weather.t_air_c,
        price_import_eur_per_kwh=tariff_eur_per_kwh(middle),
        price_feed_in_eur_per_kwh=np.full(span.n_total, 0.05),
        depart_h=np.asarray(np.round(rng.normal(7.5, 0.5, count)), dtype=np.float64),
        return_h=np.asarray(
            np.round(np.clip(rng.normal(17.5, 1.0, count), 15.0, 20.0)), dtype=np.float64
        ),
    )


def tariff_eur_per_kwh(hour: Floats) -> Floats:
    """Import price at local hours of the day: cheap at night, peaks at 12 and at 19 hours."""
    noon = 0.06 * np.exp(-(((hour - 12.5) / 2.5) ** 2))
    evening = 0.15 * np.exp(-(((hour - 19.5) / 2.2) ** 2))
    return np.asarray(0.13 + noon + evening)


def _load_kw(client: Client, seed: int, span: Span, sizes: Sizes) -> Floats:
    """Inflexible load of a client."""
    shapes = simbench()
    first, hours = simbench_year()
    rows = positions(span, first, hours, "simbench")
    rng = stream(seed, f"household load {client.name}")
    copies = sizes.homes / client.homes
    if client.kind == "home":
        kinds = len(shapes.homes_p)
        mixed = rng.multinomial(max(round(client.homes), 1), np.full(kinds, 1.0 / kinds))
        year = mixed @ shapes.homes_p
        return resample(year[rows] * (client.homes * sizes.home_kwh_per_year / year.sum()), span)
    # G1-A works on weekdays from 8 to 18, G3-A around the clock
    shape = shapes.business_p[1 if client.kind == "school" else 5]
    day = sizes.school_kwh_per_day if client.kind == "school" else sizes.industry_kwh_per_day
    level = day * rng.uniform(0.95, 1.05) / copies
    found = shape[rows]
    return resample(found * (level / found[: span.hours].sum()), span)


def _pv_kw(found: tuple[Client, ...], span: Span, weather: Weather, sizes: Sizes) -> Floats:
    """What the sun offers each client, ``(N, T)``; zero without a plant."""
    offered = np.zeros((len(found), span.n_total))
    peak = np.array([_pv_kwp(client, sizes) for client in found])
    rows = np.flatnonzero(peak > 0.0)
    if not len(rows):
        return offered
    plants = pv.Plants(
        kwp=peak[rows],
        tilt_deg=np.full(len(rows), 30.0),
        azimuth_deg=np.full(len(rows), 180.0),
    )
    seen = pv.view(
        plants,
        span.index + pd.Timedelta(seconds=span.step_s / 2),
        latitude=weather.latitude,
        longitude=weather.longitude,
        altitude_m=weather.altitude_m,
    )
    sky = pv.Sky(
        ghi=weather.ghi[None],
        dni=weather.dni[None],
        dhi=weather.dhi[None],
        t_air_c=weather.t_air_c[None],
        wind_speed_m_s=weather.wind_speed_m_s[None],
    )
    offered[rows] = pv.available_kw(plants, seen, sky)
    return offered


def _pv_kwp(client: Client, sizes: Sizes) -> float:
    """Peak power of a client's plant [kW]; 0 without one."""
    size = sizes.school_pv_kwp if client.kind == "school" else sizes.pv_kwp
    return client.pv * size * client.homes / sizes.homes
