"""Weather of one site on the steps of a span, from typical-year files or a user's CSV."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.inputs.series import read_series
from peergrid.inputs.span import HOUR_S, Span, resample
from peergrid.inputs.weather_files import READERS, Site, TypicalYear

__all__ = ["Site", "Weather", "load_weather", "sun_position"]

Array = NDArray[np.float64]
_COLUMNS = {"ghi": "W/m2", "dni": "W/m2", "dhi": "W/m2", "t_air": "C", "wind_speed": "m/s"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Weather:
    """Weather of a site; every array has shape (n_total,) and holds means over its step.

    Irradiance is global horizontal, direct normal and diffuse horizontal [W/m2]; ``t_air_c`` is
    at 2 m [C]; ``wind_speed_m_s`` is at ``site.wind_height_m``.
    """

    span: Span
    site: Site
    ghi: Array
    dni: Array
    dhi: Array
    t_air_c: Array
    wind_speed_m_s: Array
    source: str

    @property
    def latitude(self) -> float:
        """Latitude [deg], north positive."""
        return self.site.latitude

    @property
    def longitude(self) -> float:
        """Longitude [deg], east positive."""
        return self.site.longitude

    @property
    def altitude_m(self) -> float:
        """Height above sea level [m]."""
        return self.site.altitude_m

    @property
    def wind_height_m(self) -> float:
        """Height at which the wind speed is given [m]."""
        return self.site.wind_height_m


def load_weather(
    spec: str,
    span: Span,
    *,
    base_dir: str | Path = ".",
    site: Site | None = None,
    tz: str | None = None,
) -> Weather:
    """Weather of a span.

    A typical year has no year of its own: each hour of the span gets the same month, day and hour
    of the station's standard time, whatever the year, and 29 February repeats the 28th. So it
    covers every span and every horizon. A user's CSV covers the instants it names.

    Parameters
    ----------
    spec
        ``try2010:4`` (DWD test reference year, regions 1 to 15), ``tmy3:greensboro`` (shipped
        with pvlib), ``tmy3:FILE``, ``epw:FILE``, ``pvgis:FILE`` (typical year as CSV), or a CSV
        file with the columns ``ghi [W/m2]``, ``dni [W/m2]``, ``dhi [W/m2]``, ``t_air [C]`` and
        ``wind_speed [m/s]``.
    span
        The steps wanted.
    base_dir
        Folder that relative file names start from.
    site
        Where the weather of a CSV file was taken; the other sources name their own.
    tz
        Zone of stamps without an offset in the CSV file.
    """
    kind, _, rest = spec.partition(":")
    if kind in READERS and rest:
        return _from_typical_year(READERS[kind](rest, Path(base_dir)), span)
    if Path(spec).suffix in {".csv", ".gz"}:
        return _from_csv(spec, span, Path(base_dir), site, tz)
    allowed = "try2010:1 to :15, tmy3:greensboro, tmy3:FILE, epw:FILE, pvgis:FILE or a .csv file"
    raise DataError("weather", "source", spec, allowed)


def sun_position(times: pd.DatetimeIndex, site: Site) -> pd.DataFrame:
    """Sun position at instants: pvlib's columns (``zenith``, ``apparent_zenith``, ``azimuth``)."""
    from pvlib import solarposition

    position: pd.DataFrame = solarposition.get_solarposition(
        times, site.latitude, site.longitude, site.altitude_m
    )
    return position


def _from_csv(spec: str, span: Span, base_dir: Path, site: Site | None, tz: str | None) -> Weather:
    if site is None:
        raise DataError(spec, "site", None, "latitude and longitude of the weather in a CSV file")
    read = read_series(base_dir / spec, units=_COLUMNS, span=span, tz=tz)
    return Weather(
        span=span,
        site=site,
        ghi=_checked(spec, "ghi", read["ghi"], 0.0, 2000.0),
        dni=_checked(spec, "dni", read["dni"], 0.0, 2000.0),
        dhi=_checked(spec, "dhi", read["dhi"], 0.0, 2000.0),
        t_air_c=_checked(spec, "t_air", read["t_air"], -90.0, 60.0),
        wind_speed_m_s=_checked(spec, "wind_speed", read["wind_speed"], 0.0, 120.0),
        source=spec,
    )


def _from_typical_year(year: TypicalYear, span: Span) -> Weather:
    """Rows of the year for the hours of the span, then moved onto its steps."""
    rows = _rows_of_year(span, year.site.utc_offset_h)
    ghi, dhi = year.ghi[rows], year.dhi[rows]
    dni = _direct_normal(ghi, dhi, span, year.site) if year.dni is None else year.dni[rows]
    shape = _sun_shape(span, year.site)
    return Weather(
        span=span,
        site=year.site,
        ghi=resample(ghi, span) * shape,
        dni=resample(dni, span),
        dhi=resample(dhi, span) * shape,
        t_air_c=resample(year.t_air_c[rows], span, method="linear"),
        wind_speed_m_s=resample(year.wind_speed_m_s[rows], span, method="linear"),
        source=year.source,
    )


def _rows_of_year(span: Span, utc_offset_h: float) -> NDArray[np.intp]:
    """Row 0..8759 (a year without leap day) of each hour of the span, in standard time.

    Offsets of half hours are rounded down to the hour that contains the instant.
    """
    local = span.hourly_index.tz_localize(None) + pd.Timedelta(hours=utc_offset_h)
    day = local.dayofyear.to_numpy() - 1
    after_leap_day = local.is_leap_year & (day >= 59)
    day = day - after_leap_day.astype(np.intp)  # 29 Feb (59) becomes 28 Feb (58)
    return np.asarray(day * 24 + local.hour.to_numpy(), dtype=np.intp)


def _direct_normal(ghi: Array, dhi: Array, span: Span, site: Site) -> Array:
    """Direct normal irradiance from the closure dni = (ghi - dhi) / cos(zenith), at mid hour.

    pvlib's ``irradiance.dni`` sets it to zero where the sun stands lower than 2 degrees; above
    that, the extraterrestrial irradiance (1400 W/m2) is the limit.
    """
    from pvlib import irradiance

    middle = span.hourly_index + pd.Timedelta(minutes=30)
    zenith = sun_position(middle, site)["zenith"].to_numpy()
    dni = irradiance.dni(ghi, dhi, zenith)
    return np.asarray(np.clip(np.nan_to_num(np.asarray(dni, dtype=np.float64)), 0.0, 1400.0))


def _sun_shape(span: Span, site: Site) -> Array | float:
    """Weights of the steps inside each hour, mean 1 per hour, following the sine of elevation.

    Horizontal irradiance then rises and falls with the sun inside the hour while its hourly mean
    stays; hours in which the sun never rises have weight 1.
    """
    if span.step_s >= HOUR_S:
        return 1.0
    per_hour = HOUR_S // span.step_s
    middle = span.index + pd.Timedelta(seconds=span.step_s / 2)
    zenith = sun_position(middle, site)["zenith"].to_numpy()
    high = np.maximum(np.cos(np.radians(zenith)), 0.0).reshape(-1, per_hour)
    mean = high.mean(axis=1, keepdims=True)
    shape = np.where(mean > 1e-3, high / np.maximum(mean, 1e-3), 1.0)
    return np.asarray(shape.reshape(-1))


def _checked(spec: str, field: str, values: Array, low: float, high: float) -> Array:
    outside = np.flatnonzero((values < low) | (values > high))
    if outside.size:
        step = int(outside[0])
        given = float(values[step])
        raise DataError(spec, f"{field} in step {step}", given, f"{low:g} to {high:g}")
    return values
