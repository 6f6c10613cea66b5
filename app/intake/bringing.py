"""Takes drawings that a caller brings while a job waits for them: decode, store, commit, hand on, like a new image."""

import uuid

import structlog
from anyio import to_thread

from app.documents import JobDocument, job_document
from app.errors import ServiceError
from app.intake.brought import Brought
from app.intake.drawings import Drawings, roles
from app.queue.messenger import Messenger
from app.queue.steps import REFERENCE_QUEUE, sources_step
from app.store import blobs as stored
from app.store import references
from app.store.blobs import Blobs, StoredBlob
from app.store.calls import spent
from app.store.database import Database
from app.store.jobs import sources_of
from app.store.snapshots import Snapshots

log = structlog.get_logger(__name__)


class Bringing:
    """One per process."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        drawings: Drawings,
        snapshots: Snapshots,
        messenger: Messenger,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._drawings = drawings
        self._snapshots = snapshots
        self._messenger = messenger

    async def look(self, tenant_id: uuid.UUID, job_id: uuid.UUID, source: str) -> None:
        """Whether it is worth reading what somebody brings. Raises NotFound, Erased or ReferencesRefused."""
        await to_thread.run_sync(self._look, tenant_id, job_id, source)

    async def bring(self, tenant_id: uuid.UUID, job_id: uuid.UUID, brought: Brought) -> JobDocument:
        """The job with these drawings. Raises as `look` does, and what `Drawings.store` raises."""
        drawings = (await self._drawings.store(tenant_id, [brought]))[brought.source]
        uses = roles(brought.source, drawings)
        try:
            document, new = await to_thread.run_sync(self._commit, tenant_id, job_id, brought.source, drawings)
        except ServiceError:
            await to_thread.run_sync(self._discard, uses)
            raise
        if new:
            log.info("references_brought", job_id=str(job_id), source=brought.source, drawings=len(drawings))
            self._messenger.soon([sources_step(job_id, REFERENCE_QUEUE)])
        return document

    def _look(self, tenant_id: uuid.UUID, job_id: uuid.UUID, source: str) -> None:
        with self._database.transaction(durable=False) as session:
            references.look(session, tenant_id, job_id, source)

    def _commit(
        self, tenant_id: uuid.UUID, job_id: uuid.UUID, source: str, drawings: list[StoredBlob]
    ) -> tuple[JobDocument, bool]:
        with self._database.transaction() as session:
            job, new = references.take(session, tenant_id, job_id, source, [blob.sha256 for blob in drawings])
            lost = stored.refer(session, job_id, roles(source, drawings)) if new else []
            document = job_document(job, sources_of(session, job_id), spent(session, job))
        self._blobs.put_all(lost)
        if new:
            self._snapshots.drop(tenant_id, job_id)
        return document, new

    def _discard(self, uses: dict[str, StoredBlob]) -> None:
        """What was not taken is not kept."""
        with self._database.transaction() as session:
            self._blobs.delete_all(stored.unused(session, {(blob.tenant_id, blob.sha256) for blob in uses.values()}))
