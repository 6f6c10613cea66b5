"""A progress bar on stderr with the number of finished items and the remaining time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def progress(label: str, total: int, found: int = 0) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with how many of `total` are done now; `found` of them were stored before."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(label, total=total, completed=found)
        yield lambda done: bar.advance(task, done)
