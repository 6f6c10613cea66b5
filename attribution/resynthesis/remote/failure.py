"""Maps an unsuccessful response to an error: first by the vendor's error codes, then by the HTTP status."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from attribution.errors import KeyRefused, QuotaExhausted, RateLimited, SourceError, SourceUnavailable
from attribution.resynthesis.remote.response_fields import text
from attribution.resynthesis.remote.vendor import Vendor
from attribution.resynthesis.remote.web import HttpResponse

# Statuses of a submission after which it is unknown whether it reached the vendor: they come from a gateway.
UNKNOWN = (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT)
_MESSAGE_LENGTH = 200
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


def failure(vendor: Vendor, response: HttpResponse, setting: str | None = None) -> SourceError:
    """The error that a response stands for; `setting` names the setting of the key, None without a key."""
    error = vendor.failure(response)
    if isinstance(error, RateLimited) and error.retry_after is None:
        return RateLimited(str(error), _pause(vendor, response))
    if error is not None:
        return error
    status, name = response.status, vendor.name
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or _rejects_key(vendor, response):
        key = f"the key in {setting}" if setting else "being called without a key"
        return KeyRefused(f"{name} does not accept {key} (status {status}).")
    if status == HTTPStatus.PAYMENT_REQUIRED:
        return QuotaExhausted(vendor.sentence(QuotaExhausted))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(vendor.sentence(RateLimited), _pause(vendor, response))
    if status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY) or status >= 500:
        return SourceUnavailable(f"{name} cannot generate at the moment (status {status}).")
    if 300 <= status < 400:
        return SourceError(
            f"{name} responded with a redirect, which is not followed because the request carries a key."
        )
    return SourceError(f"{name} responded with status {status}{_message(vendor, response)}.")


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds from `retry-after-ms`, or from `Retry-After` as seconds or a date; None if neither is present."""
    milliseconds, value = headers.get("retry-after-ms", "").strip(), headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(milliseconds):
        return float(milliseconds) / 1000
    if _NUMBER.fullmatch(value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:  # "-0000", which HTTP does not define
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _rejects_key(vendor: Vendor, response: HttpResponse) -> bool:
    return vendor.error_class(response.document_or_none()) is KeyRefused


def _pause(vendor: Vendor, response: HttpResponse) -> float | None:
    seconds = retry_after(response.headers)
    return seconds if seconds is not None else vendor.default_retry_after


def _message(vendor: Vendor, response: HttpResponse) -> str:
    """The vendor's message about a request that it rejects, for the operator who wrote the source's file."""
    document = response.document_or_none()
    for path in vendor.message_paths:
        if message := text(document, path):
            return ": " + " ".join(message.split())[:_MESSAGE_LENGTH].rstrip(".")
    return ""
