"""What the headers of a request ask of the jobs that it makes: `Idempotency-Key` and `Cancel-After`."""

import re
from collections.abc import Sequence
from datetime import timedelta

from app.errors import InvalidRequest, MalformedRequest
from app.settings import parse_duration

MAX_KEY_LENGTH = 255
# A structured-field string (RFC 9651, 3.3.3), or bare as most clients send it.
_QUOTED = r'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"'
_BARE = r"[!#-+\--\[\]-~]{1,255}"
KEY_PATTERN = f"^(?:{_QUOTED}|{_BARE})$"

# From 5 seconds to 24 hours, so that the API's document says exactly what is taken.
_UP_TO_59 = "[1-5]?[0-9]"
_HOURS = f"24h|(?:2[0-3]|1[0-9]|[1-9])h(?:{_UP_TO_59}m)?(?:{_UP_TO_59}s)?"
_MINUTES = f"[1-9][0-9]{{0,2}}m(?:{_UP_TO_59}s)?"
_SECONDS = "(?:86400|86[0-3][0-9]{2}|8[0-5][0-9]{3}|[1-7][0-9]{4}|[1-9][0-9]{1,3}|[5-9])s?"
DURATION_PATTERN = f"^(?:{_HOURS}|{_MINUTES}|{_SECONDS})$"


def read_idempotency_key(given: Sequence[str]) -> str | None:
    """The key of the `Idempotency-Key` headers of a request, of which there may be one. Raises MalformedRequest."""
    if not given:
        return None
    text = given[0].strip()
    if len(given) > 1 or not re.fullmatch(KEY_PATTERN, text):
        raise MalformedRequest(
            f"Idempotency-Key must be one text of 1 to {MAX_KEY_LENGTH} characters in quotation marks, such as "
            '"8e03978e-40d5-43dd-bc93-6894a57f9324".'
        )
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def read_cancel_after(given: str | None) -> timedelta | None:
    """After how long a job is to be canceled, such as `90s`, `1h30m` or `90`. Raises InvalidRequest."""
    if given is None:
        return None
    if not re.fullmatch(DURATION_PATTERN, given.strip()):
        detail = "must be a time from 5s to 24h, such as 90s, 5m, 1h30m, or a number of seconds"
        raise InvalidRequest(
            "The header Cancel-After cannot be taken.", errors=[{"detail": detail, "parameter": "Cancel-After"}]
        )
    return parse_duration(given.strip())
