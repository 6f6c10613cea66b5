"""A progress bar on stderr: what is being made, how much of it was there before, how long the rest will take."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def progress(what: str, total: int, found: int = 0) -> Iterator[Callable[[], None]]:
    """Yields a function to call whenever one of `total` is done; `found` of them were there already."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(what, total=total, completed=found)
        yield lambda: bar.advance(task)
