"""Reading request bodies: documents whole, by FastAPI and up to a limit; uploads as they arrive, into a folder."""

from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from anyio import Semaphore, WouldBlock, fail_after
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from app.errors import Overloaded, UploadTimeout, UploadTooLarge
from app.intake.request_body import refuse_compressed
from app.intake.spool import spool_folder

MAX_DOCUMENT = 65_536


class DocumentRoute(APIRoute):
    """A route whose body FastAPI reads whole: a larger one is answered 413, at once where its size is announced."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler, over a limited body."""
        handle = super().get_route_handler()

        async def handle_limited(request: Request) -> Response:
            refuse_compressed(request.headers)
            length = request.headers.get("content-length", "")
            if length.isdecimal() and int(length) > MAX_DOCUMENT:
                raise UploadTooLarge(f"A document may have at most {MAX_DOCUMENT:,} bytes.", max_bytes=MAX_DOCUMENT)
            left = MAX_DOCUMENT

            async def receive_within_limit() -> Message:
                nonlocal left
                message = await request.receive()
                left -= len(message.get("body", b""))
                if left < 0:
                    raise HTTPException(413)  # the only error that FastAPI passes on while it reads a body
                return message

            return await handle(Request(request.scope, receive_within_limit))

        return handle_limited


@contextmanager
def upload_slot(slots: Semaphore, headers: Mapping[str, str]) -> Iterator[Path]:
    """One of the process's slots for uploads, and an empty folder that is deleted at the end. Raises Overloaded."""
    try:
        slots.acquire_nowait()
    except WouldBlock:
        raise Overloaded(
            "Too many uploads are being read just now; try again in a few seconds.", headers={"Retry-After": "2"}
        ) from None
    try:
        length = headers.get("content-length", "")
        with spool_folder(int(length) if length.isdecimal() else None) as folder:
            yield folder
    finally:
        slots.release()


@contextmanager
def upload_deadline(limit: timedelta) -> Iterator[None]:
    """The body must have arrived by the end of the block. Raises UploadTimeout."""
    try:
        with fail_after(limit.total_seconds()):
            yield
    except TimeoutError as error:
        raise UploadTimeout("The body took too long to arrive.") from error
