"""Decodes files in confined child processes, and turns what can go wrong there into problems of the service.

What a child says of a file is checked here: it may be the file that speaks.
"""

import os
import re
import uuid
from asyncio import to_thread
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import structlog

from app.errors import (
    ImageTooLargeProblem,
    MalformedRequest,
    Overloaded,
    RequestError,
    StorageUnavailable,
    UndecodableImageProblem,
    UnsupportedImageProblem,
)
from app.intake import decoder_child
from app.intake.decoder_pool import ChildSettings, DecoderDied, DecoderPool
from app.intake.decoder_turns import NoDecoderFree
from app.intake.decoding import Decoded, DecodeLimits
from app.intake.json_body import Unpacked, unpack
from app.settings import IntakeSettings
from attribution import errors
from attribution.evidence.finding import Kind, documents, unreadable
from attribution.file_kinds import FORMATS

log = structlog.get_logger(__name__)

_PROBLEMS: dict[str, type[RequestError]] = {
    errors.UnsupportedImage.__name__: UnsupportedImageProblem,
    errors.UndecodableImage.__name__: UndecodableImageProblem,
    errors.ImageTooLarge.__name__: ImageTooLargeProblem,
}


# Time limit as a multiple of the CPU time limit. Fifty uploads beside a training run waited up to 20 s for a core.
_PATIENCE = 6
# CPU time; a file of 20 MB with credentials takes a tenth of that.
_EVIDENCE_SECONDS = 2.0
# CPU time; 60 MB of images in base64 take a tenth of that.
_UNPACK_SECONDS = 5.0
# A JSON body of this many bytes is parsed in less than a millisecond, and the children may be busy with images.
_SMALL_JSON = 32 * 1024
# Of the value of a JSON body without its images.
_MAX_VALUE = 8 * 1024 * 1024
_BMP_HEADER = 54


class Decoders:
    """Decodes files. Callers wait for a free child, tenants in turn; the limit of an image is CPU time.

    Belongs to one event loop; `close` ends the children.
    """

    def __init__(
        self,
        settings: IntakeSettings,
        *,
        evidence: bool = True,
        longest_wait: float | None = None,
        program: str = decoder_child.__file__,
    ) -> None:
        """Nothing starts yet.

        Args:
            settings: The limits.
            evidence: Whether `derive` is called.
            longest_wait: Seconds after which a caller that got no child is refused; as set by default.
            program: The file that children run.
        """
        self._patience = _PATIENCE * settings.decode_timeout.total_seconds()
        self._limits = DecodeLimits(
            max_pixels=settings.max_pixels,
            max_frames=settings.max_frames,
            canonical_side=settings.canonical_side,
            cpu_seconds=settings.decode_timeout.total_seconds(),
            crop_borders=settings.crop_borders,
        )
        self._limit_options = {"limits": asdict(self._limits)}
        bodies = max(settings.max_bytes + settings.max_reference_bytes, settings.max_batch_bytes)
        self._pool = DecoderPool(
            ChildSettings(
                memory_bytes=settings.decode_memory_mb * 1024 * 1024,
                file_bytes=max(_BMP_HEADER + 4 * settings.canonical_side**2, bodies),
                trust_list=settings.trust_list,
                evidence=evidence,
                program=program,
            ),
            settings.decoders,
            min(settings.decoders, settings.decoders_per_tenant),
            settings.decode_wait.total_seconds() if longest_wait is None else longest_wait,
        )

    def close(self) -> None:
        """Ends the children. No task may run any more."""
        self._pool.close()

    def pids(self) -> list[int]:
        """Of the children that wait for a file."""
        return self._pool.pids()

    async def inspect(self, tenant_id: uuid.UUID, upload: Path) -> Decoded:
        """Decodes all of a file and describes it.

        Raises:
            UnsupportedImageProblem, UndecodableImageProblem, ImageTooLargeProblem: The image cannot be used.
            StorageUnavailable: The disk cannot be read or written.
            Overloaded: No child became free, or it got no CPU time, as on a computer that is far too busy.
        """
        with self._problems(), _opened(upload) as file:
            return self._decoded(upload, await self._decode(tenant_id, "inspect", file))

    async def derive(self, tenant_id: uuid.UUID, upload: Path, canonical: Path) -> tuple[Decoded, list[dict[str, Any]]]:
        """Decodes a file once: writes its canonical BMP, describes it, and reads its evidence. Raises as `inspect`."""
        with self._problems(), _opened(upload) as file, _created(canonical) as made:
            try:
                answer = await self._decode(tenant_id, "derive", file, made, evidence_seconds=_EVIDENCE_SECONDS)
            except (OSError, MemoryError, DecoderDied):  # TimeoutError is an OSError
                # The cause is not known. The image is decoded alone: unreadable evidence must not make it unusable.
                os.ftruncate(made, 0)
                os.lseek(made, 0, os.SEEK_SET)
                answer = await self._decode(tenant_id, "canonicalize", file, made)
                evidence = await self._evidence(tenant_id, file)
            else:
                evidence = answer.pop("evidence")
            self._check_bmp(made)
            return self._decoded(upload, answer), _as_documents(evidence)

    async def decode_reference(self, tenant_id: uuid.UUID, upload: Path, canonical: Path) -> str:
        """Writes a reference image's canonical BMP and returns its hash. Raises as `inspect`, also for a blank one."""
        with self._problems(), _opened(upload) as file, _created(canonical) as made:
            answer = await self._decode(tenant_id, "decode_reference", file, made)
            self._check_bmp(made)
            return _sha256(answer["sha256"])

    async def decode_generated(self, data: bytes) -> tuple[int, int, bytes]:
        """Width, height and RGB pixels of an image of a vendor, in canonical size, by a child of its own.

        Raises UnsupportedImage, UndecodableImage or ImageTooLarge, as the method does; and otherwise as `inspect`.
        """
        with _in_memory(data) as file, _in_memory(b"") as pixels:
            try:
                with self._problems():
                    answer = await self._decode(None, "decode_generated", file, pixels)
                    width, height = int(answer["width"]), int(answer["height"])
                    if not (1 <= width <= self._limits.canonical_side and 1 <= height <= self._limits.canonical_side):
                        raise DecoderDied
                    if os.lseek(pixels, 0, os.SEEK_END) != 3 * width * height:
                        raise DecoderDied
                    return width, height, os.pread(pixels, 3 * width * height, 0)
            except UnsupportedImageProblem as error:
                raise errors.UnsupportedImage(error.detail) from error
            except UndecodableImageProblem as error:
                raise errors.UndecodableImage(error.detail) from error
            except ImageTooLargeProblem as error:
                raise errors.ImageTooLarge(error.detail) from error

    async def unpack_json(self, tenant_id: uuid.UUID, body: Path) -> Any:
        """The value of a JSON body, with its images as files in the same folder: see `json_body.Unpacked`.

        Raises MalformedRequest for a body that is not strict JSON or too costly, StorageUnavailable or Overloaded.
        """
        images = body.with_name("images")
        try:
            if body.stat().st_size <= _SMALL_JSON:
                with images.open("wb") as file:
                    unpacked = unpack(body.read_bytes(), file.write)
                return unpacked.with_images(images)
            document = await self._unpack(tenant_id, body, images)
            return await to_thread(lambda: Unpacked.parse(document).with_images(images))
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise MalformedRequest(f"The body is not JSON that is accepted here. {error}") from error
        except (TimeoutError, NoDecoderFree) as error:
            raise _too_busy("parse the body") from error
        except (MemoryError, DecoderDied) as error:
            raise MalformedRequest("Parsing this JSON takes too much; send fewer or simpler members.") from error
        except OSError as error:
            raise _disk_problem(error) from error

    async def _unpack(self, tenant_id: uuid.UUID, body: Path, images: Path) -> bytes:
        with _opened(body) as file, _created(images) as made, _in_memory(b"") as value:
            files = (file, made, value)
            patience = _PATIENCE * _UNPACK_SECONDS
            await self._ask(tenant_id, "unpack_json", files, {"cpu_seconds": _UNPACK_SECONDS}, patience)
            size = os.lseek(value, 0, os.SEEK_END)
            if size > _MAX_VALUE:
                raise DecoderDied
            return os.pread(value, size, 0)

    async def _decode(self, tenant_id: uuid.UUID | None, task: str, *files: int, **options: Any) -> dict[str, Any]:
        return await self._ask(tenant_id, task, files, self._limit_options | options, self._patience)

    async def _ask(
        self,
        tenant_id: uuid.UUID | None,
        task: str,
        files: tuple[int, ...],
        options: Mapping[str, Any],
        patience: float,
    ) -> dict[str, Any]:
        """The child's value, as it gives it. Raises the problem for its error, ValueError, MemoryError or OSError."""
        answer = await self._pool.run(tenant_id, task, files, options, patience)
        value, error = answer.get("value"), answer.get("error")
        if isinstance(value, dict):
            return value
        detail = str(answer.get("detail"))
        if error in _PROBLEMS:
            raise _PROBLEMS[error](detail)
        if error == "MemoryError":
            raise MemoryError
        if error == "OSError":
            raise OSError(detail)
        if error == "ValueError":
            raise ValueError(detail)
        log.error("decoder_error", task=task, error=detail)
        raise DecoderDied

    async def _evidence(self, tenant_id: uuid.UUID, file: int) -> Any:
        """The evidence in a file. Where reading it breaks the child, the evidence is `unreadable`."""
        try:
            given = {"cpu_seconds": _EVIDENCE_SECONDS}
            patience = _PATIENCE * _EVIDENCE_SECONDS
            return (await self._ask(tenant_id, "read_evidence", (file,), given, patience))["evidence"]
        except (OSError, MemoryError, DecoderDied) as error:  # TimeoutError is an OSError
            log.warning("evidence_unreadable", reason=type(error).__name__)
            return documents([unreadable(Kind.FILE, "file")])

    def _decoded(self, upload: Path, answer: Mapping[str, Any]) -> Decoded:
        """Raises DecoderDied where a child's description of a file is none."""
        given = {field.name: answer[field.name] for field in fields(Decoded)}
        size = upload.stat().st_size
        numbers = [given["width"], given["height"], given["frames"]]
        if given["format"] not in FORMATS or not all(isinstance(each, int) and each >= 1 for each in numbers):
            raise DecoderDied
        if not isinstance(given["quality"], dict | None):
            raise DecoderDied
        return Decoded(**given | {"size": size, "sha256": _sha256(given["sha256"])})

    def _check_bmp(self, file: int) -> None:
        """Raises DecoderDied unless the file is exactly what `attribution.image.encode_bmp` writes."""
        head = os.pread(file, _BMP_HEADER, 0)
        width, height = (int.from_bytes(head[at : at + 4], "little", signed=True) for at in (18, 22))
        side = self._limits.canonical_side
        size = _BMP_HEADER + (3 * width + 3) // 4 * 4 * height
        if not (
            (head[:2], head[10:14], head[26:34]) == (b"BM", b"\x36\0\0\0", b"\1\0\x18\0\0\0\0\0")
            and 1 <= width <= side
            and 1 <= height <= side
            and os.lseek(file, 0, os.SEEK_END) == size
        ):
            raise DecoderDied

    @contextmanager
    def _problems(self) -> Iterator[None]:
        """Turns the errors of a child into those of the service."""
        try:
            yield
        except MemoryError as error:
            raise ImageTooLargeProblem("Decoding this image would take more memory than is allowed.") from error
        except NoDecoderFree as error:
            log.warning("no_decoder_free")
            raise _too_busy("decode the image") from error
        except TimeoutError as error:
            log.warning("decoder_killed", reason="timeout")
            raise _too_busy("decode the image") from error
        except (DecoderDied, LookupError, TypeError, ValueError) as error:
            log.warning("decoder_killed", reason="died")
            raise UndecodableImageProblem(
                f"Decoding this image broke the decoder, or took more than {self._limits.cpu_seconds:g} seconds."
            ) from error
        except OSError as error:
            raise _disk_problem(error) from error


def _as_documents(evidence: Any) -> list[dict[str, Any]]:
    if not isinstance(evidence, list) or not all(isinstance(each, dict) for each in evidence):
        raise DecoderDied
    return evidence


def _sha256(given: Any) -> str:
    """Raises DecoderDied unless it is one: it becomes a part of a path."""
    if not isinstance(given, str) or not re.fullmatch("[0-9a-f]{64}", given):
        raise DecoderDied
    return given


@contextmanager
def _opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    file = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield file
    finally:
        os.close(file)


def _created(path: Path) -> Any:
    return _opened(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)


@contextmanager
def _in_memory(data: bytes) -> Iterator[int]:
    file = os.memfd_create("image")
    try:
        os.write(file, data)
        yield file
    finally:
        os.close(file)


def _too_busy(to_do: str) -> Overloaded:
    return Overloaded(f"The service is too busy to {to_do}; try again in a minute.", headers={"Retry-After": "60"})


def _disk_problem(error: OSError) -> StorageUnavailable:
    log.error("decoder_disk_error", error=str(error))
    return StorageUnavailable("The image cannot be stored now; try again in a minute.")
