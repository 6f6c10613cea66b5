"""Takes reference images that the caller uploads while a job waits for them: decode, store, commit, hand on, like a new image."""

import uuid

import structlog
from anyio import to_thread

from app.db import blob_repository
from app.db.blobs import Blobs, StoredBlob
from app.db.database import Database
from app.documents import JobDocument, job_document
from app.errors import ServiceError
from app.intake.reference_images import ReferenceImages, roles
from app.intake.uploaded_references import UploadedReference
from app.jobs import reference_acceptance
from app.jobs.snapshots import Snapshots
from app.jobs.source_repository import list_for_job
from app.queue.broker import Messenger
from app.queue.steps import REFERENCE_QUEUE, sources_step
from app.vendors.budget import sum_by_source

log = structlog.get_logger(__name__)


class ReferenceSubmission:
    """One per process."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        generated_images: ReferenceImages,
        snapshots: Snapshots,
        messenger: Messenger,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._generated_images = generated_images
        self._snapshots = snapshots
        self._messenger = messenger

    async def look(self, tenant_id: uuid.UUID, job_id: uuid.UUID, source: str) -> None:
        """Whether it is worth reading what somebody brings. Raises NotFound, Deleted or ReferencesRefused."""
        await to_thread.run_sync(self._look, tenant_id, job_id, source)

    async def bring(self, tenant_id: uuid.UUID, job_id: uuid.UUID, brought: UploadedReference) -> JobDocument:
        """The job with these generated images. Raises as `get_awaited` does, and what `GeneratedImages.store` raises."""
        generated_images = (await self._generated_images.store(tenant_id, [brought]))[brought.source]
        uses = roles(brought.source, generated_images)
        try:
            document, new = await to_thread.run_sync(self._commit, tenant_id, job_id, brought.source, generated_images)
        except ServiceError:
            await to_thread.run_sync(self._discard, uses)
            raise
        if new:
            log.info(
                "references_added", job_id=str(job_id), source=brought.source, generated_images=len(generated_images)
            )
            self._messenger.enqueue([sources_step(job_id, REFERENCE_QUEUE)])
        return document

    def _look(self, tenant_id: uuid.UUID, job_id: uuid.UUID, source: str) -> None:
        with self._database.transaction(durable=False) as session:
            reference_acceptance.get_awaited(session, tenant_id, job_id, source)

    def _commit(
        self, tenant_id: uuid.UUID, job_id: uuid.UUID, source: str, generated_images: list[StoredBlob]
    ) -> tuple[JobDocument, bool]:
        with self._database.transaction() as session:
            job, new = reference_acceptance.accept_references(
                session, tenant_id, job_id, source, [blob.sha256 for blob in generated_images]
            )
            lost = blob_repository.insert_references(session, job_id, roles(source, generated_images)) if new else []
            document = job_document(job, list_for_job(session, job_id), sum_by_source(session, job))
        self._blobs.put_all(lost)
        if new:
            self._snapshots.delete(tenant_id, job_id)
        return document, new

    def _discard(self, uses: dict[str, StoredBlob]) -> None:
        """What was not taken is not kept."""
        with self._database.transaction() as session:
            self._blobs.delete_all(
                blob_repository.mark_unreferenced_deleted(session, {(blob.tenant_id, blob.sha256) for blob in uses.values()})
            )
