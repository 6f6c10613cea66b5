"""A limit on the bodies that FastAPI reads whole: documents are small. Its own limit answers in plain text."""

import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import answer_problem
from app.errors import UploadTooLarge

MAX_DOCUMENT = 65_536
# These read their bodies as they arrive, up to caps of their own.
STREAMED = re.compile(r"/attribute(/batch|/[^/]+/references/[^/]+)?|/screening/hash-lists")


class BodyLimitMiddleware:
    """Pure ASGI: a larger body is answered 413, at once where its size is announced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http" or STREAMED.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > MAX_DOCUMENT:
            error = UploadTooLarge(f"A document may have at most {MAX_DOCUMENT:,} bytes.", max_bytes=MAX_DOCUMENT)
            await answer_problem(Request(scope), error)(scope, receive, send)
            return
        left = MAX_DOCUMENT

        async def receive_within_limit() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413)  # the only error that FastAPI lets through while it reads a body
            return message

        await self._app(scope, receive_within_limit, send)
