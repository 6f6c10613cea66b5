"""What answers other than success mean, where no vendor says otherwise."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from attribution.errors import (
    KeyRefused,
    PromptRefused,
    QuotaExhausted,
    RateLimited,
    SourceError,
    SourceUnavailable,
)
from attribution.resynthesis.remote.failure import failure, retry_after
from attribution.resynthesis.remote.vendors.openai import OpenAi
from attribution.resynthesis.remote.web import HttpResponse

NOW = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "Fri, 27 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 27 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 27 Nov 2026 12:00:30 -0000"}, 30.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "tomorrow"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: Mapping[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates are read; other values are ignored."""
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("status", "kind", "permanent"),
    [
        (301, SourceError, True),
        (400, SourceError, True),
        (401, KeyRefused, True),
        (402, QuotaExhausted, True),
        (403, KeyRefused, True),
        (404, SourceError, True),
        (408, SourceUnavailable, False),
        (429, RateLimited, False),
        (500, SourceUnavailable, False),
        (503, SourceUnavailable, False),
        (599, SourceUnavailable, False),
    ],
)
def test_statuses(status: int, kind: type[SourceError], permanent: bool) -> None:
    """Each status becomes a state, whatever the body is."""
    for body in (b"", b"<html>", b"[1]", b'{"error": "text"}', b'{"error": {"code": 7}}'):
        error = failure(OpenAi("m"), HttpResponse(status, {}, body))
        assert type(error) is kind
        assert error.permanent is permanent


def test_words_go_before_statuses() -> None:
    """A refusal with status 403 is not a wrong key."""
    body = b'{"error": {"code": "content_policy_violation", "type": "invalid_request_error"}}'
    assert isinstance(failure(OpenAi("m"), HttpResponse(403, {}, body)), PromptRefused)


def test_a_refused_request_quotes_the_vendor() -> None:
    """The vendor's message is in the error, on one line and shortened."""
    said = "Invalid size\\n" + "x" * 500
    error = failure(OpenAi("m"), HttpResponse(400, {}, f'{{"error": {{"message": "{said}"}}}}'.encode()))
    assert "Invalid size x" in str(error)
    assert len(str(error)) < 300
