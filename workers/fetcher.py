"""What fetching images needs of a process: threads and the door out.

Threads of its own, because an address may take its time while the pool has ranking and the sweep to do.
"""

from pathlib import Path

from app.egress import EgressClient
from app.intake.decode import Decoded
from app.settings import Settings
from workers.children import Children
from workers.wait_threads import WaitThreads

_FETCHES_AT_ONCE = 32


class Fetcher:
    """One per process; nothing starts before its first use."""

    def __init__(self, settings: Settings, children: Children) -> None:
        self._max_bytes = settings.intake.max_bytes
        self._outbound = EgressClient(settings.egress)
        self._children = children
        self.soon = WaitThreads("fetch", _FETCHES_AT_ONCE)

    def fetch(self, url: str, upload: Path) -> Decoded:
        """Writes what the address holds to a file. Raises what `EgressClient.fetch` and `Decoders.inspect` raise."""
        with upload.open("wb") as file:
            self._outbound.fetch(url, file, max_bytes=self._max_bytes)
        return self._children.inspect(upload)

    def close(self) -> None:
        """Begins nothing more, waits for what is under way and closes its connections."""
        self.soon.close()
        self._outbound.close()
