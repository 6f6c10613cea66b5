"""Reading request bodies: documents whole, by FastAPI and up to a limit; uploads as they arrive, into a folder."""

import uuid
from asyncio import create_task
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from anyio import CancelScope
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message

from app.api.tenant_slots import TenantSlots
from app.errors import MalformedRequest, Overloaded, UploadTimeout, UploadTooLarge
from app.intake.request_body import Pace, refuse_compressed
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
            pace = Pace(request.state.settings.intake)

            async def receive_within_limit() -> Message:
                # HTTPException is the only error that FastAPI passes on while it reads a body.
                nonlocal left
                try:
                    message = await pace.next(request.receive)
                except UploadTimeout as error:
                    raise HTTPException(error.status, error.detail) from error
                left -= len(message.get("body", b""))
                if left < 0:
                    raise HTTPException(413)
                return message

            return await handle(Request(request.scope, receive_within_limit))

        return handle_limited


@contextmanager
def upload_slot(slots: TenantSlots, tenant_id: uuid.UUID, headers: Mapping[str, str]) -> Iterator[Path]:
    """One of the process's slots for uploads, and an empty folder that is deleted at the end. Raises Overloaded."""
    with slots.take(tenant_id) as taken:
        if not taken:
            raise Overloaded(
                "Too many uploads are being read just now; try again in a few seconds.", headers={"Retry-After": "2"}
            )
        length = headers.get("content-length", "")
        with spool_folder(int(length) if length.isdecimal() else None) as folder:
            yield folder


@asynccontextmanager
async def while_connected(request: Request) -> AsyncIterator[None]:
    """Cancels the block when the client disconnects: no result is needed then. The body must have been read.

    Raises MalformedRequest then. What must not be left half done is shielded by those who do it.
    """
    with CancelScope() as scope:
        watch = create_task(_cancel_when_disconnected(request, scope))
        try:
            yield
        finally:
            watch.cancel()
    if scope.cancelled_caught:
        raise MalformedRequest("The connection closed before the request was accepted.")


async def _cancel_when_disconnected(request: Request, scope: CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
