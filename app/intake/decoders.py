"""A few child processes that decode uploads, each with a limit on memory and time; one that breaks it is killed."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import structlog
from anyio import BrokenWorkerProcess, CapacityLimiter, fail_after, to_process

from app.errors import (
    ImageTooLargeProblem,
    MalformedRequest,
    Overloaded,
    RequestError,
    StorageUnavailable,
    UndecodableImageProblem,
    UnsupportedImageProblem,
)
from app.intake.decode import (
    Decoded,
    DecodeLimits,
    canonicalize,
    decode_reference,
    derive,
    inspect,
    read_evidence,
)
from app.intake.unpack import unpack_limited
from app.settings import IntakeSettings
from attribution import errors
from attribution.evidence.finding import Kind, documents, unreadable

log = structlog.get_logger(__name__)

T = TypeVar("T")

_PROBLEMS: dict[type[errors.ImageError], type[RequestError]] = {
    errors.UnsupportedImage: UnsupportedImageProblem,
    errors.UndecodableImage: UndecodableImageProblem,
    errors.ImageTooLarge: ImageTooLargeProblem,
}


# Times the computing that is allowed. Fifty uploads beside a training run were seen to wait 20 s for a core.
_PATIENCE = 6
# Seconds of computing; a file of 20 MB with credentials takes a tenth of that.
_EVIDENCE_SECONDS = 2.0
# Seconds of computing; 60 MB of images in base64 take a tenth of that.
_UNPACK_SECONDS = 5.0


class Decoders:
    """Decodes files. Callers wait in line for a child; what is limited is the computing that an image asks for."""

    def __init__(self, settings: IntakeSettings) -> None:
        self._turn = CapacityLimiter(settings.decoders)
        self._unlimited = CapacityLimiter(math.inf)  # run_sync wants one of its own; the line is ours
        self._patience = _PATIENCE * settings.decode_timeout.total_seconds()
        self._trust_list = settings.trust_list
        self._limits = DecodeLimits(
            max_pixels=settings.max_pixels,
            max_frames=settings.max_frames,
            canonical_side=settings.canonical_side,
            memory_bytes=settings.decode_memory_mb * 1024 * 1024,
            cpu_seconds=settings.decode_timeout.total_seconds(),
        )

    async def inspect(self, upload: Path) -> Decoded:
        """Says what a file is, all of which is decoded.

        Raises UnsupportedImage, UndecodableImage or ImageTooLarge; StorageUnavailable when the disk cannot be read, and
        Overloaded when a child got nowhere without computing, as on a machine that is far too busy.
        """
        with self._judging():
            return await self._run(self._patience, inspect, upload, self._limits)

    async def derive(self, upload: Path, canonical: Path) -> list[dict[str, Any]]:
        """Writes the canonical BMP and returns what the file says of itself. Raises as `inspect` does."""
        try:
            evidence = (self._trust_list, _EVIDENCE_SECONDS)
            return await self._run(self._patience, derive, upload, canonical, self._limits, *evidence)
        except (OSError, MemoryError, BrokenWorkerProcess):  # ProcessLookupError and TimeoutError are OSErrors
            pass
        except errors.ImageError as error:
            raise _PROBLEMS[type(error)](str(error)) from error
        # Whatever broke the child, the image is judged by itself: evidence that cannot be read does not cost it.
        with self._judging():
            await self._run(self._patience, canonicalize, upload, canonical, self._limits)
        return await self._evidence(upload)

    async def _run(self, patience: float, task: Callable[..., T], *arguments: Any) -> T:
        """Has a child do it, once one is free."""
        async with self._turn:
            with fail_after(patience):
                return await to_process.run_sync(task, *arguments, cancellable=True, limiter=self._unlimited)

    @contextmanager
    def _judging(self) -> Iterator[None]:
        """What goes wrong with decoding, as the problem that a caller is told."""
        try:
            yield
        except errors.ImageError as error:
            raise _PROBLEMS[type(error)](str(error)) from error
        except MemoryError as error:
            raise ImageTooLargeProblem("Decoding this image would take more memory than is allowed.") from error
        except TimeoutError as error:
            log.warning("decoder_killed", reason="timeout")
            raise Overloaded(
                "This machine is too busy to decode the image; try again in a minute.",
                headers={"Retry-After": "60"},
            ) from error
        except (BrokenWorkerProcess, ProcessLookupError) as error:
            # The second is what anyio raises when the dead child was reaped before anyio came to kill it.
            log.warning("decoder_killed", reason="died")
            raise UndecodableImageProblem(
                f"Decoding this image broke the decoder, or took more than {self._limits.cpu_seconds:g} seconds."
            ) from error
        except OSError as error:
            log.error("decoder_disk_error", error=str(error))
            raise StorageUnavailable("The image cannot be stored just now; try again in a minute.") from error

    async def decode_reference(self, upload: Path, canonical: Path) -> str:
        """Writes a generated image's canonical BMP and returns its hash. Raises as `inspect` does, also for a blank one."""
        with self._judging():
            return await self._run(self._patience, decode_reference, upload, canonical, self._limits)

    async def unpack(self, body: Path, folder: Path) -> Any:
        """See `app.intake.unpack`. Raises ValueError, MalformedRequest where that costs too much, or Unavailable."""
        try:
            return await self._run(
                _PATIENCE * _UNPACK_SECONDS, unpack_limited, body, folder, self._limits.memory_bytes, _UNPACK_SECONDS
            )
        except TimeoutError as error:
            raise Overloaded("This machine is too busy just now.", headers={"Retry-After": "60"}) from error
        except (MemoryError, BrokenWorkerProcess, ProcessLookupError) as error:
            raise MalformedRequest("Reading this JSON takes too much; send fewer or simpler members.") from error
        except OSError as error:
            log.error("decoder_disk_error", error=str(error))
            raise StorageUnavailable("The image cannot be stored just now; try again in a minute.") from error

    async def _evidence(self, upload: Path) -> list[dict[str, Any]]:
        """What the file says of itself. A child that breaks over it costs the evidence, not the image."""
        try:
            given = (self._trust_list, self._limits.memory_bytes, _EVIDENCE_SECONDS)
            return await self._run(_PATIENCE * _EVIDENCE_SECONDS, read_evidence, upload, *given)
        except (OSError, MemoryError, TimeoutError, BrokenWorkerProcess) as error:  # ProcessLookupError is an OSError
            log.warning("evidence_unreadable", reason=type(error).__name__)
            return documents([unreadable(Kind.FILE, "file")])
