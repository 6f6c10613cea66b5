"""A pool of child processes that decode files, each with limits of memory and time; one that exceeds them is killed."""

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
from app.intake.decoding import (
    Decoded,
    DecodeLimits,
    canonicalize,
    decode_reference,
    derive,
    inspect,
    read_evidence,
)
from app.intake.json_body import unpack, unpack_limited
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


# Time limit as a multiple of the CPU time limit. Fifty uploads beside a training run waited up to 20 s for a core.
_PATIENCE = 6
# CPU time; a file of 20 MB with credentials takes a tenth of that.
_EVIDENCE_SECONDS = 2.0
# CPU time; 60 MB of images in base64 take a tenth of that.
_UNPACK_SECONDS = 5.0
# A JSON body of this many bytes is parsed in less than a millisecond, and the children may be busy with images.
_SMALL_JSON = 32 * 1024


class Decoders:
    """Decodes files. Callers wait for a free child; the limit of an image is CPU time."""

    def __init__(self, settings: IntakeSettings) -> None:
        self._free = CapacityLimiter(settings.decoders)
        self._unlimited = CapacityLimiter(math.inf)  # run_sync needs a limiter; `_free` does the limiting
        self._patience = _PATIENCE * settings.decode_timeout.total_seconds()
        self._trust_list = settings.trust_list
        self._limits = DecodeLimits(
            max_pixels=settings.max_pixels,
            max_frames=settings.max_frames,
            canonical_side=settings.canonical_side,
            memory_bytes=settings.decode_memory_mb * 1024 * 1024,
            cpu_seconds=settings.decode_timeout.total_seconds(),
            crop_borders=settings.crop_borders,
        )

    async def inspect(self, upload: Path) -> Decoded:
        """Decodes all of a file and describes it.

        Raises:
            UnsupportedImageProblem, UndecodableImageProblem, ImageTooLargeProblem: The image cannot be used.
            StorageUnavailable: The disk cannot be read or written.
            Overloaded: The child got no CPU time, as on a computer that is far too busy.
        """
        with self._problems():
            return await self._run(self._patience, inspect, upload, self._limits)

    async def derive(self, upload: Path, canonical: Path) -> tuple[Decoded, list[dict[str, Any]]]:
        """Decodes a file once: writes its canonical BMP, describes it, and reads its evidence. Raises as `inspect`."""
        try:
            evidence = (self._trust_list, _EVIDENCE_SECONDS)
            return await self._run(self._patience, derive, upload, canonical, self._limits, *evidence)
        except (OSError, MemoryError, BrokenWorkerProcess):  # ProcessLookupError and TimeoutError are OSErrors
            pass
        except errors.ImageError as error:
            raise _PROBLEMS[type(error)](str(error)) from error
        # The cause is not known. The image is decoded alone: unreadable evidence must not make it unusable.
        with self._problems():
            decoded = await self._run(self._patience, canonicalize, upload, canonical, self._limits)
        return decoded, await self._evidence(upload)

    async def decode_reference(self, upload: Path, canonical: Path) -> str:
        """Writes a reference image's canonical BMP and returns its hash. Raises as `inspect`, also for a blank one."""
        with self._problems():
            return await self._run(self._patience, decode_reference, upload, canonical, self._limits)

    async def unpack_json(self, body: Path) -> Any:
        """The value of a JSON body, with its images as files in the same folder: see `json_body.unpack`.

        Raises MalformedRequest for a body that is not strict JSON or too costly, StorageUnavailable or Overloaded.
        """
        try:
            if body.stat().st_size <= _SMALL_JSON:
                return unpack(body, body.parent)
            limits = (self._limits.memory_bytes, _UNPACK_SECONDS)
            return await self._run(_PATIENCE * _UNPACK_SECONDS, unpack_limited, body, body.parent, *limits)
        except ValueError as error:
            raise MalformedRequest(f"The body is not JSON that is accepted here. {error}") from error
        except TimeoutError as error:
            raise _too_busy("parse the body") from error
        except (MemoryError, BrokenWorkerProcess, ProcessLookupError) as error:
            raise MalformedRequest("Parsing this JSON takes too much; send fewer or simpler members.") from error
        except OSError as error:
            raise _disk_problem(error) from error

    async def _run(self, patience: float, task: Callable[..., T], *arguments: Any) -> T:
        """Runs the task in a child, once one is free."""
        async with self._free:
            with fail_after(patience):
                return await to_process.run_sync(task, *arguments, cancellable=True, limiter=self._unlimited)

    @contextmanager
    def _problems(self) -> Iterator[None]:
        """Turns the errors of a child into those of the service."""
        try:
            yield
        except errors.ImageError as error:
            raise _PROBLEMS[type(error)](str(error)) from error
        except MemoryError as error:
            raise ImageTooLargeProblem("Decoding this image would take more memory than is allowed.") from error
        except TimeoutError as error:
            log.warning("decoder_killed", reason="timeout")
            raise _too_busy("decode the image") from error
        except (BrokenWorkerProcess, ProcessLookupError) as error:
            # anyio raises the second one when a dead child was reaped before anyio came to kill it.
            log.warning("decoder_killed", reason="died")
            raise UndecodableImageProblem(
                f"Decoding this image broke the decoder, or took more than {self._limits.cpu_seconds:g} seconds."
            ) from error
        except OSError as error:
            raise _disk_problem(error) from error

    async def _evidence(self, upload: Path) -> list[dict[str, Any]]:
        """The evidence in a file. Where reading it breaks the child, the evidence is `unreadable`."""
        try:
            given = (self._trust_list, self._limits.memory_bytes, _EVIDENCE_SECONDS)
            return await self._run(_PATIENCE * _EVIDENCE_SECONDS, read_evidence, upload, *given)
        except (OSError, MemoryError, BrokenWorkerProcess) as error:  # ProcessLookupError and TimeoutError are OSErrors
            log.warning("evidence_unreadable", reason=type(error).__name__)
            return documents([unreadable(Kind.FILE, "file")])


def _too_busy(to_do: str) -> Overloaded:
    return Overloaded(f"The service is too busy to {to_do}; try again in a minute.", headers={"Retry-After": "60"})


def _disk_problem(error: OSError) -> StorageUnavailable:
    log.error("decoder_disk_error", error=str(error))
    return StorageUnavailable("The image cannot be stored now; try again in a minute.")
