"""Time series that users bring as CSV: first column ISO stamps, then ``name [unit]`` columns."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.inputs.span import HOUR_S, Span, zone

_HEADER = re.compile(r"^\s*(?P<name>[^\[\]]*[^\[\]\s])\s*\[(?P<unit>[^\[\]]+)\]\s*$")
_OFFSET = re.compile(r"(?:Z|[+-]\d\d:?\d\d)\s*$")
_YEAR_H = (8760, 8784)


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Contents of one CSV file.

    ``times`` are the starts of the rows in UTC, ``step_s`` their regular distance [s], ``columns``
    maps (name, unit) to the raw column.
    """

    path: Path
    times: pd.DatetimeIndex
    step_s: int
    columns: Mapping[tuple[str, str], "pd.Series[float]"]

    @property
    def hours(self) -> float:
        """Hours covered by the rows."""
        return len(self.times) * self.step_s / HOUR_S


def read_series(
    path: str | Path,
    *,
    units: Mapping[str, str],
    span: Span,
    tz: str | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Named columns of a CSV file on the steps of a span.

    The header reads ``time,ghi [W/m2],t_air [C]``; stamps are ISO 8601, regular, and label the
    start of their step. A file finer than the step is averaged; a coarser one is held. A file of
    one whole year may leave the horizon uncovered, it then wraps to its first row; any other
    file must cover the horizon too.

    Parameters
    ----------
    path
        The CSV file (``.gz`` is read too).
    units
        Columns wanted and the unit each must be given in.
    span
        The steps wanted.
    tz
        Zone of stamps without an offset; without it such stamps are refused.

    Returns
    -------
    One array of shape (n_total,) per name in ``units``.
    """
    table = read_table(path, tz=tz)
    return {name: column_on(table, name, unit, span) for name, unit in units.items()}


def read_table(path: str | Path, *, tz: str | None = None) -> Table:
    """Read and check the header and the stamps of a CSV file; values are checked when used."""
    file = Path(path)
    raw = _read_csv(file)
    if raw.shape[1] < 2 or raw.shape[0] < 2:
        allowed = (
            "a comma-separated time column, one or more 'name [unit]' columns, two or more rows"
        )
        raise DataError(file, "shape", raw.shape, allowed)
    times = _parse_times(file, raw.iloc[:, 0].astype(str), tz)
    step_s = _regular_step(file, times)
    columns: dict[tuple[str, str], pd.Series[float]] = {}
    for position, header in enumerate(raw.columns[1:], start=1):
        match = _HEADER.match(str(header))
        if match is None:
            raise DataError(file, "header", header, "'name [unit]', such as 'ghi [W/m2]'")
        key = (match["name"].strip(), match["unit"].strip())
        if key in columns:
            raise DataError(file, "header", header, "each column once")
        columns[key] = raw.iloc[:, position]
    return Table(path=file, times=times, step_s=step_s, columns=columns)


def column_on(table: Table, name: str, unit: str, span: Span) -> NDArray[np.float64]:
    """One column of a table on the steps of a span, shape (n_total,)."""
    values = _checked_column(table, name, unit)
    if table.step_s > span.step_s:
        if table.step_s % span.step_s:
            raise _step_error(table, span)
        values = np.repeat(values, table.step_s // span.step_s)
        fine_s = span.step_s
    else:
        fine_s = table.step_s
        if span.step_s % fine_s:
            raise _step_error(table, span)
    rows = _rows(table, span, fine_s, len(values))
    per_step = span.step_s // fine_s
    return np.asarray(values[rows].reshape(span.n_total, per_step).mean(axis=1))


def _rows(table: Table, span: Span, fine_s: int, n_rows: int) -> NDArray[np.intp]:
    """Row of each instant ``span.start + k * fine_s``, wrapping only in a whole-year file."""
    first = table.times[0].to_pydatetime()
    offset_s = (span.start - first) / timedelta(seconds=1)
    start = round(offset_s / fine_s)
    if start * fine_s != offset_s:
        allowed = f"rows that start on the steps of the span ({span.start:%Y-%m-%dT%H:%MZ})"
        raise DataError(table.path, "time", first.isoformat(), allowed)
    count = span.hours_total * HOUR_S // fine_s
    wraps = table.hours in _YEAR_H
    needed = span.hours * HOUR_S // fine_s if wraps else count
    if start < 0 or start + needed > n_rows:
        last = first + timedelta(hours=table.hours)
        allowed = (
            f"rows from {span.start:%Y-%m-%dT%H:%MZ} for {span.hours} h of run"
            f" and {span.horizon_h} h of horizon"
        )
        given = f"{first:%Y-%m-%dT%H:%MZ} to {last:%Y-%m-%dT%H:%MZ}"
        raise DataError(table.path, "time", given, allowed)
    return (start + np.arange(count)) % n_rows


def _step_error(table: Table, span: Span) -> DataError:
    allowed = f"a divisor or a multiple of the step of {span.step_s} s"
    return DataError(table.path, "step", f"{table.step_s} s", allowed)


def _checked_column(table: Table, name: str, unit: str) -> NDArray[np.float64]:
    """Values of a column as floats; a missing column, wrong unit or gap is a DataError."""
    column = table.columns.get((name, unit))
    if column is None:
        others = [u for n, u in table.columns if n == name]
        if others:
            raise DataError(table.path, name, f"[{others[0]}]", f"the unit [{unit}]")
        have = sorted(f"{n} [{u}]" for n, u in table.columns)
        raise DataError(table.path, "header", have, f"a column '{name} [{unit}]'")
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        row = int(bad[0])
        where = f"{name} at {table.times[row]:%Y-%m-%dT%H:%MZ} (line {row + 2})"
        raise DataError(table.path, where, column.iloc[row], "a finite number in every row")
    return values


def _read_csv(file: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(file, skipinitialspace=True, low_memory=False)
    except FileNotFoundError as error:
        raise DataError("series", "file", str(file), "a file that exists") from error
    except (OSError, ValueError) as error:  # ParserError, EmptyDataError, bad encoding
        raise DataError(file, "content", str(error), "a CSV file in UTF-8") from error


def _parse_times(file: Path, text: "pd.Series[str]", tz: str | None) -> pd.DatetimeIndex:
    aware = text.str.contains(_OFFSET)
    if bool(aware.any()) != bool(aware.all()):
        row = int(np.flatnonzero(~aware.to_numpy())[0])
        allowed = "an offset in every row or in none"
        raise DataError(file, f"time, line {row + 2}", text.iloc[row], allowed)
    if not bool(aware.all()) and tz is None:
        allowed = "stamps with an offset (…Z, …+01:00), or a tz for stamps in local time"
        raise DataError(file, "time, line 2", text.iloc[0], allowed)
    if bool(aware.all()):
        times = pd.to_datetime(text, utc=True, format="ISO8601", errors="coerce")
    else:
        times = pd.to_datetime(text, format="ISO8601", errors="coerce")
    bad = np.flatnonzero(times.isna().to_numpy())
    if bad.size:
        row = int(bad[0])
        raise DataError(file, f"time, line {row + 2}", text.iloc[row], "an ISO 8601 time")
    index = pd.DatetimeIndex(times)
    return index if bool(aware.all()) else _localize(file, index, str(tz))


def _localize(file: Path, index: pd.DatetimeIndex, tz: str) -> pd.DatetimeIndex:
    """Local stamps in UTC; the repeated hour of autumn is told apart by its order."""
    zone(tz)
    second = index.duplicated()
    utc = index.tz_localize(tz, ambiguous=~second, nonexistent="NaT")
    missing = np.flatnonzero(utc.isna())
    if missing.size:
        row = int(missing[0])
        allowed = f"a time that exists in {tz} (clocks go forward; better use UTC)"
        raise DataError(file, f"time, line {row + 2}", str(index[row]), allowed)
    return utc.tz_convert("UTC")


def _regular_step(file: Path, times: pd.DatetimeIndex) -> int:
    """Distance of the stamps [s]; gaps, repeated and unsorted stamps are refused."""
    seconds = np.diff(times.as_unit("s").asi8)
    step = int(seconds[0])
    wrong = np.flatnonzero(seconds != step) if step > 0 else np.array([0])
    if wrong.size:
        row = int(wrong[0]) + 1
        gap = int(seconds[row - 1])
        allowed = f"one step after {times[row - 1]:%Y-%m-%dT%H:%M:%SZ}"
        allowed += f" (step {step} s, found {gap} s)" if step > 0 else " (stamps must rise)"
        field = f"time, line {row + 2}"
        raise DataError(file, field, f"{times[row]:%Y-%m-%dT%H:%M:%SZ}", allowed)
    return step
