"""Makes an accepted job of an uploaded image: stored bytes, committed rows, a message to the workers, in that order."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import structlog
from anyio import CapacityLimiter, move_on_after, to_thread

from app.documents import ImageDocument, JobDocument, job_document
from app.intake.decode import Decoded
from app.intake.decoders import Decoders
from app.intake.options import Options
from app.intake.selection import select_sources
from app.metrics import DECODE_DURATION, job_accepted
from app.outbound import check_url
from app.queue.broker import Broker
from app.queue.steps import stage_step
from app.settings import Settings
from app.store.blobs import Blobs, StoredBlob, refer
from app.store.database import Database
from app.store.jobs import NewJob, NewSource, accept
from app.store.models import Stage
from app.webhook.receivers import receiver_rules
from attribution.catalogue import Catalogue

log = structlog.get_logger(__name__)

# Each holds a part of an upload in memory while it is put.
_PUTS_AT_ONCE = 2
# A broker that hangs keeps these threads and no others.
_MESSAGES_AT_ONCE = 4


class Intake:
    """Accepts jobs. What it returns is committed; whether the workers heard of it is the sweep's concern."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        broker: Broker,
        catalogue: Catalogue,
        decoders: Decoders,
        settings: Settings,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._broker = broker
        self._catalogue = catalogue
        self._decoders = decoders
        self._settings = settings.job
        self._receivers = receiver_rules(settings)
        self._broker_patience = settings.redis.timeout.total_seconds()
        self._messages = CapacityLimiter(_MESSAGES_AT_ONCE)
        self._puts = CapacityLimiter(_PUTS_AT_ONCE)

    async def accept(self, tenant_id: uuid.UUID, upload: Path, options: Options) -> JobDocument:
        """Decodes, stores and commits. Raises a RequestError the caller can mend, or Unavailable.

        `upload` lies in a folder of its own, where the canonical image is written too.
        """
        sources = select_sources(self._catalogue, options.sources, options.exclude, datetime.now(UTC).date())
        webhook_url = options.webhook_url and check_url(options.webhook_url, self._receivers)
        canonical = upload.with_name("canonical.bmp")
        with DECODE_DURATION.time():
            decoded = await self._decoders.decode(upload, canonical)
        media_type = f"image/{decoded.format.lower()}"
        uses = {
            "original": await self._put(tenant_id, upload, decoded.sha256, media_type),
            "query": await self._put(tenant_id, canonical, decoded.canonical_sha256, "image/bmp"),
        }
        document = await to_thread.run_sync(self._commit, tenant_id, options, webhook_url, sources, decoded, uses)
        await to_thread.run_sync(self._blobs.keep, tuple(uses.values()), limiter=self._puts)
        with move_on_after(self._broker_patience):
            await to_thread.run_sync(
                self._broker.enqueue,
                [stage_step(Stage.SCREENING, document.id)],
                abandon_on_cancel=True,
                limiter=self._messages,
            )
        job_accepted()
        log.info("job_accepted", job_id=str(document.id), format=decoded.format, size=decoded.size)
        return document

    async def _put(self, tenant_id: uuid.UUID, file: Path, sha256: str, media_type: str) -> StoredBlob:
        return await to_thread.run_sync(self._blobs.put_file, tenant_id, file, sha256, media_type, limiter=self._puts)

    def _commit(
        self,
        tenant_id: uuid.UUID,
        options: Options,
        webhook_url: str | None,
        sources: tuple[NewSource, ...],
        decoded: Decoded,
        uses: dict[str, StoredBlob],
    ) -> JobDocument:
        image = ImageDocument(
            format=decoded.format,
            width=decoded.width,
            height=decoded.height,
            frames=decoded.frames,
            sha256=decoded.sha256,
            size=decoded.size,
        )
        new = NewJob(
            tenant_id=tenant_id,
            image=image.model_dump(),
            evidence={"findings": decoded.evidence},
            query_blob=decoded.canonical_sha256,
            candidates=options.candidates or self._settings.candidates,
            sources=sources,
            deadline=self._settings.deadline,
            prompt=options.prompt,
            seed=options.seed,
            webhook_url=webhook_url,
            webhook_events=options.webhook_events,
        )
        with self._database.transaction() as session:
            job, rows = accept(session, new)
            refer(session, job.id, uses)
        return job_document(job, rows)
