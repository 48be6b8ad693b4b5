"""Tours of electric vehicles: a sampler on German mobility statistics, and a CSV reader."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.inputs.tables import packaged, stream

Array = NDArray[np.float64]

COLUMNS = ("ev", "date", "depart_h", "return_h", "km", "energy_kwh")
_DAY_TYPES = ("weekdays", "saturday", "sunday")
_MAX_TRIPS = 5
# one row of uniform numbers a day: leaves?, how many trips?, when out, when back (2 each), and
# per trip its cell of the distance-duration table, its place inside it in km and in minutes
_DRAWS = 6 + 3 * _MAX_TRIPS


@dataclass(frozen=True, kw_only=True)
class TourSettings:
    """Assumptions of the sampler; the statistics themselves are those of MiD.

    ``worker_share``: vehicles with the commuters' departure table. ``kwh_per_km``: at the battery.
    ``min_stay_worker_h`` and ``min_stay_free_h``: shortest time away from home besides driving.
    ``max_km``: longest tour served from the home battery; what is beyond is charged on the way.
    """

    worker_share: float = 0.6
    kwh_per_km: float = 0.18
    min_stay_worker_h: float = 4.0
    min_stay_free_h: float = 0.5
    max_km: float = 150.0
    source: str = (
        "departures, trips a day, distances: Mobilitaet in Deutschland, tables of emobpy (MIT,"
        " doi 10.1038/s41597-021-00932-9); shares, stays, consumption and longest tour: assumed"
    )

    def __post_init__(self) -> None:
        if not 0.0 <= self.worker_share <= 1.0:
            raise DataError("tours", "worker_share", self.worker_share, "0 to 1")
        for name in ("kwh_per_km", "max_km"):
            if not getattr(self, name) > 0.0:
                raise DataError("tours", name, getattr(self, name), "above 0")
        for name in ("min_stay_worker_h", "min_stay_free_h"):
            if not 0.0 <= getattr(self, name) <= 12.0:
                raise DataError("tours", name, getattr(self, name), "0 to 12 h")


def sample_tours(
    n_ev: int,
    days: Sequence[date] | pd.DatetimeIndex,
    *,
    seed: int,
    settings: TourSettings | None = None,
) -> pd.DataFrame:
    """At most one home-to-home tour a day for each vehicle.

    A day has no tour with the probability of "0 trips" in MiD; otherwise it has two to five trips.
    The tour starts with the earliest of their departures that lead away from home, its length is
    the sum of the trips, and it ends with a trip home (table of departures for home, given that
    it starts after the stay). All are back by midnight. Tours of a vehicle and date depend on
    nothing but the seed and these two: not on the other vehicles or the other days.

    Parameters
    ----------
    n_ev
        Number of vehicles.
    days
        Local calendar days, in rising order.
    seed
        Root of the random streams.
    settings
        Assumptions; the defaults if absent.

    Returns
    -------
    Columns ``ev`` (0 to n_ev - 1), ``date``, ``depart_h`` and ``return_h`` (local hours after
    midnight), ``km`` and ``energy_kwh``; sorted by vehicle and date.
    """
    chosen = settings or TourSettings()
    index = pd.DatetimeIndex(pd.to_datetime(list(days)))
    if n_ev < 0 or not (index.is_monotonic_increasing and index.is_unique):
        raise DataError("tours", "n_ev, days", (n_ev, len(index)), "0 or more, rising days")
    kinds = _day_kinds(index)
    parts = [
        _one_vehicle(ev, index, kinds, draws, worker, chosen)
        for ev, draws, worker in _vehicle_draws(n_ev, index, seed, chosen)
    ]
    empty = pd.DataFrame({name: [] for name in COLUMNS})
    return pd.concat(parts, ignore_index=True) if parts else empty


def _vehicle_draws(
    n_ev: int, index: pd.DatetimeIndex, seed: int, settings: TourSettings
) -> list[tuple[int, Array, bool]]:
    """Uniform numbers (days, _DRAWS) of each vehicle: a block of 366 rows per calendar year."""
    out = []
    for ev in range(n_ev):
        rows = np.empty((len(index), _DRAWS))
        for year in sorted(set(index.year)):
            block = stream(seed, "tours", ev, int(year)).random((366, _DRAWS))
            mine = index.year == year
            rows[mine] = block[index.dayofyear.to_numpy()[mine] - 1]
        worker = bool(stream(seed, "commuter", ev).random() < settings.worker_share)
        out.append((ev, rows, worker))
    return out


def _day_kinds(index: pd.DatetimeIndex) -> NDArray[np.intp]:
    """0 weekday, 1 Saturday, 2 Sunday, for each day."""
    return np.asarray(np.clip(index.dayofweek.to_numpy() - 4, 0, 2), dtype=np.intp)


def _one_vehicle(
    ev: int,
    index: pd.DatetimeIndex,
    kinds: NDArray[np.intp],
    u: Array,
    worker: bool,
    settings: TourSettings,
) -> pd.DataFrame:
    """Tours of one vehicle from its uniform numbers ``u`` (days, _DRAWS)."""
    stats = statistics()
    weekend = (kinds > 0).astype(np.intp)
    leaves = u[:, 0] >= stats.stay_home[weekend]
    trips = _pick(stats.trips_cdf[weekend], u[:, 1]) + 2
    km_trip, hours_trip = _trips(u[:, 6:])
    driven = np.arange(_MAX_TRIPS) < trips[:, None]
    km = np.minimum((km_trip * driven).sum(axis=1), settings.max_km)
    out_cdf, home_cdf = stats.departures(worker)
    # the first of the trips - 1 departures that lead away from home
    first = 1.0 - (1.0 - u[:, 2]) ** (1.0 / (trips - 1))
    depart = 0.5 * (_pick(out_cdf[kinds], first) + u[:, 3])
    stay = settings.min_stay_worker_h if worker else settings.min_stay_free_h
    earliest = depart + hours_trip[:, 0] + stay
    homeward = _after(home_cdf[kinds], earliest, u[:, 4], u[:, 5])
    back = np.minimum(homeward + hours_trip[:, 1], 24.0)
    keep = leaves & (back > depart)
    km, depart, back = np.round(km[keep], 1), depart[keep], back[keep]
    return pd.DataFrame(
        {
            "ev": ev,
            "date": index[keep].date,
            "depart_h": np.round(depart, 3),
            "return_h": np.round(back, 3),
            "km": km,
            "energy_kwh": np.round(km * settings.kwh_per_km, 3),
        }
    )


def _pick(cdf: Array, u: Array) -> NDArray[np.intp]:
    """Class of each uniform number, given one cumulative row per number: (n, k), (n,) -> (n,)."""
    return np.asarray(np.minimum((cdf <= u[:, None]).sum(axis=1), cdf.shape[1] - 1), dtype=np.intp)


def _after(cdf: Array, earliest: Array, u: Array, inside: Array) -> Array:
    """Time drawn from a half-hourly table, given that it is not before ``earliest``; shape (n,)."""
    slot = np.clip(np.ceil(earliest * 2.0).astype(np.intp), 0, cdf.shape[1])
    before = np.where(slot > 0, cdf[np.arange(len(cdf)), np.maximum(slot - 1, 0)], 0.0)
    drawn = 0.5 * (_pick(cdf, before + u * (1.0 - before)) + inside)
    return np.where(before < 1.0 - 1e-9, np.maximum(drawn, earliest), earliest)


def _trips(u: Array) -> tuple[Array, Array]:
    """Length [km] and duration [h] of the trips of each day, shape (days, 5) each."""
    stats = statistics()
    cell, km_part, time_part = (u[:, k::3] for k in range(3))
    picked = np.minimum(
        np.searchsorted(stats.trip_cdf, cell, side="right"), stats.trip_cdf.size - 1
    )
    row, column = np.divmod(picked, len(stats.minutes) - 1)
    km = stats.km[row] + km_part * (stats.km[row + 1] - stats.km[row])
    minutes = stats.minutes[column]
    minutes = minutes + time_part * (stats.minutes[column + 1] - minutes)
    return km, minutes / 60.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Statistics:
    """MiD tables as cumulative probabilities.

    ``stay_home`` (2,): probability of no trip on a weekday and at the weekend; ``trips_cdf``
    (2, 4): two to five trips; ``km`` (9,) and ``minutes`` (8,): edges of the cells of
    ``trip_cdf`` (56,); ``out_cdf`` and ``home_cdf`` (2, 3, 48): free or worker,
    day type, half hours.
    """

    stay_home: Array
    trips_cdf: Array
    km: Array
    minutes: Array
    trip_cdf: Array
    out_cdf: Array
    home_cdf: Array

    def departures(self, worker: bool) -> tuple[Array, Array]:
        """Cumulative departures from home and towards home, (3, 48) each."""
        return self.out_cdf[int(worker)], self.home_cdf[int(worker)]


@functools.cache
def statistics() -> Statistics:
    """The tables that ship with the package."""
    trips = packaged("mid_trips", "trips_per_day.csv")[["weekday", "weekend"]].to_numpy().T
    cells = packaged("mid_trips", "distance_duration.csv")
    out, home = [], []
    for name in ("free", "worker"):
        table = packaged("mid_trips", f"departures_{name}.csv")
        places = [c for c in table.columns if c not in {"days", "time", "home"}]
        days = [table[table["days"] == day].sort_values("time") for day in _DAY_TYPES]
        out.append([_cdf(day[places].to_numpy(dtype=float).sum(axis=1)) for day in days])
        home.append([_cdf(day["home"].to_numpy(dtype=float)) for day in days])
    return Statistics(
        stay_home=trips[:, 0] / trips.sum(axis=1),
        trips_cdf=np.stack([_cdf(row[2:]) for row in trips]),
        km=np.concatenate([[0.0], cells["km"].to_numpy(dtype=float)]),
        minutes=np.array([0.0, *(float(c) for c in cells.columns[1:])]),
        trip_cdf=_cdf(cells.to_numpy(dtype=float)[:, 1:].ravel()),
        out_cdf=np.array(out),
        home_cdf=np.array(home),
    )


def _cdf(weights: Array) -> Array:
    total = np.cumsum(np.asarray(weights, dtype=np.float64))
    return np.asarray(total / total[-1])


def read_tours(path: str | Path, *, n_ev: int | None = None) -> pd.DataFrame:
    """Tours from a CSV file with the columns of :func:`sample_tours`.

    A tour ends after it starts (``return_h`` above 24 means the next day, at most 72), needs
    no negative energy, and does not start before the vehicle's last one has ended. ``ev`` counts
    from 0; with ``n_ev`` it must stay below.
    """
    file = Path(path)
    try:
        table = pd.read_csv(file, skipinitialspace=True)
    except FileNotFoundError as error:
        raise DataError("tours", "file", str(file), "a file that exists") from error
    except (OSError, ValueError) as error:
        raise DataError(file, "content", str(error), "a CSV file in UTF-8") from error
    return checked_tours(table, where=file, n_ev=n_ev)


def checked_tours(
    table: pd.DataFrame, *, where: object = "tours", n_ev: int | None = None
) -> pd.DataFrame:
    """The same tours, sorted by vehicle and start, or a DataError that names the row."""
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DataError(where, "columns", missing, f"the columns {', '.join(COLUMNS)}")
    tours = table[list(COLUMNS)].copy()
    for name in ("ev", "depart_h", "return_h", "km", "energy_kwh"):
        tours[name] = pd.to_numeric(tours[name], errors="coerce")
        _refuse(table, where, name, ~np.isfinite(tours[name].to_numpy(float)), "a finite number")
    stamps = pd.to_datetime(tours["date"], errors="coerce", format="ISO8601")
    _refuse(table, where, "date", stamps.isna().to_numpy(), "a local date such as 2016-06-30")
    ev, depart, back = (tours[c].to_numpy(float) for c in ("ev", "depart_h", "return_h"))
    most = np.inf if n_ev is None else n_ev - 1
    allowed = "a whole number from 0" + ("" if n_ev is None else f" to {n_ev - 1}")
    _refuse(table, where, "ev", (ev < 0) | (ev > most) | (ev % 1 != 0), allowed)
    _refuse(table, where, "depart_h", (depart < 0.0) | (depart >= 24.0), "0 to below 24 h")
    _refuse(table, where, "return_h", (back <= depart) | (back > 72.0), "after depart_h, to 72 h")
    _refuse(table, where, "km", tours["km"].to_numpy(float) < 0.0, "0 km or more")
    energy = tours["energy_kwh"].to_numpy(float)
    _refuse(table, where, "energy_kwh", energy < 0.0, "0 kWh or more")
    tours["ev"] = ev.astype(np.int64)
    tours["date"] = stamps.dt.date
    day_h = (stamps - pd.Timestamp(1970, 1, 1)).dt.days.to_numpy() * 24.0
    order = np.lexsort((day_h + depart, ev))
    overlap = np.zeros(len(tours), dtype=bool)
    late = (day_h + back)[order][:-1] > (day_h + depart)[order][1:] + 1e-9
    overlap[order[1:]] = late & (ev[order][:-1] == ev[order][1:])
    _refuse(table, where, "depart_h", overlap, "a start after the vehicle's last return")
    return tours.iloc[order].reset_index(drop=True)


def _refuse(
    table: pd.DataFrame, where: object, name: str, bad: NDArray[np.bool_], allowed: str
) -> None:
    rows = np.flatnonzero(bad)
    if rows.size:
        row = int(rows[0])
        raise DataError(where, f"{name}, line {row + 2}", table[name].iloc[row], allowed)
