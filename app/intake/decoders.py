"""A few child processes that decode uploads, each with a limit on memory and time; one that breaks it is killed."""

import math
from pathlib import Path

import structlog
from anyio import BrokenWorkerProcess, CapacityLimiter, fail_after, to_process

from app.errors import ImageTooLarge, RequestError, StorageUnavailable, UndecodableImage, UnsupportedImage
from app.intake.decode import Decoded, DecodeLimits, decode
from app.settings import IntakeSettings
from attribution import errors

log = structlog.get_logger(__name__)

_PROBLEMS: dict[type[errors.ImageError], type[RequestError]] = {
    errors.UnsupportedImage: UnsupportedImage,
    errors.UndecodableImage: UndecodableImage,
    errors.ImageTooLarge: ImageTooLarge,
}


class Decoders:
    """Decodes files; callers wait in line for a child, and only the decoding itself is timed."""

    def __init__(self, settings: IntakeSettings) -> None:
        self._turn = CapacityLimiter(settings.decoders)
        self._unlimited = CapacityLimiter(math.inf)  # run_sync wants one of its own; the line is ours
        self._timeout = settings.decode_timeout.total_seconds()
        self._limits = DecodeLimits(
            max_pixels=settings.max_pixels,
            max_frames=settings.max_frames,
            canonical_side=settings.canonical_side,
            memory_bytes=settings.decode_memory_mb * 1024 * 1024,
        )

    async def decode(self, upload: Path, canonical: Path) -> Decoded:
        """Writes the canonical PNG and says what the file is.

        Raises UnsupportedImage, UndecodableImage or ImageTooLarge; StorageUnavailable when the disk is full.
        """
        async with self._turn:
            try:
                with fail_after(self._timeout):
                    return await to_process.run_sync(
                        decode,
                        upload,
                        canonical,
                        self._limits,
                        cancellable=True,
                        limiter=self._unlimited,
                    )
            except errors.ImageError as error:
                raise _PROBLEMS[type(error)](str(error)) from error
            except MemoryError as error:
                raise ImageTooLarge("Decoding this image would take more memory than is allowed.") from error
            except TimeoutError as error:
                log.warning("decoder_killed", reason="timeout")
                raise UndecodableImage(
                    f"Decoding this image took longer than {self._timeout:g} seconds and was stopped."
                ) from error
            except BrokenWorkerProcess as error:
                log.warning("decoder_killed", reason="died")
                raise UndecodableImage("The decoder broke down over this image.") from error
            except OSError as error:
                log.error("decoder_disk_error", error=str(error))
                raise StorageUnavailable("The image cannot be stored just now; try again in a minute.") from error
