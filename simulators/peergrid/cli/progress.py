"""The progress bar of ``peergrid run``, on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(steps: int, *, enabled: bool = True) -> Iterator[Callable[[int], None]]:
    """A function that is told how many of the reported steps are done.

    Parameters
    ----------
    steps
        Number of reported steps.
    enabled
        Draw nothing if False.
    """
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not enabled,
        transient=True,
    )
    with bar:
        task = bar.add_task("running", total=steps)
        yield lambda done: bar.update(task, completed=max(0, min(done, steps)))
