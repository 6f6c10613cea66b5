"""What every endpoint that takes images holds while it does: one of a number of places, and a folder."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from anyio import Semaphore, WouldBlock, fail_after

from app.errors import Overloaded, UploadTimeout
from app.intake.spool import spool_folder


@contextmanager
def taking(places: Semaphore, headers: Mapping[str, str]) -> Iterator[Path]:
    """A place, and an empty folder that goes at the end, for a body with these headers. Raises Overloaded."""
    try:
        places.acquire_nowait()
    except WouldBlock:
        raise Overloaded(
            "Too many uploads are being read just now; try again in a few seconds.", headers={"Retry-After": "2"}
        ) from None
    try:
        length = headers.get("content-length", "")
        with spool_folder(int(length) if length.isdecimal() else None) as folder:
            yield folder
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
