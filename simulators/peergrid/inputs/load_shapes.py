"""Shapes that loads are made of: measured ones of SimBench, the standard profile of BDEW."""

import functools
import warnings
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peergrid.inputs.span import DEFAULT_TZ, local_year
from peergrid.inputs.tables import packaged

Array = NDArray[np.float64]

HOMES = ("H0-A", "H0-B", "H0-C", "H0-G", "H0-L")
BUSINESSES = ("G0-A", "G1-A", "G1-B", "G1-C", "G2-A", "G3-A", "G4-A", "G4-B", "G5-A", "G6-A")
WEEK_SHIFTS = (-3, -2, -1, 0, 1, 2, 3)


@dataclass(frozen=True, kw_only=True, eq=False)
class Shapes:
    """Shapes over a data year of T hours.

    ``homes_p`` and ``homes_q`` (35, T): five households times seven week shifts, active power per
    nominal P and reactive power per nominal Q. ``business_p`` and ``business_q`` (10, T): the same
    of businesses, both divided by the mean of their P, so ``business_p`` has mean 1.
    """

    homes_p: Array
    homes_q: Array
    business_p: Array
    business_q: Array
    source: str

    @property
    def n_hours(self) -> int:
        """Hours of the data year."""
        return int(self.homes_p.shape[1])


def simbench_year() -> tuple[datetime, int]:
    """First instant (UTC) and hours of the SimBench data: 2016 in Europe/Berlin."""
    return local_year(2016, DEFAULT_TZ)


@functools.cache
def simbench_columns() -> dict[str, Array]:
    """Every profile of the SimBench extract, hourly means per unit of nominal, shape (8784,).

    Names end in ``_pload`` or ``_qload``: households H0, businesses G, farms L, heat pumps (Air,
    Soil) and home chargers (HLS).

    >>> float(simbench_columns()["H0-A_pload"].mean().round(3))
    0.139
    """
    table = packaged("simbench", "profiles_2016.csv.gz")
    columns = {}
    for header in table.columns:
        name, _, unit = str(header).partition(" [1/")
        values = table[header].to_numpy(dtype=np.float64) / float(unit.rstrip("]"))
        values.flags.writeable = False
        columns[name] = values
    return columns


@functools.cache
def simbench() -> Shapes:
    """Household and business shapes of the SimBench extract."""
    data = simbench_columns()
    homes_p = _week_shifted(np.stack([data[f"{name}_pload"] for name in HOMES]))
    homes_q = _week_shifted(np.stack([data[f"{name}_qload"] for name in HOMES]))
    business_p = np.stack([data[f"{name}_pload"] for name in BUSINESSES])
    business_q = np.stack([data[f"{name}_qload"] for name in BUSINESSES])
    mean = business_p.mean(axis=1, keepdims=True)
    return Shapes(
        homes_p=homes_p,
        homes_q=homes_q,
        business_p=business_p / mean,
        business_q=business_q / mean,
        source="SimBench 1.6.3 profiles of 2016, scenario 0 (ODbL 1.0)",
    )


def _week_shifted(rows: Array) -> Array:
    """Rows (k, T) shifted round the year by whole weeks of local time: (7 k, T).

    The clock on the wall stays right on both sides of a clock change: each hour of UTC looks up
    its local hour of the year, moves by weeks, and takes the hour of UTC that shows that time.
    """
    first, hours = simbench_year()
    local = pd.date_range(first, periods=hours, freq="h").tz_convert(DEFAULT_TZ).tz_localize(None)
    wall = ((local - local[0]) // pd.Timedelta(hours=1)).to_numpy(dtype=np.intp)
    shows = np.searchsorted(np.maximum.accumulate(wall), np.arange(hours))
    moved = [rows[:, shows[(wall - 168 * weeks) % hours]] for weeks in WEEK_SHIFTS]
    return np.concatenate(moved, axis=0)


@functools.cache
def bdew_h25(year: int, tz: str) -> tuple[datetime, Array]:
    """Standard household profile H25 of a local year: first instant, hourly means (T,).

    demandlib wants quarter-hours (an hourly index spoils its last step) with a zone. Its warnings
    are kept from leaving this function.
    """
    first, hours = local_year(year, tz)
    quarters = pd.date_range(first, periods=4 * hours, freq="15min").tz_convert(tz)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from demandlib import bdew

        days = {day: name for name, day in german_holidays(year).items()}
        profile = np.asarray(bdew.H25(quarters, holidays=days), dtype=np.float64)
    hourly = profile.reshape(hours, 4).mean(axis=1)
    hourly.flags.writeable = False
    return first, hourly


def german_holidays(year: int) -> dict[str, date]:
    """Holidays of all German states.

    >>> german_holidays(2016)["Easter Monday"].isoformat()
    '2016-03-28'
    """
    easter = easter_sunday(year)
    return {
        "New Year": date(year, 1, 1),
        "Good Friday": easter - timedelta(days=2),
        "Easter Monday": easter + timedelta(days=1),
        "Labour Day": date(year, 5, 1),
        "Ascension": easter + timedelta(days=39),
        "Whit Monday": easter + timedelta(days=50),
        "German Unity Day": date(year, 10, 3),
        "Christmas Day": date(year, 12, 25),
        "St Stephen's Day": date(year, 12, 26),
    }


def easter_sunday(year: int) -> date:
    """Easter Sunday, by the anonymous Gregorian algorithm (Meeus, Astronomical Algorithms, ch. 8).

    >>> easter_sunday(2022).isoformat()
    '2022-04-17'
    """
    a, b, c = year % 19, year // 100, year % 100
    g = (b - (b + 8) // 25 + 1) // 3
    h = (19 * a + b - b // 4 - g + 15) % 30
    k = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * k) // 451
    month, day = divmod(h + k - 7 * m + 114, 31)
    return date(year, month, day + 1)
