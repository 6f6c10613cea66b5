"""The confined child processes in which a worker decodes uploaded files, and the event loop that they belong to.

The worker process itself never decodes a caller's file: it has models, keys and connections.
"""

import uuid
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import anyio
from anyio.from_thread import BlockingPortal
from PIL.Image import Image, frombytes

from app.errors import Unavailable
from app.intake.decoders import Decoders
from app.intake.decoding import Decoded
from app.intake.spool import remove_abandoned
from app.settings import IntakeSettings
from app.telemetry.metrics import DECODE_DURATION
from attribution.errors import SourceError

# Seconds. No connection waits for the result, and to give up costs the step an attempt.
_LONGEST_WAIT = 120.0


class DecoderProcesses:
    """One per process, for all threads; nothing starts before its first use."""

    def __init__(self, settings: IntakeSettings) -> None:
        self._decoders = Decoders(settings, longest_wait=_LONGEST_WAIT)
        self._portal: BlockingPortal | None = None
        self._starting = Lock()

    def derive(self, tenant_id: uuid.UUID, upload: Path, canonical: Path) -> tuple[Decoded, list[dict[str, Any]]]:
        """See `Decoders.derive`."""
        with DECODE_DURATION.time():
            made: tuple[Decoded, list[dict[str, Any]]]
            made = self._loop().call(self._decoders.derive, tenant_id, upload, canonical)
            return made

    def decode_generated(self, data: bytes) -> Image:
        """An image that a vendor sent, as RGB in canonical size. Raises ImageError; SourceError where that failed."""
        try:
            with DECODE_DURATION.time():
                width, height, pixels = self._loop().call(self._decoders.decode_generated, data)
        except Unavailable as error:
            raise SourceError(f"The generated image could not be decoded. {error.detail}") from error
        return frombytes("RGB", (width, height), pixels)

    def close(self) -> None:
        """Ends the child processes. To be called when no thread decodes any more."""
        if self._portal is not None:
            self._portal.call(self._decoders.close)
            self._portal.call(self._portal.stop)
            self._thread.join()

    def _loop(self) -> BlockingPortal:
        """The event loop, in a daemon thread."""
        with self._starting:
            if self._portal is None:
                remove_abandoned()
                started = Event()
                self._thread = Thread(target=anyio.run, args=(self._serve, started), name="decoders", daemon=True)
                self._thread.start()
                started.wait()
            assert self._portal is not None
            return self._portal

    async def _serve(self, started: Event) -> None:
        async with BlockingPortal() as portal:
            self._portal = portal
            started.set()
            await portal.sleep_until_stopped()
