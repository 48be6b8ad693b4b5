"""Writer of results files: HDF5 that mosaik-hdf5 readers understand and a kill does not break.

What an hour writes goes to places allocated ahead; the number of whole rows is written last. A
new series, a longer list, an outgrown event table or a run longer than planned changes the
structure of the file, which happens in a copy ``<name>.part`` that then replaces it. Nothing is
promised against the loss of power: there is no ``fsync``.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from peergrid.errors import DataError
from peergrid.results.blocks import Block, Key
from peergrid.results.layout import (
    BLOCKS,
    RELATIONS,
    RESERVED,
    ROWS,
    SCHEMA,
    SCHEMA_ATTR,
    SERIES,
    TIME,
    Describe,
    SeriesInfo,
    info_from_names,
    natural,
)
from peergrid.results.storage import SafeFile
from peergrid.results.tables import EventTable, StateStore, write_relations, write_root

FIRST_ROOM = 64
Values = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class RunHeader:
    """What a results file says about its run.

    Parameters
    ----------
    start
        Start of row 0, ISO with offset.
    step_s
        Length of a row [s].
    rows
        Rows the run will have; None when nobody knows.
    attrs
        More root attributes: scenario text, seed, versions, limits. Texts and numbers are kept
        as they are, structures become JSON.
    """

    start: str
    step_s: float
    rows: int | None = None
    attrs: Mapping[str, Any] = field(default_factory=dict)


class RunFile:
    """A results file open for writing; make one with :meth:`create` or :meth:`append`.

    Row ``k`` is the time ``[start + k step, start + (k + 1) step)``.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "run.h5"
    >>> header = RunHeader(start="2016-06-30T00:00+00:00", step_s=3600.0, rows=2)
    >>> with RunFile.create(path, header) as run:
    ...     run.write(0, {"Vm[pu]": {"Grid-0.Bus-1": 1.0}})
    ...     run.write(1, {"Vm[pu]": {"Grid-0.Bus-1": 0.99}})
    >>> import h5py
    >>> with h5py.File(path) as file:
    ...     file["Series/Grid-0.Bus-1/Vm[pu]"][:]
    array([1.  , 0.99])
    """

    def __init__(self, store: SafeFile, *, describe: Describe = info_from_names) -> None:
        self._store = store
        self._describe = describe
        self._step_s = float(store.file.attrs["step_s"])
        planned = int(store.file.attrs["rows_planned"])
        self._planned = planned if planned >= 0 else None
        store.listen(self._attach)
        self.rows = int(self._count[()])
        self._events = EventTable(store)
        self._states = StateStore(store)
        self._blocks = [Block(store, str(i)) for i in range(len(store.file[BLOCKS]))]
        self._slots: dict[Key, tuple[Block, int]] = {}
        for block in self._blocks:
            self._index(block)
        self._skipped: set[Key] = set()

    def _attach(self) -> None:
        self._count: Any = self._store.file[ROWS]
        self._time: Any = self._store.file[TIME]

    @classmethod
    def create(
        cls,
        path: str | Path,
        header: RunHeader,
        *,
        describe: Describe = info_from_names,
        overwrite: bool = False,
    ) -> "RunFile":
        """Start a new file.

        Parameters
        ----------
        path
            The file.
        header
            What it says about the run.
        describe
            Model, unit and lag of a series, from its full id and attribute.
        overwrite
            Whether a file that exists may be replaced.
        """
        if Path(path).exists() and not overwrite:
            raise DataError(path, "file", "exists", "a new file, or overwrite")
        if not (math.isfinite(header.step_s) and header.step_s > 0):
            raise DataError(path, "step_s", header.step_s, "a positive number of seconds")
        taken = sorted(set(header.attrs) & set(RESERVED))
        if taken:
            raise DataError(path, "attrs", taken, f"names other than {', '.join(RESERVED)}")
        store = SafeFile(path, new=True)
        _write_header(store.file, header)
        run = cls(store, describe=describe)
        run._reserve(FIRST_ROOM if header.rows is None else header.rows)
        store.publish()
        return run

    @classmethod
    def append(
        cls, path: str | Path, row: int, *, describe: Describe = info_from_names
    ) -> "RunFile":
        """Go on with a file at ``row``; what it holds from there on is dropped."""
        if not Path(path).is_file():
            raise DataError(path, "file", "missing", "a results file to go on with")
        store = SafeFile(path)
        try:
            file = store.file
            known = file.attrs.get(SCHEMA_ATTR) == SCHEMA and ROWS in file
            rows = int(file[ROWS][()]) if known else -1
            if not 0 <= row <= rows:
                raise DataError(path, "row", row, f"0 to the {rows} whole rows of the file")
            run = cls(store, describe=describe)
            run._cut(row)
            store.publish()
        except DataError:
            store.abandon()
            raise
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            store.abandon()
            raise DataError(path, "file", str(error), "a whole results file") from error
        return run

    def __enter__(self) -> "RunFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(None if error is None else f"failed: {error}")

    # -- an hour -------------------------------------------------------------------------------

    def write(
        self,
        row: int,
        values: Values,
        *,
        events: Iterable[Mapping[str, Any]] = (),
        states: Mapping[str, Any] | None = None,
    ) -> None:
        """Write everything that was published in one step, then count the row.

        Parameters
        ----------
        row
            The step. A negative one (warm-up) is dropped; the one after the last row only
            delivers lagged values.
        values
            By attribute and full id: numbers, booleans, None, or lists of numbers.
        events
            Mappings with ``who``, ``what``, ``value``.
        states
            By simulator: the state after this step.
        """
        if row < 0:
            return
        last = self._planned is None or row < self._planned
        skipped = list(self._put(values))
        if last and self._planned is None and row >= len(self._time):
            self._reserve(max(row + 1, 2 * len(self._time)))
        for block in self._blocks:
            block.write(row - block.lag_steps)
        self._events.append(row * self._step_s, [*events, *skipped])
        for sid, state in (states or {}).items():
            self._states.write(sid, row, state)
        self._store.file.flush()
        if last and row >= self.rows:
            self.rows = row + 1
            self._count[()] = self.rows
            self._store.file.flush()
        self._store.publish()

    def write_relations(self, neighbours: Mapping[str, Iterable[str]]) -> None:
        """Write which entities are connected or related, by full id."""
        self._store.stage()
        pairs = {node: sorted(set(others)) for node, others in neighbours.items()}
        write_relations(self._store.file, pairs)
        self._store.publish()

    def close(self, status: str | None = None) -> None:
        """Cut what was allocated ahead, say how it ended, and close.

        Without a ``status``, a file with all planned rows is ``complete``, one with fewer stays
        ``running``, and one whose length nobody planned is ``closed``.
        """
        if not self._store.file:
            return
        if status is None and self._planned is None:
            status = "closed"
        elif status is None and self.rows >= (self._planned or 0):
            status = "complete"
        self._store.stage()
        for block in self._blocks:
            block.resize(self.rows)
            block.trim_width()
        self._time.resize((self.rows,))
        self._events.trim()
        if status is not None:
            self._store.file.attrs["status"] = _one_line(status)
        self._store.close()

    # -- series --------------------------------------------------------------------------------

    def _put(self, values: Values) -> Iterator[dict[str, Any]]:
        """Hand each value to its block; yield an event for each series that cannot be kept."""
        numbers: list[tuple[Key, Any]] = []
        lists: list[tuple[Key, Any]] = []
        for attr, by_source in values.items():
            for source, value in by_source.items():
                key = (source, attr)
                kept = _numeric(value)
                if kept is None:
                    if key not in self._skipped:
                        self._skipped.add(key)
                        text = f"{attr} is not recorded: {type(value).__name__}"
                        yield {"who": source, "what": text}
                    continue
                slot = self._slots.get(key)
                is_list = isinstance(kept, np.ndarray)
                if slot is None or (is_list and not slot[0].is_list):
                    (lists if is_list else numbers).append((key, kept))
                else:
                    slot[0].put(slot[1], kept)
        if numbers or lists:
            self._add(numbers, lists)

    def _add(self, numbers: list[tuple[Key, Any]], lists: list[tuple[Key, Any]]) -> None:
        """Create the series seen for the first time, in an order that only names decide."""
        infos = {key: self._describe(*key) for key, _ in (*numbers, *lists)}
        groups: dict[tuple[Any, ...], list[tuple[Key, Any]]] = {}
        for key, value in numbers:
            groups.setdefault((infos[key].lag_steps,), []).append((key, value))
        for key, value in lists:
            info = infos[key]
            groups.setdefault((info.lag_steps, info.model, key[1]), []).append((key, value))
        for name in sorted(groups):
            members = sorted(groups[name], key=lambda item: _order(item[0], infos[item[0]]))
            keys = [key for key, _ in members]
            width = max(v.size for _, v in members) if len(name) > 1 else None
            old = {key: self._slots[key] for key in keys if key in self._slots}
            block = self._new_block(keys, [infos[key] for key in keys], width)
            for column, (key, value) in enumerate(members):
                if key in old:
                    block.fill(column, old[key][0].read(old[key][1]))
                block.put(column, value)

    def _new_block(self, keys: list[Key], infos: list[SeriesInfo], width: int | None) -> Block:
        try:
            block = Block.create(self._store, keys, infos, capacity=len(self._time), width=width)
        except (ValueError, OSError, RuntimeError) as error:
            raise DataError(
                self._store.path, "series", keys, f"names HDF5 can hold: {error}"
            ) from error
        self._blocks.append(block)
        self._index(block)
        return block

    def _index(self, block: Block) -> None:
        for column, key in enumerate(block.keys):
            self._slots[key] = (block, column)

    # -- rows ----------------------------------------------------------------------------------

    def _reserve(self, rows: int) -> None:
        """Allocate rows for all series."""
        self._store.stage()
        self._time.resize((rows,))
        self._time[:] = np.arange(rows) * self._step_s
        for block in self._blocks:
            block.resize(rows)

    def _cut(self, row: int) -> None:
        """Forget what was written at and after a row, and make room to go on."""
        self._store.stage()
        self._store.file.attrs["status"] = "running"
        self.rows = row
        self._count[()] = row
        self._reserve(max(row, FIRST_ROOM) if self._planned is None else self._planned)
        for block in self._blocks:
            block.clear_from(row - block.lag_steps)
        self._events.clear_from(row * self._step_s)
        self._states.clear_from(row)


def mark_failed(path: str | Path, reason: str) -> None:
    """Set the status of a file that its writer has left to ``failed: <reason>``."""
    if not Path(path).is_file():
        raise DataError(path, "file", "missing", "a results file")
    store = SafeFile(path)
    store.stage()
    store.file.attrs["status"] = _one_line(f"failed: {reason}")
    store.close()


def _write_header(file: Any, header: RunHeader) -> None:
    for name, value in header.attrs.items():
        write_root(file, name, value)
    file.attrs[SCHEMA_ATTR] = SCHEMA
    file.attrs["start"] = header.start
    file.attrs["step_s"] = header.step_s
    file.attrs["rows_planned"] = -1 if header.rows is None else header.rows
    file.attrs["status"] = "running"
    file.create_dataset(ROWS, data=np.int64(0))
    time = file.create_dataset(TIME, (0,), maxshape=(None,), dtype="f8", fillvalue=np.nan)
    time.attrs["unit"] = "s"
    for name in (SERIES, BLOCKS, RELATIONS):
        file.create_group(name)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:1000]


def _order(key: Key, info: SeriesInfo) -> tuple[Any, ...]:
    return info.model, key[1], natural(key[0])


def _numeric(value: Any) -> Any:
    """A float, or a 1-D array for a list; None for what is neither (text, mapping, nested)."""
    if value is None:
        return math.nan
    if isinstance(value, float | int | np.number | np.bool_):
        return float(value)
    if not isinstance(value, list | tuple | np.ndarray):
        return None
    try:
        items = np.asarray([math.nan if v is None else v for v in value], dtype=np.float64)
    except (TypeError, ValueError):
        return None
    return items if items.ndim == 1 else None
