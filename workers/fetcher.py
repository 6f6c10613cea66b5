"""What fetching images needs of a process: threads and the egress client.

The threads are its own, because an address may be slow and the pool has ranking and the sweep to do.
"""

from pathlib import Path

from app.egress import EgressClient
from app.settings import Settings
from workers.wait_threads import WaitThreads

_FETCHES_AT_ONCE = 32


class Fetcher:
    """One per process; nothing starts before its first use."""

    def __init__(self, settings: Settings) -> None:
        self._max_bytes = settings.intake.max_bytes
        self._outbound = EgressClient(settings.egress)
        self.soon = WaitThreads("fetch", _FETCHES_AT_ONCE)

    def fetch(self, url: str, upload: Path) -> None:
        """Writes the response of an address to a file. Raises what `EgressClient.fetch` raises."""
        with upload.open("wb") as file:
            self._outbound.fetch(url, file, max_bytes=self._max_bytes)

    def close(self) -> None:
        """Starts no more fetches, waits for those that run, and closes the connections."""
        self.soon.close()
        self._outbound.close()
