"""Fetches from a caller's URL, and posts to one: to allowed addresses, with limits on bytes and time, no retries."""

import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import BinaryIO

import httpcore
import httpx
import structlog
from opentelemetry.trace import SpanKind

from app.egress.connect import AddressPolicy, PolicyBackend, check_url, join_url
from app.egress.content import HEAD_BYTES, check_status, decode, header_text, refuse_page
from app.egress.look_ups import Resolver, look_ups_of, system_resolver
from app.errors import AddressRefused, AddressUnavailable, FetchFailed, FetchTooLarge
from app.settings import EgressSettings
from app.telemetry import tracing
from attribution.http_pool import HttpPool, time_left, time_limit

log = structlog.get_logger(__name__)

_IDLE_CONNECTIONS = 16
_EXCERPT_BYTES = 1_024
_REDIRECTS = (301, 302, 303, 307, 308)
# A connection is not shared between fetches: bytes beyond an announced length would be read as the response to the next
# one, which may be another tenant's.
_FETCH_HEADERS = {"accept": "image/*,*/*;q=0.1", "connection": "close"}
# A receiver's status counts; its body is only shown, and may never end.
_BODY_LIMIT = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The number of bytes, their media type as the server named it ("" if it did not), and the URL after redirects."""

    size: int
    media_type: str
    url: str


@dataclass(frozen=True, slots=True)
class EgressResponse:
    """The response to a POST: header names in lower case, and the first kilobyte of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    duration: timedelta


class EgressClient:
    """One per process, shared by its threads; connections for posting are kept open for a while."""

    def __init__(self, settings: EgressSettings, resolve: Resolver = system_resolver) -> None:
        self._settings = settings
        backend = PolicyBackend(AddressPolicy(settings.allow), resolve, settings.connect_timeout)
        self._pool = HttpPool(backend, _IDLE_CONNECTIONS)

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close()

    def fetch(
        self,
        url: str,
        into: BinaryIO,
        *,
        max_bytes: int,
        timeout: timedelta | None = None,
        owner: Hashable = None,
    ) -> Fetched:
        """Writes the content of `url` into `into`, at most `max_bytes` of it; redirects are followed.

        Args:
            url: What to fetch.
            into: Where to write it.
            max_bytes: Of the content.
            timeout: For all of it, if it is shorter than the settings' own limit.
            owner: The tenant whose address it is; None for the operator's own business.

        Raises AddressRefused, FetchFailed or FetchTooLarge, which are permanent, or AddressUnavailable.
        """
        limit = self._settings.total_timeout if timeout is None else min(timeout, self._settings.total_timeout)
        with _failures(), time_limit(limit), look_ups_of(owner):
            url = check_url(url, self._settings)
            for _ in range(self._settings.max_redirects + 1):
                with self._exchange("GET", url, _FETCH_HEADERS) as response:
                    headers = _readable(response)
                    if response.status not in _REDIRECTS:
                        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
                        size = _save(response, headers, into, max_bytes, media_type)
                        return Fetched(size, media_type, url)
                url = self._follow(url, headers)
        raise FetchFailed(f"The address redirects more than {self._settings.max_redirects} times.")

    def post(
        self,
        url: str,
        content: bytes,
        headers: Mapping[str, str],
        timeout: timedelta,
        *,
        status_only: bool = False,
        owner: Hashable = None,
    ) -> EgressResponse:
        """Posts, and returns the response whatever its status; a redirect is not followed.

        Args:
            url: Where to post.
            content: The body.
            headers: Of the request.
            timeout: For all of it.
            status_only: The status is all that matters: the body is only shown, and read for a second at most.
            owner: As of `fetch`.

        Raises AddressRefused, or AddressUnavailable where no complete response, or no status, came within `timeout`.
        """
        began = time.monotonic()
        with _failures(), time_limit(timeout), look_ups_of(owner):
            with self._exchange("POST", check_url(url, self._settings), headers, content) as response:
                body = _excerpt_so_far(response) if status_only else _excerpt(response)
            duration = timedelta(seconds=time.monotonic() - began)
            return EgressResponse(response.status, _readable(response), body[:_EXCERPT_BYTES], duration)

    @contextmanager
    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> Iterator[httpcore.Response]:
        with tracing.span(f"{method} {httpx.URL(url).host}", SpanKind.CLIENT):
            sent = {"user-agent": self._settings.user_agent, **headers, **tracing.carrier()}
            with self._pool.stream(method, url, sent, content) as response:
                yield response

    def _follow(self, url: str, headers: Mapping[str, str]) -> str:
        try:
            location = headers.get("location", "").strip().replace(" ", "%20")
            return check_url(join_url(url, location), self._settings)
        except AddressRefused as error:
            raise FetchFailed(f"The address redirects to another one. {error.detail}") from error


@contextmanager
def _failures() -> Iterator[None]:
    """The cause is for the log. Callers get one sentence for all failures, so that they cannot explore the network."""
    try:
        yield
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.RemoteProtocolError) as error:
        log.info("egress_failed", error=type(error).__name__, reason=str(error))
        raise AddressUnavailable("The address did not respond properly in time; check that it is public.") from error


def _readable(response: httpcore.Response) -> dict[str, str]:
    return {name.decode("ascii").lower(): header_text(name, value) for name, value in response.headers}


def _excerpt(response: httpcore.Response) -> bytes:
    body = b""
    for chunk in response.iter_stream():
        body += chunk
        if len(body) >= _EXCERPT_BYTES:
            break
    return body


def _excerpt_so_far(response: httpcore.Response) -> bytes:
    """As much as comes within a second: a receiver may leave the body open."""
    body = b""
    try:
        with time_limit(min(_BODY_LIMIT, timedelta(seconds=time_left()))):
            for chunk in response.iter_stream():
                body += chunk
                if len(body) >= _EXCERPT_BYTES:
                    break
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.RemoteProtocolError) as error:
        log.info("response_body_cut_off", error=type(error).__name__)
    return body


def _save(
    response: httpcore.Response, headers: Mapping[str, str], into: BinaryIO, max_bytes: int, media_type: str
) -> int:
    check_status(response.status, headers)
    too_large = FetchTooLarge(f"An image may have at most {max_bytes:,} bytes.", max_bytes=max_bytes)
    if int(headers.get("content-length", 0)) > max_bytes:
        raise too_large
    size, head = 0, b""
    for chunk in decode(response.iter_stream(), headers):
        size += len(chunk)
        if size > max_bytes:
            raise too_large
        head += chunk[: HEAD_BYTES - len(head)] if len(head) < HEAD_BYTES else b""
        into.write(chunk)
    refuse_page(head, media_type)
    return size
