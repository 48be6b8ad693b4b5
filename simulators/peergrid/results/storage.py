"""An HDF5 file whose structure changes only in a copy, which then takes its place at once.

HDF5 writes a change of structure (a new dataset, a longer one) in several pieces; a process
killed in between leaves a file that nobody can open. Numbers written in place have no such
moment. So whoever is about to change the structure calls :meth:`SafeFile.stage` first.
"""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from peergrid.errors import DataError

PART = ".part"


class SafeFile:
    """A file open for writing, or its copy while the structure changes.

    Parameters
    ----------
    path
        The file; links are followed.
    new
        Whether to start with an empty one (in the copy, until :meth:`publish`).
    """

    def __init__(self, path: str | Path, *, new: bool = False) -> None:
        self.path = Path(path).resolve()
        self._part = self.path.with_name(self.path.name + PART)
        self._listeners: list[Callable[[], None]] = []
        self._staged = new
        with self._clearly():
            self.file: Any = _open(self._part, "w") if new else _open(self.path, "r+")

    def listen(self, reopen: Callable[[], None]) -> None:
        """Call back whenever handles into the file have to be opened anew; and now."""
        self._listeners.append(reopen)
        reopen()

    def stage(self) -> None:
        """Go on in a copy until :meth:`publish`; nothing when that is so already."""
        if self._staged:
            return
        with self._clearly():
            self.file.close()
            shutil.copyfile(self.path, self._part)
            self._switch(self._part)
        self._staged = True

    def publish(self) -> None:
        """Let the copy take the place of the file; nothing when there is none."""
        if not self._staged:
            return
        with self._clearly():
            self.file.close()
            os.replace(self._part, self.path)
            self._staged = False
            self._switch(self.path)

    def close(self) -> None:
        """Publish and close."""
        if self.file:
            self._listeners.clear()
            self.publish()
            self.file.close()

    def abandon(self) -> None:
        """Close and leave the file as it was last published."""
        if self.file:
            self.file.close()
        if self._staged:
            self._part.unlink(missing_ok=True)
            self._staged = False

    def _switch(self, path: Path) -> None:
        self.file = _open(path, "r+")
        for reopen in self._listeners:
            reopen()

    def _clearly(self) -> contextlib.AbstractContextManager[None]:
        return _clear_errors(self.path)


@contextlib.contextmanager
def _clear_errors(path: Path) -> Any:
    try:
        yield
    except OSError as error:
        raise DataError(path, "file", str(error), "a place to write an HDF5 file") from error


def _open(path: Path, mode: str) -> Any:
    return h5py.File(path, mode, libver="earliest")
