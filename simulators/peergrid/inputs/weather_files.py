"""Readers of typical-year weather files; each returns 8760 hours, labelled with their start."""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peergrid.errors import DataError

Array = NDArray[np.float64]
HOURS = 8760


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where weather is measured: degrees (north and east positive), metres, hours off UTC."""

    latitude: float
    longitude: float
    altitude_m: float = 0.0
    wind_height_m: float = 10.0
    utc_offset_h: float = 0.0

    def __post_init__(self) -> None:
        limits = {"latitude": 90.0, "longitude": 180.0, "utc_offset_h": 14.0}
        for name, most in limits.items():
            value = getattr(self, name)
            if not -most <= value <= most:
                raise DataError("site", name, value, f"-{most:g} to {most:g}")
        if not self.wind_height_m > 0.0:
            raise DataError("site", "wind_height_m", self.wind_height_m, "above 0 m")


@dataclass(frozen=True, kw_only=True, eq=False)
class TypicalYear:
    """A year without a leap day in the station's standard time; arrays of shape (8760,).

    ``dni`` is None where the source gives none: it then follows from the sun's position.
    """

    site: Site
    ghi: Array
    dhi: Array
    dni: Array | None
    t_air_c: Array
    wind_speed_m_s: Array
    source: str


def read_try2010(region: str, _base_dir: Path) -> TypicalYear:
    """DWD test reference year 2010 of a climate region (1 to 15), as demandlib ships it."""
    if not region.isdigit() or not 1 <= int(region) <= 15:
        raise DataError("weather", "try2010 region", region, "1 to 15")
    return _try2010(int(region))


@functools.cache
def _try2010(region: int) -> TypicalYear:
    """Parse the file: rows of hours 1..24 (hour-ending, UTC+1), B and D on the horizontal."""
    name = f"TRY2010_{region:02d}_Jahr.dat"
    with as_file(files("demandlib") / "vdi" / "resources_weather" / name) as path:
        text = path.read_text(encoding="utf-8")
    head, _, body = text.partition("***")
    rows = np.array([line.split() for line in body.splitlines() if line.strip()])
    if rows.shape != (HOURS, 19):
        raise DataError(name, "rows", rows.shape, "8760 rows of 19 columns")
    wind, t_air, direct, diffuse = (rows[:, k].astype(np.float64) for k in (7, 8, 13, 14))
    station = head.splitlines()[1].split("WMO")[0].partition(":")[2].strip()
    return TypicalYear(
        site=_try_site(head.splitlines()[2]),
        ghi=direct + diffuse,
        dhi=diffuse,
        dni=None,
        t_air_c=t_air,
        wind_speed_m_s=wind,
        source=f"DWD TRY2010 region {region}, {station} (file of demandlib)",
    )


def _try_site(line: str) -> Site:
    """Site from a line such as ``Lage: 52°23'N <- B.  13°04'O <- L.    81 Meter über NN``."""
    numbers = "".join(c if c.isdigit() else " " for c in line).split()
    lat_deg, lat_min, lon_deg, lon_min, altitude = (float(n) for n in numbers[:5])
    return Site(
        latitude=lat_deg + lat_min / 60.0,
        longitude=lon_deg + lon_min / 60.0,
        altitude_m=altitude,
        utc_offset_h=1.0,
    )


def read_tmy3(name: str, base_dir: Path) -> TypicalYear:
    """TMY3 file by pvlib (hour-ending stamps); ``greensboro`` is the one inside pvlib."""
    if name != "greensboro":
        return _tmy3(base_dir / name)
    with as_file(files("pvlib") / "data" / "723170TYA.CSV") as path:
        return _tmy3(path)


@functools.cache
def _tmy3(path: Path) -> TypicalYear:
    from pvlib import iotools

    data, meta = _parsed(
        path, lambda: iotools.read_tmy3(path, coerce_year=2015, map_variables=True)
    )
    starts = pd.DatetimeIndex(data.index) - pd.Timedelta(hours=1)
    site = Site(
        latitude=float(meta["latitude"]),
        longitude=float(meta["longitude"]),
        altitude_m=float(meta["altitude"]),
        utc_offset_h=float(meta["TZ"]),
    )
    return _year(
        path, data, starts.tz_localize(None), site, f"TMY3 {meta['Name']}".replace('"', "")
    )


def read_epw(name: str, base_dir: Path) -> TypicalYear:
    """EnergyPlus file by pvlib (it turns hours 1..24 into hour-start stamps)."""
    return _epw(base_dir / name)


@functools.cache
def _epw(path: Path) -> TypicalYear:
    from pvlib import iotools

    data, meta = _parsed(path, lambda: iotools.read_epw(path, coerce_year=2015))
    site = Site(
        latitude=float(meta["latitude"]),
        longitude=float(meta["longitude"]),
        altitude_m=float(meta["altitude"]),
        utc_offset_h=float(meta["TZ"]),
    )
    return _year(
        path, data, pd.DatetimeIndex(data.index).tz_localize(None), site, f"EPW {meta['city']}"
    )


def read_pvgis(name: str, base_dir: Path) -> TypicalYear:
    """Typical year of PVGIS as CSV, by pvlib; stamps are UTC and taken as hour starts."""
    return _pvgis(base_dir / name)


@functools.cache
def _pvgis(path: Path) -> TypicalYear:
    from pvlib import iotools

    data, meta = _parsed(path, lambda: iotools.read_pvgis_tmy(path, map_variables=True))
    place = meta["inputs"].get("location", meta["inputs"])
    site = Site(
        latitude=float(place["latitude"]),
        longitude=float(place["longitude"]),
        altitude_m=float(place["elevation"]),
    )
    stamps = pd.DatetimeIndex(data.index).tz_localize(None)
    common = ~((stamps.month == 2) & (stamps.day == 29))
    starts = pd.DatetimeIndex([stamp.replace(year=2015) for stamp in stamps[common]])
    data = data[common]
    return _year(path, data, starts, site, f"PVGIS typical year {path.name}")


def _parsed(
    path: Path, read: Callable[[], tuple[pd.DataFrame, dict[str, Any]]]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Result of a pvlib reader; what it cannot parse is a DataError."""
    if not path.is_file():
        raise DataError("weather", "file", str(path), "a file that exists")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except (ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise DataError(path.name, "content", str(error), "a file of the named format") from error


def _year(
    path: Path, data: pd.DataFrame, starts: pd.DatetimeIndex, site: Site, source: str
) -> TypicalYear:
    """Sort rows by hour of the year and check that all 8760 are there and finite."""
    names = ["ghi", "dni", "dhi", "temp_air", "wind_speed"]
    missing = [name for name in names if name not in data.columns]
    if missing:
        raise DataError(path.name, "columns", missing, ", ".join(names))
    hour = np.asarray((starts.dayofyear - 1) * 24 + starts.hour)
    order = np.argsort(hour, kind="stable")
    if not np.array_equal(hour[order], np.arange(HOURS)):
        allowed = "each of the 8760 hours of a year once"
        raise DataError(path.name, "hours", len(hour), allowed)
    values = data[names].to_numpy(dtype=np.float64)[order]
    bad = np.argwhere(~np.isfinite(values))
    if bad.size:
        row, column = (int(k) for k in bad[0])
        allowed = "a finite number in every hour"
        raise DataError(path.name, f"{names[column]} in hour {row}", "NaN", allowed)
    ghi, dni, dhi, t_air, wind = values.T
    return TypicalYear(
        site=site,
        ghi=np.maximum(ghi, 0.0),
        dni=np.maximum(dni, 0.0),
        dhi=np.maximum(dhi, 0.0),
        t_air_c=t_air,
        wind_speed_m_s=wind,
        source=source,
    )


READERS: dict[str, Callable[[str, Path], TypicalYear]] = {
    "try2010": read_try2010,
    "tmy3": read_tmy3,
    "epw": read_epw,
    "pvgis": read_pvgis,
}
