"""Reader of results files: ours, whether whole, running or killed, and those of mosaik-hdf5."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from peergrid.errors import DataError
from peergrid.results.layout import (
    BLOCKS,
    EVENT_DTYPE,
    EVENTS,
    ROWS,
    SCHEMA,
    SCHEMA_ATTR,
    SERIES,
    STATE,
    info_from_names,
    natural,
)
from peergrid.results.safety import MOST_BYTES, claimed_bytes, is_numeric, opened
from peergrid.results.tables import decode_state, read_root

Floats = NDArray[np.float64]
EVENT_COLUMNS = ("time", "who", "what", "value")


@dataclass(frozen=True, eq=False, kw_only=True)
class Piece:
    """Series of one attribute of one model: values (time, entity) or (time, entity, item)."""

    model: str
    attr: str
    unit: str
    ids: list[str]
    values: Floats


def open_run(
    path: str | Path,
    *,
    start: str | None = None,
    step_s: float | None = None,
    max_bytes: int = MOST_BYTES,
) -> xr.Dataset:
    """Read a results file into memory.

    Parameters
    ----------
    path
        A file of ours (complete, still running, or left by a killed run) or of mosaik-hdf5.
    start, step_s
        Start of row 0 (ISO) and length of a row [s], for a file that does not say them.
    max_bytes
        Largest total size of the series [bytes].

    Returns
    -------
    One variable ``Model.attribute`` per model and attribute, with dimensions ``(time, Model)``
    and, for lists, a third; coordinates are full ids and the start of each row (UTC, without
    zone; row numbers when nobody says the start). Attributes are the root attributes and
    ``rows``. Missing values are NaN.

    Examples
    --------
    ``open_run("run.h5")["Bus.Vm[pu]"].min("time").to_series()``
    """
    with opened(path) as file:
        attrs = read_root(file)
        if SCHEMA_ATTR in attrs:
            pieces, rows = _own_pieces(file, path, attrs, max_bytes)
        elif isinstance(file.get(SERIES), h5py.Group):
            pieces = list(_foreign_pieces(file, path, max_bytes))
            rows = max((len(piece.values) for piece in pieces), default=0)
        else:
            raise DataError(path, SERIES, "missing", "a results file of peergrid or mosaik-hdf5")
    if start is not None:
        attrs["start"] = start
    if step_s is not None:
        attrs["step_s"] = step_s
    times = _times(path, attrs, rows)
    return _dataset(pieces, times, {**attrs, "rows": rows})


def open_events(path: str | Path) -> pd.DataFrame:
    """Events of a run: columns time (UTC, or seconds without a start), who, what, value.

    A file without events gives an empty table.
    """
    with opened(path) as file:
        attrs = read_root(file)
        found = file.get(EVENTS)
        raw = np.zeros(0, EVENT_DTYPE)
        if isinstance(found, h5py.Dataset):
            names = found.dtype.names or ()
            if any(found.dtype[n].kind not in "fiuS" for n in names) or set(names) != set(
                EVENT_COLUMNS
            ):
                raise DataError(path, EVENTS, str(found.dtype), f"columns {EVENT_COLUMNS}")
            raw = found[:]
    raw = raw[np.isfinite(raw["time"])]
    table = pd.DataFrame({name: raw[name] for name in EVENT_COLUMNS})
    for name in ("who", "what"):
        table[name] = [text.decode("utf-8", "replace") for text in raw[name]]
    start = _instant(path, attrs.get("start"))
    if start is not None:
        table["time"] = np.datetime64(start) + pd.to_timedelta(raw["time"], unit="s")
    return table


def read_state(path: str | Path) -> tuple[int, dict[str, Any]]:
    """Row to go on at, and the state of every simulator before it.

    The latest row for which all simulators have a whole state counts; without one, the answer is
    ``(0, {})``: start anew.
    """
    with opened(path) as file:
        rows = _row_count(file)
        group = file.get(STATE)
        slots: dict[str, dict[int, Any]] = {}
        if isinstance(group, h5py.Group):
            for sid, entry in group.items():
                records = [entry[n][:] for n in entry if entry[n].dtype == np.uint8]
                found = (decode_state(record) for record in records)
                slots[sid] = {row: state for row, state in filter(None, found) if row < rows}
    common = set.intersection(*(set(s) for s in slots.values())) if slots else set()
    if not common:
        return 0, {}
    row = max(common)
    return row + 1, {sid: states[row] for sid, states in slots.items()}


# -- files of ours -----------------------------------------------------------------------------


def _row_count(file: Any) -> int:
    count = file.get(ROWS)
    if not is_numeric(count) or count.shape != ():
        raise ValueError("no row count")
    return max(0, int(count[()]))


def _own_pieces(
    file: Any, path: str | Path, attrs: dict[str, Any], max_bytes: int
) -> tuple[list[Piece], int]:
    if attrs[SCHEMA_ATTR] != SCHEMA:
        raise DataError(path, SCHEMA_ATTR, attrs[SCHEMA_ATTR], f"{SCHEMA}, or a newer peergrid")
    rows = _row_count(file)
    pieces: list[Piece] = []
    group = file.get(BLOCKS, {})
    total = 0
    for name in sorted(group, key=natural):
        values, columns = group[name]["values"], group[name]["columns"]
        if not is_numeric(values) or values.is_virtual or len(values.shape) not in (2, 3):
            raise DataError(path, values.name, str(values.dtype), "numbers, 2-D or 3-D")
        if columns.dtype.hasobject or columns.shape != values.shape[1:2]:
            raise DataError(path, columns.name, columns.shape, "one row per column of the block")
        total += claimed_bytes(values)
        if total > max_bytes:
            raise DataError(path, values.name, values.shape, f"{max_bytes} bytes in all")
        rows = min(rows, len(values))
        pieces.extend(_split(np.asarray(values[:rows], dtype=np.float64), columns[:]))
    return pieces, rows


def _split(values: Floats, columns: Any) -> Iterator[Piece]:
    """Cut a block into runs of columns of the same model and attribute."""
    first = 0
    for last in range(1, len(columns) + 1):
        here = columns[first]
        if last < len(columns) and all(columns[last][n] == here[n] for n in ("model", "attr")):
            continue
        text = {n: here[n].decode("utf-8", "replace") for n in ("model", "attr", "unit")}
        ids = [c.decode("utf-8", "replace") for c in columns["id"][first:last]]
        yield Piece(ids=ids, values=values[:, first:last], **text)
        first = last


# -- files of mosaik-hdf5 ----------------------------------------------------------------------


def _foreign_pieces(file: Any, path: str | Path, max_bytes: int) -> Iterator[Piece]:
    total = 0
    for full_id, entity in file[SERIES].items():
        if not isinstance(entity, h5py.Group):
            continue
        for attr, data in _leaves(entity, ""):
            if not is_numeric(data) or data.is_virtual or len(data.shape) not in (1, 2):
                continue
            total += claimed_bytes(data)
            if total > max_bytes:
                raise DataError(path, data.name, data.shape, f"{max_bytes} bytes in all")
            info = info_from_names(full_id, attr)
            values = np.asarray(data[:], dtype=np.float64)
            yield Piece(
                model=info.model,
                attr=attr,
                unit=info.unit,
                ids=[str(full_id)],
                values=values[:, np.newaxis, ...],
            )


def _leaves(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, member in group.items():
        if isinstance(member, h5py.Group):
            yield from _leaves(member, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", member


# -- xarray ------------------------------------------------------------------------------------


def _instant(path: str | Path, text: Any) -> datetime | None:
    """Instant in UTC, without its zone, of an ISO text; None when there is no text."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise DataError(path, "start", text, "an ISO time") from error
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def _times(path: str | Path, attrs: dict[str, Any], rows: int) -> NDArray[Any]:
    start, step = _instant(path, attrs.get("start")), attrs.get("step_s")
    if start is None or step is None:
        return np.arange(rows)
    if not isinstance(step, int | float) or not 0 < step < 1e10:
        raise DataError(path, "step_s", step, "a positive number of seconds")
    offsets = (np.arange(rows) * float(step) * 1e9).astype("timedelta64[ns]")
    return np.asarray(np.datetime64(start, "ns") + offsets)


def _dataset(pieces: Iterable[Piece], times: NDArray[Any], attrs: dict[str, Any]) -> xr.Dataset:
    groups: dict[tuple[str, str], list[Piece]] = {}
    ids: dict[str, set[str]] = {}
    for piece in pieces:
        groups.setdefault((piece.model, piece.attr), []).append(piece)
        ids.setdefault(piece.model, set()).update(piece.ids)
    ordered = {model: sorted(members, key=natural) for model, members in ids.items()}
    variables = {}
    for (model, attr), members in sorted(groups.items()):
        name = f"{model}.{attr}"
        values = _merge(members, ordered[model], len(times))
        dims = ("time", _dim(model), f"{name}:item")[: values.ndim]
        variables[name] = xr.Variable(dims, values, {"units": members[0].unit})
    coords: dict[str, Any] = {"time": times}
    coords.update({_dim(model): members for model, members in ordered.items()})
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def _dim(model: str) -> str:
    """Name of a model's dimension.

    >>> _dim("Bus"), _dim("time")
    ('Bus', 'time_')
    """
    return f"{model}_" if model == "time" else model


def _merge(pieces: list[Piece], ids: list[str], rows: int) -> Floats:
    """Values of all entities, NaN where there are none; a later piece replaces an earlier one."""
    width = max((piece.values.shape[2] for piece in pieces if piece.values.ndim == 3), default=0)
    shape = (rows, len(ids), width) if width else (rows, len(ids))
    merged = np.full(shape, np.nan)
    position = {full_id: column for column, full_id in enumerate(ids)}
    for piece in pieces:
        columns = [position[full_id] for full_id in piece.ids]
        values = piece.values[:rows]
        if width:
            values = values if values.ndim == 3 else values[:, :, np.newaxis]
            merged[: len(values), columns] = np.nan
            merged[: len(values), columns, : values.shape[2]] = values
        else:
            merged[: len(values), columns] = values
    return merged
