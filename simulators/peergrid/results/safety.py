"""Opening a file from anywhere: one clear line when it is unfit, no harm when it is hostile.

Refused are external and soft links, datasets whose numbers lie in other files, datasets that
claim far more than the file can hold, and trees without end. Nothing is ever unpickled. The HDF5
library itself is C: bytes damaged on purpose may crash it, so a service that takes files from
strangers should open them in a process of their own.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from peergrid.errors import DataError

DEEPEST = 16
MOST_OBJECTS = 2_000_000
PACKING = 1100
SLACK_BYTES = 1 << 20
MOST_BYTES = 8 << 30
ATTEMPTS = 4
WAIT_S = 0.05


@contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """Open a results file for reading, also one that is still being written.

    Anything unreadable inside the ``with`` block becomes a :class:`DataError` too.
    """
    with _open(Path(path)) as file:
        try:
            _check_tree(file, Path(path))
            yield file
        except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
            raise DataError(path, "file", str(error), "a whole HDF5 results file") from error


def _open(path: Path) -> Any:
    if not path.is_file():
        raise DataError(path, "file", "missing", "an HDF5 results file")
    locking: bool | None = False
    for attempt in range(ATTEMPTS):
        try:
            return h5py.File(path, "r", locking=locking)
        except OSError as error:
            if "locking flag" in str(error):
                locking = None  # this very process has it open for writing
                continue
            if not h5py.is_hdf5(path):
                what = "empty" if path.stat().st_size == 0 else "not HDF5"
                raise DataError(path, "file", what, "an HDF5 results file") from error
            if attempt == ATTEMPTS - 1:
                raise DataError(path, "file", str(error), "a whole HDF5 file") from error
            time.sleep(WAIT_S * (attempt + 1))
    raise DataError(path, "file", "busy", "a whole HDF5 file")


def _check_tree(file: Any, path: Path) -> None:
    """Walk all links of a file and refuse what could reach outside it or never end."""
    size = path.stat().st_size
    stack = [(file, 0)]
    seen = 0
    while stack:
        group, depth = stack.pop()
        for name in group:
            seen += 1
            if seen > MOST_OBJECTS or depth > DEEPEST:
                raise DataError(path, group.name, name, "a tree of series of ordinary size")
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise DataError(path, group.name, name, "no links to elsewhere")
            member = group[name]
            if isinstance(member, h5py.Group):
                stack.append((member, depth + 1))
            elif isinstance(member, h5py.Dataset):
                _check_dataset(member, path, size)


def _check_dataset(data: Any, path: Path, file_bytes: int) -> None:
    if data.external is not None:
        raise DataError(path, data.name, "external", "numbers inside the file")
    if data.is_virtual:
        if any(source.file_name != "." for source in data.virtual_sources()):
            raise DataError(path, data.name, "virtual", "numbers inside the same file")
    elif claimed_bytes(data) > PACKING * file_bytes + SLACK_BYTES:
        raise DataError(path, data.name, data.shape, f"what a file of {file_bytes} bytes can hold")


def claimed_bytes(data: Any) -> int:
    """Memory that reading a whole dataset would take [bytes]."""
    if data.shape is None:
        return 0
    total = int(data.dtype.itemsize)
    for length in data.shape:
        total *= int(length)
    return total


def is_numeric(data: Any) -> bool:
    """Whether a dataset holds plain numbers or booleans: no text, no references, no objects."""
    return isinstance(data, h5py.Dataset) and data.dtype.kind in "fiub"
