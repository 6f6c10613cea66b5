"""Reference images that callers upload, with the query image or while the job awaits them: checked, decoded, stored.

A form has them as file fields, JSON as base64 texts; both have the same limits and the same errors.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from anyio import CancelScope, CapacityLimiter, to_thread

from app.db import blob_repository
from app.db.blob_repository import image_role
from app.db.blobs import Blobs, StoredBlob
from app.db.database import Database
from app.documents import JobDocument, job_document
from app.errors import (
    ImageTooLargeProblem,
    InvalidRequest,
    ServiceError,
    UndecodableImageProblem,
    UnsupportedImageProblem,
    UploadTooLarge,
)
from app.intake.decoders import Decoders
from app.intake.json_body import REFERENCES, NoImage
from app.intake.options import mistake
from app.intake.spool import ImageFile
from app.jobs import reference_acceptance
from app.jobs.deletion import discard
from app.jobs.snapshots import Snapshots
from app.jobs.source_repository import list_for_job
from app.queue.broker import Messenger
from app.queue.steps import REFERENCE_QUEUE, sources_step
from app.settings import IntakeSettings
from app.vendors.budget import sum_by_source
from attribution.ports import MOST_REFERENCES

log = structlog.get_logger(__name__)

Mistakes = list[dict[str, str]]
Hashes = Mapping[str, Sequence[str]]  # of canonical reference images, by source, in the order of k
CANONICAL_TYPE = "image/bmp"
# Each upload to the blob store holds a part of an image in memory.
_CONCURRENT_PUTS = 2


@dataclass(frozen=True, slots=True)
class UploadedReference:
    """The reference images of one source in the order of k; `member` is their place in the body, for errors."""

    source: str
    files: tuple[ImageFile, ...]
    member: tuple[str, ...]


def read_references(value: Any, mistakes: Mistakes) -> tuple[UploadedReference, ...]:
    """The member `references` of an unpacked submission, by source. Appends its errors to `mistakes`."""
    if value is None:
        return ()
    if not isinstance(value, dict):
        mistakes.append(mistake(REFERENCES, "must be an object of lists, by source"))
        return ()
    return tuple(
        UploadedReference(source, _read_list(texts, (REFERENCES, source), mistakes), (REFERENCES, source))
        for source, texts in value.items()
    )


def references_from_json(value: Any, limits: IntakeSettings) -> UploadedReference:
    """The reference images of one source, from an unpacked body whose only member is `references`.

    Raises InvalidRequest, also as `check_sizes` does, and UploadTooLarge.
    """
    mistakes: Mistakes = []
    files: tuple[ImageFile, ...] = ()
    if not isinstance(value, dict):
        mistakes.append({"detail": "must be an object", "pointer": "#"})
    else:
        mistakes += [mistake(name, "There is no such member.") for name in value.keys() - {REFERENCES}]
        files = _read_list(value.get(REFERENCES), (REFERENCES,), mistakes)
    if mistakes:
        raise InvalidRequest("The reference images are not valid; `errors` lists why.", errors=mistakes)
    uploaded = UploadedReference("", files, (REFERENCES,))
    check_sizes([uploaded], limits)
    return uploaded


def _read_list(value: Any, member: tuple[str, ...], mistakes: Mistakes) -> tuple[ImageFile, ...]:
    name, *within = member
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_REFERENCES:
        mistakes.append(mistake(name, f"must be a list of 1 to {MOST_REFERENCES} texts, in base64", *within))
        return ()
    for k, each in enumerate(value):
        if not isinstance(each, ImageFile):
            detail = each.detail if isinstance(each, NoImage) else "must be a text, in base64"
            mistakes.append(mistake(name, detail, *within, k))
    return tuple(each for each in value if isinstance(each, ImageFile))


def check_sizes(uploaded: Sequence[UploadedReference], limits: IntakeSettings) -> None:
    """Raises InvalidRequest for too many images, UploadTooLarge where one, or all together, are too large."""
    files = [file for each in uploaded for file in each.files]
    if len(files) > limits.max_references:
        raise too_many(uploaded[-1].member[0], limits.max_references)
    if any(file.size > limits.max_bytes for file in files):
        raise too_large(limits.max_bytes)
    if sum(file.size for file in files) > limits.max_reference_bytes:
        raise too_large_together(limits.max_reference_bytes)


def too_many(name: str, limit: int) -> InvalidRequest:
    """The error for more reference images than a request may have."""
    detail = f"A request may have {limit} reference images over all sources; let the job await some of them."
    return InvalidRequest(f"The field `{name}` is not valid.", errors=[mistake(name, detail)])


def too_large(max_bytes: int) -> UploadTooLarge:
    """The error for one image above the limit."""
    return UploadTooLarge(f"An image may have at most {max_bytes:,} bytes.", max_bytes=max_bytes)


def too_large_together(max_bytes: int) -> UploadTooLarge:
    """The error for reference images that are together above the limit."""
    return UploadTooLarge(
        f"The reference images of a request may have at most {max_bytes:,} bytes together.", max_bytes=max_bytes
    )


def roles(source: str, images: Iterable[StoredBlob]) -> dict[str, StoredBlob]:
    """The images by the role in which a job uses them."""
    return {image_role(source, k): blob for k, blob in enumerate(images)}


class ReferenceImages:
    """Decodes reference images and stores them, in canonical form only. The caller records or discards the blobs."""

    def __init__(self, blobs: Blobs, decoders: Decoders) -> None:
        self._blobs = blobs
        self._decoders = decoders
        self._puts = CapacityLimiter(_CONCURRENT_PUTS)

    async def decode(self, tenant_id: uuid.UUID, uploaded: Sequence[UploadedReference]) -> Hashes:
        """Writes the canonical image of each beside it. Stores nothing.

        Raises what `Decoders.decode_reference` raises, with a pointer to the image.
        """
        return {
            each.source: [await self._decode(tenant_id, each, k) for k in range(len(each.files))] for each in uploaded
        }

    async def store(
        self, tenant_id: uuid.UUID, uploaded: Sequence[UploadedReference], hashes: Hashes
    ) -> dict[str, list[StoredBlob]]:
        """The blobs by source, in the order of k, of images that `decode` has decoded. Raises StorageUnavailable."""
        return {
            each.source: [
                await to_thread.run_sync(
                    self._blobs.put_file,
                    tenant_id,
                    _canonical(file.path),
                    sha256,
                    CANONICAL_TYPE,
                    limiter=self._puts,
                )
                for file, sha256 in zip(each.files, hashes[each.source], strict=True)
            ]
            for each in uploaded
        }

    async def _decode(self, tenant_id: uuid.UUID, uploaded: UploadedReference, k: int) -> str:
        upload = uploaded.files[k].path
        try:
            return await self._decoders.decode_reference(tenant_id, upload, _canonical(upload))
        except (UnsupportedImageProblem, UndecodableImageProblem, ImageTooLargeProblem) as error:
            name, *within = uploaded.member
            detail = f"Reference image {k + 1} cannot be used: {error.detail}"
            raise type(error)(detail, errors=[mistake(name, error.detail, *within, k)]) from error


def _canonical(upload: Path) -> Path:
    return upload.with_suffix(".bmp")


class ReferenceSubmission:
    """Accepts the reference images that a job awaits: decode, store, commit, enqueue, as for a new job."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        images: ReferenceImages,
        snapshots: Snapshots,
        messenger: Messenger,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._images = images
        self._snapshots = snapshots
        self._messenger = messenger

    async def check_awaited(self, tenant_id: uuid.UUID, job_id: uuid.UUID, source: str) -> None:
        """Before the body is read. Raises NotFound, Deleted, or ReferencesRefused."""
        await to_thread.run_sync(self._check_awaited, tenant_id, job_id, source)

    async def accept(self, tenant_id: uuid.UUID, job_id: uuid.UUID, uploaded: UploadedReference) -> JobDocument:
        """The job with these images. Raises as `check_awaited` and `ReferenceImages.store`, and ReferencesConflict."""
        hashes = await self._images.decode(tenant_id, [uploaded])
        with CancelScope(shield=True):  # a caller that disconnects from here on has its images in the job
            images = (await self._images.store(tenant_id, [uploaded], hashes))[uploaded.source]
            try:
                document, new = await to_thread.run_sync(self._commit, tenant_id, job_id, uploaded.source, images)
            except ServiceError:
                await to_thread.run_sync(discard, self._database, self._blobs, images)
                raise
        if new:
            log.info("references_added", job_id=str(job_id), source=uploaded.source, generated_images=len(images))
            self._messenger.enqueue([sources_step(job_id, REFERENCE_QUEUE)])
        return document

    def _check_awaited(self, tenant_id: uuid.UUID, job_id: uuid.UUID, source: str) -> None:
        with self._database.transaction(durable=False) as session:
            reference_acceptance.get_awaited(session, tenant_id, job_id, source)

    def _commit(
        self, tenant_id: uuid.UUID, job_id: uuid.UUID, source: str, images: list[StoredBlob]
    ) -> tuple[JobDocument, bool]:
        with self._database.transaction() as session:
            job, new = reference_acceptance.accept_references(
                session, tenant_id, job_id, source, [blob.sha256 for blob in images]
            )
            lost = blob_repository.insert_references(session, job_id, roles(source, images)) if new else []
            document = job_document(job, list_for_job(session, job_id), sum_by_source(session, job))
        self._blobs.put_all(lost)
        if new:
            self._snapshots.delete(tenant_id, job_id)
        return document, new
