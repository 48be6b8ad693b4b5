"""The one clock of a run: UTC, steps labelled with their start, and moving series onto them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peergrid.errors import DataError

DEFAULT_TZ = "Europe/Berlin"
HOUR_S = 3600


def zone(tz: str) -> ZoneInfo:
    """Time zone of that name, or a :class:`DataError`."""
    try:
        return ZoneInfo(tz)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        allowed = "a name of the IANA time zone table, such as 'Europe/Berlin'"
        raise DataError("span", "tz", tz, allowed) from error


def parse_start(text: str, *, tz: str = DEFAULT_TZ) -> datetime:
    """Instant in UTC of an ISO date or time; one without an offset is local time in ``tz``.

    >>> parse_start("2016-06-30").isoformat()
    '2016-06-29T22:00:00+00:00'
    >>> parse_start("2016-06-30T00:00Z").isoformat()
    '2016-06-30T00:00:00+00:00'
    """
    local = zone(tz)
    try:
        given = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise DataError("span", "start", text, "an ISO date, such as 2016-06-30") from error
    if given.tzinfo is not None:
        return given.astimezone(UTC)
    utc = given.replace(tzinfo=local).astimezone(UTC)
    if utc.astimezone(local).replace(tzinfo=None) != given:
        raise DataError("span", "start", text, f"a time that exists in {tz} (clocks go forward)")
    return utc


@dataclass(frozen=True, kw_only=True)
class Span:
    """The steps of a run and of the horizon behind it.

    Parameters
    ----------
    start
        First instant, on a full hour of UTC, with a time zone (stored as UTC).
    hours
        Length of the run [h].
    step_s
        Length of a step [s]: a divisor of 3600 or a multiple of it.
    horizon_h
        Hours that forecasts reach past the end of the run [h]. Data must cover the run; only
        this tail may wrap to the start of a data year.
    tz
        Zone of the local calendar (tours, standard load profiles).

    Examples
    --------
    >>> day = Span(start=parse_start("2016-06-30"), hours=24, step_s=900, horizon_h=24)
    >>> day.n_steps, day.n_total, day.index[-1].isoformat()
    (96, 192, '2016-07-01T21:45:00+00:00')
    """

    start: datetime
    hours: int
    step_s: int = HOUR_S
    horizon_h: int = 0
    tz: str = DEFAULT_TZ

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise DataError("span", "start", self.start.isoformat(), "a time with a zone")
        zone(self.tz)
        start = self.start.astimezone(UTC)
        if start.minute or start.second or start.microsecond:
            raise DataError("span", "start", start.isoformat(), "a full hour of UTC")
        object.__setattr__(self, "start", start)
        if self.hours < 1:
            raise DataError("span", "hours", self.hours, "at least 1")
        if self.horizon_h < 0:
            raise DataError("span", "horizon_h", self.horizon_h, "0 or more")
        if self.step_s < 1 or (HOUR_S % self.step_s and self.step_s % HOUR_S):
            raise DataError("span", "step_s", self.step_s, "a divisor or a multiple of 3600 s")
        for name, value in (("hours", self.hours), ("horizon_h", self.horizon_h)):
            if value * HOUR_S % self.step_s:
                raise DataError("span", name, value, f"a whole number of steps of {self.step_s} s")

    @property
    def hours_total(self) -> int:
        """Hours of the run and its horizon."""
        return self.hours + self.horizon_h

    @property
    def n_steps(self) -> int:
        """Steps of the run."""
        return self.hours * HOUR_S // self.step_s

    @property
    def n_total(self) -> int:
        """Steps of the run and its horizon: the length T of every loaded series."""
        return self.hours_total * HOUR_S // self.step_s

    @property
    def index(self) -> pd.DatetimeIndex:
        """Starts of all steps, in UTC, shape (n_total,)."""
        return pd.date_range(self.start, periods=self.n_total, freq=f"{self.step_s}s")

    @property
    def middles(self) -> pd.DatetimeIndex:
        """Middles of all steps, where the sun's position is taken, in UTC, shape (n_total,)."""
        return self.index + pd.Timedelta(seconds=self.step_s / 2)

    @property
    def hourly_index(self) -> pd.DatetimeIndex:
        """Starts of all hours, in UTC, shape (hours_total,)."""
        return pd.date_range(self.start, periods=self.hours_total, freq="h")

    @property
    def epoch_s(self) -> int:
        """Start of the run [s] since 1970-01-01T00:00Z."""
        return int(self.start.timestamp())


def local_year(year: int, tz: str) -> tuple[datetime, int]:
    """First instant (UTC) and hours of a calendar year in a zone.

    >>> local_year(2016, "Europe/Berlin")[1]
    8784
    """
    local = zone(tz)
    first = datetime(year, 1, 1, tzinfo=local).astimezone(UTC)
    end = datetime(year + 1, 1, 1, tzinfo=local).astimezone(UTC)
    return first, round((end - first) / timedelta(hours=1))


EDGE_H = 2
"""Hours by which a run may reach past a table: its warm-up and its closing step."""


def positions(span: Span, first: datetime, hours: int, what: str) -> NDArray[np.intp]:
    """Rows of an hourly table that serve the hours of a span.

    Parameters
    ----------
    span
        The hours wanted. The run itself must lie inside the table, but for the warm-up before it
        and the settling after it (``EDGE_H`` hours); those, and hours of the horizon behind the
        table's end, are taken from its other end.
    first, hours
        Instant of row 0 and number of rows.
    what
        Name of the table for the error.

    Returns
    -------
    Row numbers, shape (hours_total,).
    """
    offset = round((span.start - first) / timedelta(hours=1))
    if offset < -EDGE_H or offset + span.hours > hours + EDGE_H:
        last = first + timedelta(hours=hours)
        asked = f"{span.start:%Y-%m-%dT%H:%MZ} + {span.hours} h"
        covered = f"a span inside {first:%Y-%m-%dT%H:%MZ} to {last:%Y-%m-%dT%H:%MZ}"
        raise DataError(what, "span", asked, covered)
    return (offset + np.arange(span.hours_total)) % hours


def resample(
    hourly: NDArray[np.float64],
    span: Span,
    *,
    method: Literal["hold", "linear"] = "hold",
) -> NDArray[np.float64]:
    """Hourly means moved onto the steps of a span.

    Steps longer than an hour get the mean of their hours. Steps shorter than an hour get the
    hour's value (``hold``, which keeps every hourly mean: powers, prices), or lie on straight
    lines between the middles of the hours (``linear``: temperature, wind speed).

    Parameters
    ----------
    hourly
        Values, shape (..., hours_total).
    span
        The steps wanted.
    method
        ``hold`` or ``linear``.

    Returns
    -------
    Values, shape (..., n_total).

    Examples
    --------
    >>> two = Span(start=parse_start("2016-06-30"), hours=2, step_s=1800)
    >>> resample(np.array([1.0, 3.0]), two)
    array([1., 1., 3., 3.])
    >>> resample(np.array([1.0, 3.0]), two, method="linear")
    array([1. , 1.5, 2.5, 3. ])
    """
    values = np.asarray(hourly, dtype=np.float64)
    if values.shape[-1] != span.hours_total:
        raise DataError("resample", "hours", values.shape[-1], f"{span.hours_total} hourly values")
    if span.step_s == HOUR_S:
        return values.copy()
    if span.step_s > HOUR_S:
        n = span.step_s // HOUR_S
        return np.asarray(values.reshape(*values.shape[:-1], -1, n).mean(axis=-1))
    n = HOUR_S // span.step_s
    if method == "hold":
        return np.repeat(values, n, axis=-1)
    at = (np.arange(span.n_total) + 0.5) / n - 0.5
    low = np.clip(np.floor(at).astype(np.intp), 0, span.hours_total - 1)
    high = np.minimum(low + 1, span.hours_total - 1)
    share = np.clip(at - low, 0.0, 1.0)
    return np.asarray((1.0 - share) * values[..., low] + share * values[..., high])
