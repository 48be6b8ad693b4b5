"""What goes wrong while a World runs: caught, written into the results file, said in one line."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from loguru import logger

from peergrid.errors import PeergridError
from peergrid.results import mark_failed, open_run


class RunError(PeergridError):
    """A run that was started did not come to its end; the command exits with status 1."""


class Guard:
    """Whatever a simulator raises ends as a marked results file and a :class:`RunError`.

    Parameters
    ----------
    path
        The results file.
    world
        The World that is running; it is shut down in any case.
    """

    def __init__(self, path: Path, world: Any) -> None:
        self._path = path
        self._world = world
        self._before: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> None:
        self._before = asyncio.all_tasks(self._world.loop)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _cancel_tasks(self._world.loop, self._before)
        self._world.shutdown()
        if isinstance(error, Exception):
            raise failed(self._path, f"{type(error).__name__}: {error}") from error


def _cancel_tasks(loop: asyncio.AbstractEventLoop, keep: set[asyncio.Task[Any]]) -> None:
    """End what the other simulators were waiting for when one of them failed.

    What listens to remote simulators was there before the run, and mosaik itself ends it.
    """
    if loop.is_closed():
        return
    tasks = asyncio.all_tasks(loop) - keep
    for task in tasks:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


def failed(path: Path, reason: str) -> RunError:
    """Mark the results file, if there is one, and return the error to raise."""
    line = " ".join(reason.split())
    if path.is_file():
        mark_failed(path, line)
    return RunError(f"{path}: failed: {line}")


def check_complete(path: Path, wanted: int, heard: list[str]) -> int:
    """Steps in the results file, which must be all that were asked for.

    mosaik returns normally when a simulator of another process fails, so the file is the judge.

    Parameters
    ----------
    path
        The results file.
    wanted
        Steps asked for.
    heard
        Errors that mosaik logged meanwhile.
    """
    if not path.is_file():
        raise failed(path, heard[0] if heard else "nothing was recorded")
    found = open_run(path)
    steps, status = int(found.attrs["rows"]), str(found.attrs.get("status"))
    if steps < wanted or heard:
        missing = f"only {steps} of {wanted} steps were recorded"
        raise failed(path, "; ".join([*heard[:1], missing]))
    if status != "complete":
        raise RunError(f"{path}: {status}")
    return steps


@contextmanager
def hearing_mosaik() -> Iterator[list[str]]:
    """What mosaik logs as errors inside the block, without the tracebacks in it."""
    heard: list[str] = []
    logger.enable("mosaik")
    sink = logger.add(
        lambda message: heard.append(_first_sentence(message.record["message"])),
        level="ERROR",
        filter="mosaik",
    )
    try:
        yield heard
    finally:
        logger.remove(sink)
        logger.disable("mosaik")


def _first_sentence(message: str) -> str:
    told = " ".join(message.partition("Further information provided")[0].split())
    return told.rstrip(".")
