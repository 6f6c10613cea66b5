"""What vendors' stubs read from requests."""

import json
from typing import Any

from starlette.requests import Request


def bearer(request: Request) -> str | None:
    """The key behind `Authorization: Bearer`."""
    return authorization(request, "Bearer")


def authorization(request: Request, scheme: str) -> str | None:
    """What follows a scheme's name in `Authorization`."""
    said, _, key = request.headers.get("authorization", "").partition(" ")
    return key if said == scheme else None


async def document(request: Request) -> dict[str, Any] | None:
    """The JSON object in the body, None where there is none."""
    try:
        found = json.loads(await request.body())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
