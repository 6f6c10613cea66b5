"""What the headers of a request ask of the jobs that it makes: `Idempotency-Key` and `Cancel-After`."""

import re
from collections.abc import Sequence
from datetime import timedelta

from app.errors import InvalidRequest, MalformedRequest

MAX_KEY_LENGTH = 255
SHORTEST, LONGEST = timedelta(seconds=5), timedelta(hours=24)

# A structured-field string (RFC 9651, 3.3.3), or bare as most clients send it.
_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE = re.compile(r"[!#-+\--\[\]-~]+")
DURATION_PATTERN = r"^(?=[0-9])(?:[0-9]{1,6}|(?:[0-9]{1,2}h)?(?:[0-9]{1,4}m)?(?:[0-9]{1,5}s)?)$"
_DURATION = re.compile(r"(?=[0-9])(?:([0-9]{1,6})|(?:([0-9]{1,2})h)?(?:([0-9]{1,4})m)?(?:([0-9]{1,5})s)?)")


def read_idempotency_key(given: Sequence[str]) -> str | None:
    """The key of the `Idempotency-Key` headers of a request, of which there may be one. Raises MalformedRequest."""
    if not given:
        return None
    quoted = _QUOTED.fullmatch(given[0].strip())
    bare = _BARE.fullmatch(given[0].strip())
    if len(given) > 1 or not (quoted or bare):
        raise MalformedRequest(
            'Idempotency-Key must be one text in quotation marks, such as "8e03978e-40d5-43dd-bc93-6894a57f9324".'
        )
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else given[0].strip()
    if not 1 <= len(key) <= MAX_KEY_LENGTH:
        raise MalformedRequest(f"Idempotency-Key must have from 1 to {MAX_KEY_LENGTH} characters.")
    return key


def read_cancel_after(given: str | None) -> timedelta | None:
    """After how long a job is to be canceled, such as `90s`, `1h30m` or `90`. Raises InvalidRequest."""
    if given is None:
        return None
    found = _DURATION.fullmatch(given.strip())
    if found is None:
        raise _refused("must be a time such as 90s, 5m, 1h30m, or a number of seconds")
    seconds, h, m, s = (int(part or 0) for part in found.groups())
    after = timedelta(hours=h, minutes=m, seconds=s + seconds)
    if not SHORTEST <= after <= LONGEST:
        raise _refused("must be from 5s to 24h")
    return after


def _refused(detail: str) -> InvalidRequest:
    return InvalidRequest(
        "The header Cancel-After cannot be taken.", errors=[{"detail": detail, "parameter": "Cancel-After"}]
    )
