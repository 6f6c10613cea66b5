"""Makes an accepted job of what was sent: stored bytes, committed rows, a message to the workers, in that order."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread

from app.access.quota import too_many_jobs
from app.cache.cache_keys import result_key
from app.cache.decoded import DecodedFiles
from app.db.blobs import Blobs, StoredBlob, mark_unreferenced_deleted
from app.db.database import Database
from app.db.method_options import MethodOptions
from app.db.models import Job, Stage
from app.documents import ImageDocument, JobDocument, job_document
from app.egress import check_url
from app.errors import AddressRefused, InvalidRequest, ServiceError, UnknownCaptioner, UnknownEmbedder
from app.intake.decode import Decoded
from app.intake.decoders import Decoders
from app.intake.options import Options, mistake
from app.intake.reference_images import ReferenceImages, roles
from app.intake.selection import check_external_scores, select_sources
from app.intake.submission import IMAGE_URL, Submission
from app.jobs import idempotency
from app.jobs.admission import fits_tenant_limit
from app.jobs.cached_result import mark_succeeded_from_cached_job
from app.jobs.insertion import NewJob, NewSource, accept
from app.jobs.snapshots import Snapshots
from app.queue.messenger import Messenger
from app.queue.steps import notify_step, stage_step
from app.settings import OutboundSettings, Settings
from app.telemetry.metrics import CACHE_REQUESTS, DECODE_DURATION, job_accepted
from app.webhooks.receivers import receiver_rules
from attribution.catalog import Catalog

# The role in which a job uses its image as it came.
ORIGINAL = "original"
# Each holds a part of an upload in memory while it is put.
_PUTS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class _Image:
    """What the row says of an image, and the bytes that it uses; nothing as long as it is to be fetched."""

    values: dict[str, Any] = field(default_factory=lambda: {"image": None})
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
    }


class Intake:
    """Accepts jobs. What it returns is committed; whether the workers heard of it is the sweep's concern."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        messenger: Messenger,
        catalog: Catalog,
        decoders: Decoders,
        generated_images: ReferenceImages,
        snapshots: Snapshots,
        settings: Settings,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._messenger = messenger
        self._catalog = catalog
        self._decoders = decoders
        self._snapshots = snapshots
        self._cache = settings.cache
        self._may_answer = settings.cache.enabled and not settings.screening.waits
        self._settings = settings.job
        self._models = settings.models
        self._captioners = settings.models.offered
        self._embedders = settings.models.offered_embedders
        self._concurrent_jobs = settings.access.concurrent_jobs
        self._spend = settings.spend
        self._outbound = settings.outbound
        self._receivers = receiver_rules(settings)
        self._puts = CapacityLimiter(_PUTS_AT_ONCE)
        self._generated_images = generated_images
        self._seen = DecodedFiles[Decoded]()

    async def accept(
        self,
        tenant_id: uuid.UUID,
        submission: Submission,
        cancel_after: timedelta | None = None,
        key: idempotency.KeyClaim | None = None,
    ) -> JobDocument:
        """Decodes, stores and commits. Raises a RequestError the caller can mend, Unavailable, or Superseded.

        The `key` is completed with the job; the workers hear of it from `requeue`.
        """
        options = submission.options
        sources = select_sources(
            self._catalog,
            options.sources,
            options.exclude,
            datetime.now(UTC).date(),
            brought=[each.source for each in submission.references],
            awaited=options.await_references,
        )
        check_external_scores(self._catalog, options.external_scores or ())
        webhook_url = _checked(options.webhook_url, "webhook_url", self._receivers)
        image_url = _checked(submission.image_url, IMAGE_URL, self._outbound)
        generated_images = await self._generated_images.store(tenant_id, submission.references)
        uses = {
            role: blob for source, stored in generated_images.items() for role, blob in roles(source, stored).items()
        }
        try:
            image = await self._take(tenant_id, submission.image) if submission.image else _Image()
            uses |= image.uses
            new = NewJob(
                tenant_id=tenant_id,
                **image.values,
                image_url=image_url,
                stage=Stage.SCREENING if submission.image else Stage.FETCHING,
                images_per_source=options.images_per_source or self._settings.images_per_source,
                sources=[_with_generated_images(source, generated_images.get(source.source, ())) for source in sources],
                deadline=self._deadline(options),
                prompt=options.prompt,
                seed=options.seed,
                method_options=self._variant(options),
                external_id=options.external_id,
                labels=options.metadata,
                cancel_after=cancel_after,
                budget_usd=None if options.budget_usd is None else round(Decimal(str(options.budget_usd)), 6),
                default_budget_usd=self._spend.budget_usd,
                max_budget_usd=self._spend.max_budget_usd,
                local_only=options.local_only,
                default_local_only=self._spend.local_only,
                webhook_url=webhook_url,
                webhook_events=options.webhook_events,
                cache=options.cache,
                external_scores=self._prior(options),
            )
            if self._cache.enabled and options.cache and not (submission.references or options.await_references):
                new = replace(new, result_key=self._question(new), result_ttl=self._cache.ttl)
            document = await to_thread.run_sync(self._commit, new, uses, key)
        except ServiceError:
            if uses:
                await to_thread.run_sync(self._discard, uses)
            raise
        job_accepted()
        if document.cached is not None:
            await to_thread.run_sync(self._end, tenant_id, document)
        return document

    def requeue(self, accepted: Iterable[JobDocument]) -> None:
        """Has the workers told. Should that fail, the sweep does."""
        self._messenger.soon(
            stage_step(job.stage, job.id) if job.stage is not None else notify_step() for job in accepted
        )

    async def _take(self, tenant_id: uuid.UUID, upload: Path) -> _Image:
        """Has the image decoded, and stores it as it came: what the models will look at is derived by a worker.

        A file that this tenant sent before is not decoded again.
        """
        decoded = await self._seen.get(tenant_id, upload)
        if decoded is None:
            with DECODE_DURATION.time():
                decoded = await self._decoders.inspect(upload)
            self._seen.insert(tenant_id, decoded.sha256, decoded.size, decoded)
        original = StoredBlob(tenant_id, decoded.sha256, decoded.size, media_type_of(decoded), upload)
        if not self._blobs.is_folder:
            await to_thread.run_sync(self._blobs.put_all, [original], limiter=self._puts)
        return _Image(image_values(decoded), {ORIGINAL: original})

    def _prior(self, options: Options) -> dict[str, Any] | None:
        """As the row keeps it."""
        if options.external_scores is None:
            return None
        weight = self._models.fusion_weight if options.fusion_weight is None else options.fusion_weight
        return {"scores": options.external_scores, "weight": weight}

    def _variant(self, options: Options) -> dict[str, Any]:
        """How it is to be answered; captioner and embedder where they are named. Raises UnknownCaptioner or
        UnknownEmbedder.
        """
        named = {"captioner": options.captioner, "embedder": options.embedder}
        offers = {"captioner": (self._captioners, UnknownCaptioner), "embedder": (self._embedders, UnknownEmbedder)}
        chosen: dict[str, Any] = {kind: name for kind, name in named.items() if name is not None}
        for kind, name in chosen.items():
            known, problem = offers[kind]
            if name not in known:
                detail = f"There is no {kind} called {name}; there are {', '.join(known)}."
                raise problem(detail, errors=[mistake(kind, detail)], known=list(known))
        compared = MethodOptions.of(self._models, {"distance": options.distance, "aggregate": options.aggregate})
        return chosen | compared.document()

    def _deadline(self, options: Options) -> timedelta:
        """A person takes longer than a generator."""
        if options.await_seconds is not None:
            return timedelta(seconds=options.await_seconds)
        return self._settings.reference_deadline if options.await_references else self._settings.deadline

    def _commit(self, new: NewJob, uses: dict[str, StoredBlob], key: idempotency.KeyClaim | None) -> JobDocument:
        if self._blobs.is_folder and ORIGINAL in uses:  # here: a busy disk must not hold up the event loop
            self._blobs.put_all([uses[ORIGINAL]])
        with self._database.transaction(durable=False) as session:  # accepting asks for the disk by itself
            accepted = accept(session, new, uses, self._concurrent_jobs)
            job, rows = accepted.job, accepted.sources
            self._check_that_it_stays(job)
            if self._may_answer and job.cached_from is not None:
                ended = mark_succeeded_from_cached_job(session, job, job.cached_from, self._cache.ttl)
                job, rows = ended or (job, rows)
            document = job_document(job, rows)
            if key is not None:
                headers = {"Location": f"/attribute/{document.id}"}
                body = document.model_dump_json()
                idempotency.complete(session, key, idempotency.StoredResponse(202, headers, body, document.id))
            if not fits_tenant_limit(session, new.tenant_id, self._concurrent_jobs, accepted.share):
                raise too_many_jobs()
        self._blobs.put_all(accepted.lost)
        return document

    def _check_that_it_stays(self, job: Job) -> None:
        """Raises InvalidRequest where a job is local only and its captioner is not; nothing may then be committed."""
        asked = (job.method_options or {}).get("captioner")
        name = asked or next(iter(self._captioners))
        if job.local_only and job.prompt is None and self._captioners[name].external:
            raise InvalidRequest(
                f"The job is local only, and its image would be sent to the captioner {name}; give a prompt, or name "
                "another one.",
                errors=[mistake("captioner" if asked else "local_only", f"{name} is not local")],
            )

    def _question(self, new: NewJob) -> str | None:
        """What a whole answer is found by; a file that is yet to be fetched has none yet."""
        if new.image is None:
            return None
        asked = (new.images_per_source, new.seed, new.prompt, new.method_options, new.external_scores)
        return result_key(new.image["sha256"], new.sources, self._catalog, *asked)

    def _end(self, tenant_id: uuid.UUID, document: JobDocument) -> None:
        CACHE_REQUESTS.labels("answer", "hit").inc()
        self._snapshots.store_ended(tenant_id, document)

    def _discard(self, uses: dict[str, StoredBlob]) -> None:
        """What was not accepted is not kept."""
        with self._database.transaction() as session:
            self._blobs.delete_all(
                mark_unreferenced_deleted(session, {(blob.tenant_id, blob.sha256) for blob in uses.values()})
            )


def _with_generated_images(source: NewSource, generated_images: Sequence[StoredBlob]) -> NewSource:
    return replace(
        source,
        generated_images=tuple({"k": k, "seed": None, "blob": blob.sha256} for k, blob in enumerate(generated_images)),
    )


def _checked(url: str | None, member: str, rules: OutboundSettings) -> str | None:
    """The address in its normal form. Raises AddressRefused that points at the member."""
    if url is None:
        return None
    try:
        return check_url(url, rules)
    except AddressRefused as error:
        raise AddressRefused(error.detail, errors=[mistake(member, error.detail)]) from error
