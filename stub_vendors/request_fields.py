"""Reads keys and JSON from requests."""

import json
from typing import Any

from starlette.requests import Request


def bearer(request: Request) -> str | None:
    """The key in `Authorization: Bearer`."""
    return authorization(request, "Bearer")


def authorization(request: Request, scheme: str) -> str | None:
    """The value after a scheme's name in `Authorization`."""
    given, _, key = request.headers.get("authorization", "").partition(" ")
    return key if given == scheme else None


async def document(request: Request) -> dict[str, Any] | None:
    """The JSON object in the body, None if there is none."""
    try:
        found = json.loads(await request.body())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
