"""Blocks: many series of a results file kept side by side, one row written per hour.

A block is allocated ahead for all its rows and written around the chunk cache, so an ordinary
hour changes numbers in place and no structure of the file. The single series are virtual datasets
that point into the block.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from h5py import h5d, h5p, h5s, h5t
from numpy.typing import NDArray

from peergrid.results.layout import BLOCKS, SERIES, SeriesInfo
from peergrid.results.storage import SafeFile

Floats = NDArray[np.float64]
Key = tuple[str, str]

CHUNK_ROWS = 256
CHUNK_COLUMNS = 64


def create_array(group: Any, name: str, shape: tuple[int, ...], fixed: tuple[int, ...]) -> Any:
    """Create a float dataset, NaN everywhere, allocated at once and written around the cache.

    Parameters
    ----------
    group, name
        Where it goes.
    shape
        Its size now; axis 0 can grow.
    fixed
        Axes that cannot grow.

    Returns
    -------
    The low-level h5py dataset.
    """
    room = (CHUNK_ROWS, CHUNK_COLUMNS, CHUNK_COLUMNS)
    chunk = [max(1, min(size, most)) for size, most in zip(shape, room, strict=False)]
    if len(chunk) == 3:
        chunk[1] = max(1, min(chunk[1], CHUNK_COLUMNS // chunk[2]))
    create = h5p.create(h5p.DATASET_CREATE)
    create.set_chunk(tuple(chunk))
    create.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    create.set_fill_value(np.array(np.nan))
    most = tuple(size if axis in fixed else h5s.UNLIMITED for axis, size in enumerate(shape))
    space = h5s.create_simple(shape, most)
    return h5d.create(
        group.id, name.encode(), h5t.IEEE_F64LE, space, create, dapl=_uncached_access()
    )


def _uncached_access() -> Any:
    access = h5p.create(h5p.DATASET_ACCESS)
    access.set_chunk_cache(1, 0, 1.0)
    return access


def encode_columns(keys: Sequence[Key], infos: Sequence[SeriesInfo]) -> NDArray[np.void]:
    """Table of the columns of a block: id, attribute, model and unit of each, as bytes."""
    rows = [
        tuple(text.encode() for text in (*key, info.model, info.unit))
        for key, info in zip(keys, infos, strict=True)
    ]
    sizes = [max(1, *(len(row[i]) for row in rows)) for i in range(4)]
    names = ("id", "attr", "model", "unit")
    dtype = np.dtype([(name, f"S{size}") for name, size in zip(names, sizes, strict=True)])
    return np.array(rows, dtype=dtype)


class Block:
    """Series written together: a row of numbers, or a row of lists, per hour.

    Parameters
    ----------
    store
        The file.
    name
        Name of the block's group, with ``values`` and ``columns`` inside.
    """

    def __init__(self, store: SafeFile, name: str) -> None:
        self._store = store
        self._name = name
        store.listen(self._attach)
        group = self._group
        columns = group["columns"][:]
        self.keys: list[Key] = [(c["id"].decode(), c["attr"].decode()) for c in columns]
        self._units: list[str] = [c["unit"].decode() for c in columns]
        self.lag_steps = int(group.attrs["lag_steps"])
        self.is_list = len(self._data.shape) == 3
        self._row = np.full(self._data.shape[1:], np.nan)
        self._touched = False

    @classmethod
    def create(
        cls,
        store: SafeFile,
        keys: Sequence[Key],
        infos: Sequence[SeriesInfo],
        *,
        capacity: int,
        width: int | None = None,
    ) -> "Block":
        """Add a block to the file, and its series under ``/Series``.

        Parameters
        ----------
        store
            The file.
        keys, infos
            Full id and attribute, and description, of each column; all of one lag.
        capacity
            Rows to allocate.
        width
            Length of the lists; None for numbers.
        """
        store.stage()
        parent = store.file.require_group(BLOCKS)
        name = str(len(parent))
        group = parent.create_group(name)
        group.attrs["lag_steps"] = infos[0].lag_steps
        group.create_dataset("columns", data=encode_columns(keys, infos))
        shape = (capacity, len(keys)) if width is None else (capacity, len(keys), max(1, width))
        create_array(group, "values", shape, fixed=(1,))
        block = cls(store, name)
        block._expose()
        return block

    def _attach(self) -> None:
        self._group: Any = self._store.file[BLOCKS][self._name]
        self._data: Any = h5d.open(self._group.id, b"values", _uncached_access())

    @property
    def capacity(self) -> int:
        """Rows allocated."""
        return int(self._data.shape[0])

    def put(self, column: int, value: Any) -> None:
        """Take one value of the row that :meth:`write` will write."""
        self._touched = True
        if not self.is_list:
            self._row[column] = value
            return
        items = np.atleast_1d(np.asarray(value, dtype=np.float64))
        if items.size > self._row.shape[1]:
            self._widen(1 << (items.size - 1).bit_length())
        self._row[column, : items.size] = items

    def write(self, row: int) -> None:
        """Write what was put since the last call into a row; columns not put are NaN."""
        if self._touched and 0 <= row < self.capacity:
            shape = self._data.shape
            start = (row,) + (0,) * (len(shape) - 1)
            space = self._data.get_space()
            space.select_hyperslab(start, (1, *shape[1:]))
            self._data.write(h5s.create_simple((1, *shape[1:])), space, self._row)
        self.discard()

    def discard(self) -> None:
        """Forget what was put."""
        if self._touched:
            self._row.fill(np.nan)
            self._touched = False

    def resize(self, capacity: int) -> None:
        """Allocate or cut rows."""
        if capacity != self.capacity:
            self._store.stage()
            self._data.set_extent((capacity, *self._data.shape[1:]))

    def clear_from(self, row: int) -> None:
        """Set the rows from ``row`` on to NaN, by cutting and adding them again."""
        capacity = self.capacity
        if row < capacity:
            self.resize(max(row, 0))
            self.resize(capacity)

    def read(self, column: int) -> Floats:
        """All rows of one column of numbers, shape (capacity,)."""
        return np.asarray(self._group["values"][:, column], dtype=np.float64)

    def fill(self, column: int, numbers: Floats) -> None:
        """Take the numbers of a series that turns out to be a list as its first items."""
        self._group["values"][:, column, 0] = numbers

    def trim_width(self) -> None:
        """Cut the items that no list of the block has."""
        if not self.is_list:
            return
        used = 1
        values = self._group["values"]
        for first in range(0, self.capacity, CHUNK_ROWS):
            filled = np.isfinite(values[first : first + CHUNK_ROWS]).any(axis=(0, 1))
            used = max(used, int(filled.nonzero()[0].max(initial=0)) + 1)
        if used < self._row.shape[1]:
            self._set_width(used)

    def _widen(self, width: int) -> None:
        kept = self._row
        self._set_width(width)
        self._row[:, : kept.shape[1]] = kept

    def _set_width(self, width: int) -> None:
        self._store.stage()
        self._data.set_extent((*self._data.shape[:2], width))
        self._row = np.full((self._data.shape[1], width), np.nan)
        self._expose()

    def _expose(self) -> None:
        """(Re)create the virtual datasets; a series that moved to a later block stays there."""
        file = self._group.file
        series = file.require_group(SERIES)
        source = f"{self._group.name}/values".encode()
        for column, (full_id, attr) in enumerate(self.keys):
            path = f"{full_id}/{attr}"
            if path in series:
                del series[path]
            create_virtual(series, path, source, self._data.shape, column)
            series[path].attrs["unit"] = self._units[column]


def create_virtual(
    group: Any, path: str, source: bytes, shape: tuple[int, ...], column: int
) -> None:
    """Create a dataset that shows one column of a block and grows with it, in the same file."""
    items = shape[2:]
    ones = (1,) * len(items)
    unlimited = h5s.UNLIMITED
    view = h5s.create_simple((0, *items), (unlimited, *items))
    view.select_hyperslab((0,) * (1 + len(items)), (unlimited, *ones), block=(1, *items))
    block = h5s.create_simple((0, *shape[1:]), (unlimited, *shape[1:]))
    block.select_hyperslab(
        (0, column, *(0 for _ in items)), (unlimited, 1, *ones), block=(1, 1, *items)
    )
    create = h5p.create(h5p.DATASET_CREATE)
    create.set_virtual(view, b".", source, block)
    create.set_fill_value(np.array(np.nan))
    links = h5p.create(h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    h5d.create(group.id, path.encode(), h5t.IEEE_F64LE, view, create, links)
