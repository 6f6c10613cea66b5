"""What every endpoint that takes images holds while it does: one of a number of places, and a folder."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from anyio import Semaphore, WouldBlock, fail_after

from app.errors import Overloaded, UploadTimeout
from app.intake.spool import new_folder, remove


@contextmanager
def taking(places: Semaphore) -> Iterator[Path]:
    """A place, and an empty folder that goes at the end. Raises Overloaded."""
    try:
        places.acquire_nowait()
    except WouldBlock:
        raise Overloaded(
            "Too many uploads are being read just now; try again in a few seconds.", headers={"Retry-After": "2"}
        ) from None
    try:
        folder = new_folder()
        try:
            yield folder
        finally:
            # In a thread, and nobody waits for it: a busy disk must not hold up the event loop.
            asyncio.get_running_loop().run_in_executor(None, remove, folder)
    finally:
        places.release()


@contextmanager
def arriving(limit: timedelta) -> Iterator[None]:
    """A body must have arrived by the end of the block. Raises UploadTimeout."""
    try:
        with fail_after(limit.total_seconds()):
            yield
    except TimeoutError as error:
        raise UploadTimeout("The body took too long to arrive.") from error
