"""The method's own HTTP client, one per process; its threads share the connections.

Unlike the service's egress client it connects to any address; `fetch` accepts only https.
"""

import ssl
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache

import httpcore
import httpx

from attribution.errors import ConnectionFailed, ResponseLost, SourceError, SourceTimeout, SourceUnavailable
from attribution.http_pool import HttpPool, TimedBackend, is_compressed, response_headers, time_limit
from attribution.ports import Deadline
from attribution.resynthesis.remote.keys import from_environment, scheme_of
from attribution.resynthesis.remote.web import Connections, HttpResponse, Request

CONNECT_SECONDS = 10.0
_IDLE_CONNECTIONS = 64
_MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)


class HttpClient:
    """Sends requests and downloads images within a deadline and a size limit."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._pool = HttpPool(TimedBackend(CONNECT_SECONDS), _IDLE_CONNECTIONS, tls)

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close()

    def send(
        self, request: Request, url: str, headers: Mapping[str, str], deadline: Deadline, max_bytes: int
    ) -> HttpResponse:
        """See `Web`."""
        sent = {"accept": "*/*", "user-agent": "whodrew", **request.headers, **headers}
        try:
            with (
                time_limit(timedelta(seconds=max(0.0, deadline.remaining()))),
                self._pool.stream(request.method, url, sent, request.body or None) as response,
            ):
                return _read(response, max_bytes)
        except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
            raise ConnectionFailed("The source cannot be reached.") from error
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
            if deadline.passed():
                raise SourceTimeout("The source had not responded when its time was over.") from error
            raise ResponseLost("The connection to the source broke before it had responded.") from error

    def fetch(self, url: str, max_bytes: int, deadline: Deadline) -> bytes:
        """Download from an https address, without a key; see `Fetch`."""
        for _ in range(_MAX_REDIRECTS + 1):
            if scheme_of(url) != "https":
                raise SourceError("The address of the generated image is not an https address.")
            response = self.send(Request.get(url), url, {}, deadline, max_bytes)
            if response.status == 200:
                return response.body
            if response.status not in _REDIRECTS:
                raise fetch_failure(response.status)
            try:
                url = str(httpx.URL(url).join(response.headers.get("location", "")))
            except httpx.InvalidURL:
                raise fetch_failure(response.status) from None
        raise SourceError("The address of the generated image redirects too often.")


@lru_cache(maxsize=1)
def default_connections() -> Connections:
    """For use without a service: one client per process, keys from the environment."""
    client = HttpClient()
    return Connections(client, client.fetch, from_environment)


def fetch_failure(status: int) -> SourceError:
    """The error for a status other than 200 of a generated image's address."""
    if status in (401, 403, 404, 410):
        return SourceError(
            f"The address of the generated image no longer holds it (status {status}); such addresses expire."
        )
    if status in (408, 425, 429) or status >= 500:
        return SourceUnavailable(f"The address of the generated image responded with status {status}.")
    return SourceError(f"The address of the generated image responded with status {status}.")


def _read(response: httpcore.Response, max_bytes: int) -> HttpResponse:
    headers = response_headers(response)
    if is_compressed(headers):
        raise SourceError("The source responded with a compressed body although none was requested.")
    body = bytearray()
    for chunk in response.iter_stream():
        body += chunk
        if len(body) > max_bytes:
            raise SourceError(f"The source responded with more than {max_bytes:,} bytes.")
    return HttpResponse(response.status, headers, bytes(body))
