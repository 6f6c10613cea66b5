"""Worker processes that end with the process that started them, however it ends."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor


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
