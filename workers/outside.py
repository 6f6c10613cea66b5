"""What remote sources reach of the world, for one worker process: vendors with a key, the guarded door without one."""

from datetime import timedelta
from io import BytesIO

from app.errors import AddressUnavailable, JobFailure, RequestError
from app.outbound import Outbound
from app.settings import Settings
from attribution.errors import SourceError, SourceTimeout, SourceUnavailable
from attribution.ports import Deadline
from attribution.resynthesise.remote.client import Client
from attribution.resynthesise.remote.outside import Outside


class OutsideWorld:
    """One client for vendors and one for what their answers point to; both shared by the process's threads."""

    def __init__(self, settings: Settings) -> None:
        self._client = Client()
        self._outbound = Outbound(settings.outbound)
        self.ports = Outside(self._client, self._fetch, settings.vendor_keys.get)

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()
        self._outbound.close()

    def _fetch(self, url: str, max_bytes: int, deadline: Deadline) -> bytes:
        """See `attribution.resynthesise.remote.web.Fetch`."""
        if deadline.passed():
            raise SourceTimeout("The time for this source was over before its drawing was fetched.")
        buffer = BytesIO()
        try:
            self._outbound.fetch(
                url, buffer, max_bytes=max_bytes, timeout=timedelta(seconds=max(0.001, deadline.remaining()))
            )
        except AddressUnavailable as error:
            if deadline.passed():
                raise SourceTimeout("The drawing had not been fetched when its source's time was over.") from error
            raise SourceUnavailable(f"The drawing cannot be fetched. {error.detail}") from error
        except (RequestError, JobFailure) as error:
            raise SourceError(f"The drawing cannot be fetched. {error.detail}") from error
        return buffer.getvalue()
