"""Makes an accepted job of what was sent: stored bytes, committed rows, a message to the workers, in that order."""

import uuid
from asyncio import gather
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from anyio import CapacityLimiter, move_on_after, to_thread

from app.access.quota import too_many_jobs
from app.documents import ImageDocument, JobDocument, job_document
from app.errors import AddressRefused, ServiceError
from app.intake.decode import Decoded
from app.intake.decoders import Decoders
from app.intake.options import mistake
from app.intake.selection import select_sources
from app.intake.submission import IMAGE_URL, Submission
from app.metrics import CACHE_REQUESTS, DECODE_DURATION, job_accepted
from app.outbound import check_url
from app.questions import answer_key
from app.queue.broker import Broker
from app.queue.steps import notify_step, stage_step
from app.settings import OutboundSettings, Settings
from app.store import idempotency
from app.store.admission import fits
from app.store.answers import reuse
from app.store.blobs import Blobs, StoredBlob, refer, unused
from app.store.database import Database
from app.store.jobs import NewJob, accept
from app.store.models import Stage
from app.store.snapshots import Snapshots
from app.webhook.receivers import receiver_rules
from attribution.catalogue import Catalogue

log = structlog.get_logger(__name__)

CANONICAL_TYPE = "image/bmp"
# Each holds a part of an upload in memory while it is put.
_PUTS_AT_ONCE = 2
# A broker that hangs keeps these threads and no others.
_MESSAGES_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class _Image:
    """What the row says of an image, and the bytes that it uses; nothing as long as it is to be fetched."""

    values: dict[str, Any] = field(default_factory=lambda: {"image": None, "query_blob": None})
    uses: dict[str, StoredBlob] = field(default_factory=dict)


def media_type_of(decoded: Decoded) -> str:
    """Of the image as it came."""
    return f"image/{decoded.format.lower()}"


def image_values(decoded: Decoded) -> dict[str, Any]:
    """The columns of a job that describe its decoded image."""
    image = ImageDocument(
        format=decoded.format,
        width=decoded.width,
        height=decoded.height,
        frames=decoded.frames,
        sha256=decoded.sha256,
        size=decoded.size,
    )
    return {
        "image": image.model_dump(),
        "evidence": {"findings": decoded.evidence},
        "query_blob": decoded.canonical_sha256,
    }


class Intake:
    """Accepts jobs. What it returns is committed; whether the workers heard of it is the sweep's concern."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        broker: Broker,
        catalogue: Catalogue,
        decoders: Decoders,
        snapshots: Snapshots,
        settings: Settings,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._broker = broker
        self._catalogue = catalogue
        self._decoders = decoders
        self._snapshots = snapshots
        self._cache = settings.cache
        self._may_answer = settings.cache.enabled and not settings.screening.waits
        self._settings = settings.job
        self._concurrent_jobs = settings.access.concurrent_jobs
        self._outbound = settings.outbound
        self._receivers = receiver_rules(settings)
        self._broker_patience = settings.redis.timeout.total_seconds()
        self._messages = CapacityLimiter(_MESSAGES_AT_ONCE)
        self._puts = CapacityLimiter(_PUTS_AT_ONCE)

    async def accept(
        self,
        tenant_id: uuid.UUID,
        submission: Submission,
        cancel_after: timedelta | None = None,
        key: idempotency.Claim | None = None,
    ) -> JobDocument:
        """Decodes, stores and commits. Raises a RequestError the caller can mend, Unavailable, or Superseded.

        The `key` is completed with the job; the workers hear of it from `hand_on`.
        """
        options = submission.options
        sources = select_sources(self._catalogue, options.sources, options.exclude, datetime.now(UTC).date())
        webhook_url = _checked(options.webhook_url, "webhook_url", self._receivers)
        image_url = _checked(submission.image_url, IMAGE_URL, self._outbound)
        image = await self._take(tenant_id, submission.image) if submission.image else _Image()
        new = NewJob(
            tenant_id=tenant_id,
            **image.values,
            image_url=image_url,
            stage=Stage.SCREENING if submission.image else Stage.FETCHING,
            candidates=options.candidates or self._settings.candidates,
            sources=sources,
            deadline=self._settings.deadline,
            prompt=options.prompt,
            seed=options.seed,
            external_id=options.external_id,
            labels=options.metadata,
            cancel_after=cancel_after,
            webhook_url=webhook_url,
            webhook_events=options.webhook_events,
            cache=options.cache,
        )
        if self._cache.enabled and options.cache:
            new = replace(new, answer_key=self._question(new), answer_ttl=self._cache.ttl)
        try:
            document = await to_thread.run_sync(self._commit, new, image.uses, key)
        except ServiceError:
            await to_thread.run_sync(self._discard, image.uses)
            raise
        job_accepted()
        log.info("job_accepted", job_id=str(document.id), by_url=image_url is not None, cached=document.cached)
        if document.cached is not None:
            await to_thread.run_sync(self._end, tenant_id, document)
        return document

    async def hand_on(self, accepted: Sequence[JobDocument]) -> None:
        """Tells the workers. Should that fail, the sweep does."""
        steps = [stage_step(job.stage, job.id) if job.stage is not None else notify_step() for job in accepted]
        with move_on_after(self._broker_patience):
            await to_thread.run_sync(self._broker.enqueue, steps, abandon_on_cancel=True, limiter=self._messages)

    async def _take(self, tenant_id: uuid.UUID, upload: Path) -> _Image:
        """Decodes the image and stores it. The canonical one is written beside it first."""
        canonical = upload.with_name("canonical.bmp")
        with DECODE_DURATION.time():
            decoded = await self._decoders.decode(upload, canonical)
        original, query = await gather(
            self._put(tenant_id, upload, decoded.sha256, media_type_of(decoded)),
            self._put(tenant_id, canonical, decoded.canonical_sha256, CANONICAL_TYPE),
        )
        return _Image(image_values(decoded), {"original": original, "query": query})

    async def _put(self, tenant_id: uuid.UUID, file: Path, sha256: str, media_type: str) -> StoredBlob:
        return await to_thread.run_sync(self._blobs.put_file, tenant_id, file, sha256, media_type, limiter=self._puts)

    def _commit(self, new: NewJob, uses: dict[str, StoredBlob], key: idempotency.Claim | None) -> JobDocument:
        with self._database.transaction() as session:
            job, rows = accept(session, new)
            # Before any blob is locked: who erases the other job locks that first, and its blobs then.
            if self._may_answer and job.cached_from is not None:
                job, rows = reuse(session, job, job.cached_from, self._cache.ttl) or (job, rows)
            lost = refer(session, job.id, uses)
            document = job_document(job, rows)
            if key is not None:
                headers = {"Location": f"/attribute/{job.id}"}
                body = document.model_dump_json()
                idempotency.complete(session, key, idempotency.Answered(202, headers, body, job.id))
            if not fits(session, new.tenant_id, self._concurrent_jobs):
                raise too_many_jobs()
        self._blobs.put_again(lost)
        return document

    def _question(self, new: NewJob) -> str | None:
        """What a whole answer is found by; a file that is yet to be fetched has none yet."""
        if new.image is None:
            return None
        return answer_key(new.image["sha256"], new.sources, self._catalogue, new.candidates, new.seed, new.prompt)

    def _end(self, tenant_id: uuid.UUID, document: JobDocument) -> None:
        CACHE_REQUESTS.labels("answer", "hit").inc()
        self._snapshots.end(tenant_id, document)

    def _discard(self, uses: dict[str, StoredBlob]) -> None:
        """What was not accepted is not kept."""
        with self._database.transaction() as session:
            self._blobs.delete_all(unused(session, {(blob.tenant_id, blob.sha256) for blob in uses.values()}))


def _checked(url: str | None, member: str, rules: OutboundSettings) -> str | None:
    """The address in its normal form. Raises AddressRefused that points at the member."""
    if url is None:
        return None
    try:
        return check_url(url, rules)
    except AddressRefused as error:
        raise AddressRefused(error.detail, errors=[mistake(member, error.detail)]) from error
