"""The parts of a results file that are not series: events, states, relations, texts."""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5p

from peergrid.errors import DataError
from peergrid.results.layout import (
    EVENT_DTYPE,
    EVENTS,
    RELATIONS,
    SERIES,
    STATE,
    TEXTS,
    WHAT_BYTES,
    WHO_BYTES,
    number,
    shorten,
)
from peergrid.results.storage import SafeFile

EVENT_ROOM = 256
LONGEST_ATTRIBUTE = 60_000


class EventTable:
    """The table ``/Events``: allocated ahead; rows whose time is NaN are not yet used."""

    def __init__(self, store: SafeFile) -> None:
        self._store = store
        if EVENTS not in store.file:
            store.stage()
            _create_events(store.file)
        store.listen(self._attach)
        self._used = int(np.isfinite(self._data["time"]).sum())

    def _attach(self) -> None:
        self._data: Any = self._store.file[EVENTS]

    def append(self, time_s: float, events: Iterable[Mapping[str, Any]]) -> None:
        """Add events of one instant; a value that is no number is added to the text."""
        rows = [_event_row(time_s, event) for event in events]
        if not rows:
            return
        end = self._used + len(rows)
        if end > len(self._data):
            self._store.stage()
            self._data.resize((max(end, 2 * len(self._data), EVENT_ROOM),))
        self._data[self._used : end] = np.array(rows, dtype=EVENT_DTYPE)
        self._used = end

    def clear_from(self, time_s: float) -> None:
        """Drop the events at or after an instant."""
        self._used = int((self._data["time"][: self._used] < time_s).sum())
        self.trim()

    def trim(self) -> None:
        """Cut the rows that are not used."""
        self._store.stage()
        self._data.resize((self._used,))


def _create_events(file: Any) -> None:
    create = h5p.create(h5p.DATASET_CREATE)
    create.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    file.create_dataset(
        EVENTS,
        shape=(EVENT_ROOM,),
        maxshape=(None,),
        chunks=(EVENT_ROOM,),
        dtype=EVENT_DTYPE,
        fillvalue=np.array((np.nan, b"", b"", np.nan), EVENT_DTYPE),
        dcpl=create,
    )


def _event_row(time_s: float, event: Mapping[str, Any]) -> tuple[float, bytes, bytes, float]:
    value = event.get("value")
    what = str(event.get("what", ""))
    if isinstance(value, str | list | tuple | dict):
        what = f"{what}: {value}" if what else str(value)
    who = shorten(event.get("who", ""), WHO_BYTES)
    return time_s, who, shorten(what, WHAT_BYTES), number(value)


class StateStore:
    """The states under ``/State``: JSON, two slots per simulator written in turn.

    A slot is bytes: ``row length crc32`` in ASCII, a line feed, the JSON text, padding. A process
    killed while it writes one slot leaves the other.
    """

    def __init__(self, store: SafeFile) -> None:
        self._store = store
        if STATE not in store.file:
            store.stage()
            store.file.create_group(STATE)
        store.listen(self._attach)
        self._next: dict[str, int] = {}

    def _attach(self) -> None:
        self._group: Any = self._store.file[STATE]

    def write(self, sid: str, row: int, state: Any) -> None:
        """Keep the state of a simulator after a row; plain JSON-ready data only."""
        try:
            text = json.dumps(state, separators=(",", ":")).encode()
        except (TypeError, ValueError) as error:
            raise DataError(sid, "state", type(state).__name__, f"JSON data: {error}") from error
        head = f"{row} {len(text)} {zlib.crc32(text)}\n".encode()
        record = np.frombuffer(head + text, dtype=np.uint8)
        slot = self._next.get(sid)
        if slot is None:
            slot = _older_slot(self._group[sid]) if sid in self._group else 0
        self._next[sid] = 1 - slot
        path = f"{sid}/{slot}"
        if path not in self._group or len(self._group[path]) < len(record):
            self._store.stage()
            if path in self._group:
                del self._group[path]
            room = np.zeros(2 * len(record), dtype=np.uint8)
            self._group.create_dataset(path, data=room)
        self._group[path][: len(record)] = record

    def clear_from(self, row: int) -> None:
        """Forget the states at or after a row."""
        for group in self._group.values():
            for slot in group.values():
                found = decode_state(slot[:])
                if found is None or found[0] >= row:
                    slot[:] = 0
        self._next.clear()


def _older_slot(group: Any) -> int:
    rows = [decode_state(group[name][:]) if name in group else None for name in "01"]
    ages = [-2 if found is None else found[0] for found in rows]
    return 0 if ages[0] <= ages[1] else 1


def decode_state(record: Any) -> tuple[int, Any] | None:
    """Row and state in a slot; None when the slot is not whole."""
    head, _, rest = bytes(record).partition(b"\n")
    try:
        row, length, checksum = (int(part) for part in head.split())
        text = rest[:length]
        if len(text) != length or zlib.crc32(text) != checksum:
            return None
        return row, json.loads(text)
    except (ValueError, RecursionError):
        return None


def write_relations(file: Any, neighbours: Mapping[str, Sequence[str]]) -> None:
    """Write ``/Relations`` as mosaik-hdf5 does: for each entity, pairs (relation, series)."""
    group = file.require_group(RELATIONS)
    for node, others in sorted(neighbours.items()):
        if node in group:
            continue
        pairs = [
            (f"/{RELATIONS}/{other}".encode(), f"/{SERIES}/{other}".encode())
            for other in sorted(others)
        ]
        size = max((len(text) for pair in pairs for text in pair), default=1)
        data = np.array(pairs, dtype=f"S{size}").reshape(-1, 2)
        group.create_dataset(node, data=data)


def write_root(file: Any, name: str, value: Any) -> None:
    """Write a root attribute; structures as JSON, long texts under ``/Texts``, None not at all."""
    if value is None:
        return
    if isinstance(value, Mapping | list | tuple):
        value = json.dumps(value)
    elif not isinstance(value, str | int | float | np.number | np.bool_):
        value = str(value)
    if isinstance(value, str) and len(value.encode()) > LONGEST_ATTRIBUTE:
        group = file.require_group(TEXTS)
        if name in group:
            del group[name]
        group.create_dataset(name, data=np.frombuffer(value.encode(), dtype=np.uint8))
    else:
        file.attrs[name] = value


def read_root(file: Any) -> dict[str, Any]:
    """Root attributes (texts and numbers only) and long texts, as plain Python values."""
    found: dict[str, Any] = {}
    for name in file.attrs:
        value = file.attrs[name]
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, str | int | float | bool):
            found[str(name)] = value
    texts = file.get(TEXTS)
    if isinstance(texts, h5py.Group):
        for name, data in texts.items():
            if isinstance(data, h5py.Dataset) and data.dtype == np.uint8:
                found[str(name)] = data[:].tobytes().decode("utf-8", "replace")
    return found
