"""Routes whose handlers find by themselves what they need; their endpoints' signatures still say what that is.

Solving dependencies takes a fifth of a poll, and as long for a POST: these two are what others call all day.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute


def lean(handle: Callable[[Request], Awaitable[Response]]) -> type[APIRoute]:
    """The class of a route with this handler, which calls the endpoint."""

    class LeanRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            async def handled(request: Request) -> Response:
                return await handle(request)

            return handled

    return LeanRoute
