"""Worker processes that end with the process that started them, however it ends; and progress bars."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def process_pool(processes: int, begin: Callable[..., None], *arguments: object) -> ProcessPoolExecutor:
    """Processes that start when there is work, run `begin(*arguments)` first, and stay."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, spawn, _begin, (begin, arguments))


def _begin(begin: Callable[..., None], arguments: tuple[object, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begin(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def progress(label: str, total: int, found: int = 0) -> Iterator[Callable[[int], None]]:
    """Yields a function to call with how many of `total` are done now; `found` of them were stored before."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(label, total=total, completed=found)
        yield lambda done: bar.advance(task, done)
