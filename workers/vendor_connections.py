"""What remote sources reach of the world, for one worker process: vendors with a key, the guarded door without one."""

from datetime import timedelta
from io import BytesIO

from app.egress import EgressClient
from app.errors import AddressUnavailable, JobFailure, RequestError
from app.settings import Settings
from attribution.errors import SourceError, SourceTimeout, SourceUnavailable
from attribution.ports import Deadline
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.web import Connections


class VendorConnections:
    """One client for vendors and one for what their answers point to; both shared by the process's threads."""

    def __init__(self, settings: Settings) -> None:
        self._client = HttpClient()
        self._outbound = EgressClient(settings.egress)
        self.ports = Connections(self._client, self._fetch, settings.vendor_keys.get)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()
        self._outbound.close()

    def _fetch(self, url: str, max_bytes: int, deadline: Deadline) -> bytes:
        """See `attribution.resynthesis.remote.web.Fetch`."""
        if deadline.passed():
            raise SourceTimeout("The time for this source was over before its generated image was fetched.")
        buffer = BytesIO()
        try:
            self._outbound.fetch(
                url, buffer, max_bytes=max_bytes, timeout=timedelta(seconds=max(0.001, deadline.remaining()))
            )
        except AddressUnavailable as error:
            if deadline.passed():
                raise SourceTimeout(
                    "The generated image had not been fetched when its source's time was over."
                ) from error
            raise SourceUnavailable(f"The generated image cannot be fetched. {error.detail}") from error
        except (RequestError, JobFailure) as error:
            raise SourceError(f"The generated image cannot be fetched. {error.detail}") from error
        return buffer.getvalue()
