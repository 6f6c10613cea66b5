"""Signs payloads as Standard Webhooks 1.0 has it, and makes secrets; `endpoints` decides which of them sign."""

import base64
import secrets
import uuid
from collections.abc import Iterable
from datetime import datetime

from standardwebhooks import Webhook

_PREFIX = "whsec_"
_SECRET_BYTES = 32  # the specification allows 24 to 64


def new_secret() -> str:
    """A secret in the form that every Standard Webhooks library takes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii")


def message_id(delivery_id: uuid.UUID) -> str:
    """`webhook-id`: the same for every attempt, so that a receiver recognizes an event that it has seen."""
    return f"msg_{delivery_id}"


def signed_headers(delivery_id: uuid.UUID, at: datetime, payload: str, keys: Iterable[str]) -> dict[str, str]:
    """The headers of one attempt made `at` (UTC), with a signature by each of the secrets."""
    name = message_id(delivery_id)
    return {
        "content-type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(Webhook(key).sign(name, at, payload) for key in keys),
    }
