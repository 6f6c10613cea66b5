"""What an answer that is no success means: the vendor's own words first, then the status, which all share."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from attribution.errors import KeyRefused, QuotaExhausted, RateLimited, SourceError, SourceUnavailable
from attribution.resynthesis.remote.response_fields import text
from attribution.resynthesis.remote.vendor import Vendor
from attribution.resynthesis.remote.web import HttpResponse

# Of an order, statuses after which nobody knows whether it reached the vendor: a gateway says so, not the vendor.
UNKNOWN = (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT)
_MESSAGE_LENGTH = 200
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


def failure(vendor: Vendor, answer: HttpResponse, setting: str | None = None) -> SourceError:
    """The error that an answer stands for; `setting` is where the key came from."""
    said = vendor.failure(answer)
    if isinstance(said, RateLimited) and said.retry_after is None:
        return RateLimited(str(said), _pause(vendor, answer))
    if said is not None:
        return said
    status, name = answer.status, vendor.name
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or _says_key(vendor, answer):
        key = f"the key in {setting}" if setting else "being called without a key"
        return KeyRefused(f"{name} does not accept {key} (status {status}).")
    if status == HTTPStatus.PAYMENT_REQUIRED:
        return QuotaExhausted(vendor.sentence(QuotaExhausted))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(vendor.sentence(RateLimited), _pause(vendor, answer))
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY) or status >= 500:
        return SourceUnavailable(f"{name} cannot generate just now (status {status}).")
    if 300 <= status < 400:
        return SourceError(f"{name} answers with a redirect, which is not followed with a key.")
    return SourceError(f"{name} answered with status {status}{_message(vendor, answer)}.")


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds, from `retry-after-ms`, or from `Retry-After` as seconds or as a date; None where there is neither."""
    milliseconds, said = headers.get("retry-after-ms", "").strip(), headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    if _NUMBER.fullmatch(said):
        return float(said)
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return None
    if moment.tzinfo is None:  # "-0000", which HTTP does not have
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _says_key(vendor: Vendor, answer: HttpResponse) -> bool:
    return vendor.meaning_of(answer.document_or_none()) is KeyRefused


def _pause(vendor: Vendor, answer: HttpResponse) -> float | None:
    said = retry_after(answer.headers)
    return said if said is not None else vendor.pause_after_limit


def _message(vendor: Vendor, answer: HttpResponse) -> str:
    """What a vendor says of a request that it cannot take: it helps whoever wrote the source's file."""
    document = answer.document_or_none()
    for path in vendor.message_at:
        if said := text(document, path):
            return ": " + " ".join(said.split())[:_MESSAGE_LENGTH].rstrip(".")
    return ""
