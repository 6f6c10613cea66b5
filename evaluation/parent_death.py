"""Nobody who was started to do work outlives the one who ordered it."""

import multiprocessing
import os
import threading


def die_with_parent() -> None:
    """In a process that was started for work: end as soon as the one that started it has ended, however it did."""
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
