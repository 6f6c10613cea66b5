"""A progress bar on stderr: what is being made, how much of it was there before, how long the rest will take."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def progress(what: str, total: int, found: int = 0) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with how many of `total` are done now; `found` of them were there already."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(what, total=total, completed=found)
        yield lambda done: bar.advance(task, done)
