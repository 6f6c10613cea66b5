"""Fetches what a caller's address holds, and posts to one; judged, capped and timed. Retrying is for those who call.

On httpcore, one layer below httpx.Client: cookies, redirects, proxies from the environment and content decoding,
which would all have to be switched off, are not there.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import BinaryIO

import httpcore
import httpx
import structlog
from opentelemetry.trace import SpanKind

from app.egress.address import check_url, join_url
from app.egress.connect import GuardedBackend, Resolver, system_resolver
from app.egress.guard import Guard
from app.errors import AddressRefused, AddressUnavailable, FetchFailed, FetchTooLarge
from app.settings import OutboundSettings
from app.telemetry import tracing
from attribution.time_limit import time_limit

log = structlog.get_logger(__name__)

_IDLE_CONNECTIONS = 16
_IDLE_SECONDS = 15.0
_EXCERPT_BYTES = 1_024
_REDIRECTS = (301, 302, 303, 307, 308)
# A connection is not shared between fetches: what its server sends beyond an announced length would pass as the answer
# to the next one, which may be another tenant's.
_FETCH_HEADERS = {"accept": "image/*,*/*;q=0.1", "connection": "close"}
# Of the answers that are not 200, those after which the same request may succeed later; and all from 500 on.
_PASSING = (408, 425, 429)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was fetched: how many bytes, what the server calls them ("" if nothing), and where they were in the end."""

    size: int
    media_type: str
    url: str


@dataclass(frozen=True, slots=True)
class EgressResponse:
    """What a posted request was answered; header names in lower case, and the first kilobyte of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    duration: timedelta


class Outbound:
    """The guarded client: one per process, shared by its threads; connections for posting are kept open for a while."""

    def __init__(self, settings: OutboundSettings, resolve: Resolver = system_resolver) -> None:
        self._settings = settings
        self._backend = GuardedBackend(Guard(settings.allow), resolve, settings.connect_timeout)
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=None,  # as many as there are threads; a slow host must not keep others waiting
            max_keepalive_connections=_IDLE_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=self._backend,
        )

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close()
        self._backend.close()

    def fetch(self, url: str, into: BinaryIO, *, max_bytes: int, timeout: timedelta | None = None) -> Fetched:
        """Writes what `url` holds into `into`, at most `max_bytes` of it; redirects are followed.

        It takes no longer than the settings say, nor than `timeout` if that is shorter.
        Raises AddressRefused, FetchFailed or FetchTooLarge, which are permanent, or AddressUnavailable.
        """
        limit = self._settings.total_timeout if timeout is None else min(timeout, self._settings.total_timeout)
        with _failures(), time_limit(limit):
            url = check_url(url, self._settings)
            for _ in range(self._settings.max_redirects + 1):
                with self._exchange("GET", url, _FETCH_HEADERS) as response:
                    headers = _readable(response)
                    if response.status not in _REDIRECTS:
                        size = _save(response, headers, into, max_bytes)
                        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
                        return Fetched(size, media_type, url)
                url = self._follow(url, headers)
        raise FetchFailed(f"The address redirects more than {self._settings.max_redirects} times.")

    def post(self, url: str, content: bytes, headers: Mapping[str, str], timeout: timedelta) -> EgressResponse:
        """Posts and returns the answer whatever its status; a redirect is not followed.

        Raises AddressRefused, or AddressUnavailable where no whole answer came within `timeout`.
        """
        began = time.monotonic()
        with _failures(), time_limit(timeout):
            with self._exchange("POST", check_url(url, self._settings), headers, content) as response:
                body = b""
                for chunk in response.iter_stream():
                    body += chunk
                    if len(body) >= _EXCERPT_BYTES:
                        break
            duration = timedelta(seconds=time.monotonic() - began)
            return EgressResponse(response.status, _readable(response), body[:_EXCERPT_BYTES], duration)

    @contextmanager
    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> Iterator[httpcore.Response]:
        parsed = httpx.URL(url)
        target = httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)
        sent = {
            "user-agent": self._settings.user_agent,
            # A few compressed kilobytes can be gigabytes; images are compressed already.
            "accept-encoding": "identity",
            **{name.lower(): value for name, value in headers.items()},
            "host": parsed.netloc.decode("ascii"),
        }
        with tracing.span(f"{method} {parsed.host}", SpanKind.CLIENT):
            sent |= tracing.carrier()
            with self._pool.stream(method, target, headers=list(sent.items()), content=content) as response:
                yield response

    def _follow(self, url: str, headers: Mapping[str, str]) -> str:
        try:
            return check_url(join_url(url, headers.get("location", "")), self._settings)
        except AddressRefused as error:
            raise FetchFailed(f"The address redirects to another one. {error.detail}") from error


@contextmanager
def _failures() -> Iterator[None]:
    """What went wrong is for the log: one sentence for all of it, so that no caller can explore our network with it."""
    try:
        yield
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.RemoteProtocolError) as error:
        log.info("outbound_failed", error=type(error).__name__, reason=str(error))
        raise AddressUnavailable("Nothing usable came from the address in time; check that it is public.") from error


def _readable(response: httpcore.Response) -> dict[str, str]:
    return {name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers}


def _save(response: httpcore.Response, headers: Mapping[str, str], into: BinaryIO, max_bytes: int) -> int:
    if response.status in _PASSING or response.status >= 500:
        raise AddressUnavailable(f"The address answered with status {response.status}.")
    if response.status != 200:
        raise FetchFailed(f"The address answered with status {response.status} instead of an image.")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise FetchFailed("The address answered with a compressed body although none was asked for.")
    too_large = FetchTooLarge(f"An image may have at most {max_bytes:,} bytes.", max_bytes=max_bytes)
    if int(headers.get("content-length", 0)) > max_bytes:
        raise too_large
    size = 0
    for chunk in response.iter_stream():
        size += len(chunk)
        if size > max_bytes:
            raise too_large
        into.write(chunk)
    return size
