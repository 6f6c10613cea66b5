"""Accepts a job: stored bytes, committed rows, a message to the workers, in that order."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from anyio import CancelScope, CapacityLimiter, to_thread

from app.access.rates import too_many_jobs
from app.cache.cache_keys import result_key
from app.cache.decoded import DecodedFiles
from app.db.blob_repository import ORIGINAL
from app.db.blobs import Blobs, StoredBlob
from app.db.database import Database
from app.db.models import Job, Stage
from app.db.types import ExternalScores, ImageRecord, MethodOptions
from app.documents import JobDocument, job_document
from app.egress import check_url
from app.errors import AddressRefused, InvalidRequest, ServiceError, UnknownCaptioner, UnknownEmbedder
from app.intake.decoders import Decoders
from app.intake.decoding import Decoded
from app.intake.json_body import IMAGE_URL
from app.intake.options import Options, mistake
from app.intake.reference_images import Hashes, ReferenceImages, roles
from app.intake.selection import check_external_scores, select_sources
from app.intake.submission import Submission
from app.jobs import idempotency
from app.jobs.acceptance import NewJob, NewSource, accept
from app.jobs.admission import fits_tenant_limit
from app.jobs.deletion import discard
from app.jobs.service import succeed_from_cached_job
from app.jobs.snapshots import Snapshots
from app.queue.broker import Messenger
from app.queue.steps import notify_step, stage_step
from app.settings import EgressSettings, Settings
from app.telemetry.metrics import CACHE_REQUESTS, DECODE_DURATION, job_accepted
from app.webhooks.endpoints import receiver_rules
from attribution.catalog import Catalog

# Each upload to the blob store holds a part of an image in memory.
_CONCURRENT_PUTS = 2


class Intake:
    """Accepts jobs. A returned job is committed; if its message to the workers is lost, the sweep sends it again."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        messenger: Messenger,
        catalog: Catalog,
        decoders: Decoders,
        reference_images: ReferenceImages,
        snapshots: Snapshots,
        settings: Settings,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._messenger = messenger
        self._catalog = catalog
        self._decoders = decoders
        self._reference_images = reference_images
        self._snapshots = snapshots
        self._cache = settings.cache
        self._reuses_results = settings.cache.enabled and not settings.screening.waits
        self._settings = settings.job
        self._models = settings.models
        self._captioners = settings.models.offered
        self._embedders = settings.models.offered_embedders
        self._concurrent_jobs = settings.access.concurrent_jobs
        self._spend = settings.spend
        self._contributes = settings.bank.enabled
        self._outbound = settings.egress
        self._receivers = receiver_rules(settings)
        self._puts = CapacityLimiter(_CONCURRENT_PUTS)
        self._decoded = DecodedFiles[Decoded]()

    async def accept(
        self,
        tenant_id: uuid.UUID,
        submission: Submission,
        cancel_after: timedelta | None = None,
        key: idempotency.KeyClaim | None = None,
    ) -> JobDocument:
        """Decodes, stores and commits; the caller then calls `enqueue`.

        Args:
            tenant_id: The tenant that the job belongs to.
            submission: The image and the options of the job.
            cancel_after: The job is canceled where it has not ended by then.
            key: A claimed idempotency key, completed in the transaction that inserts the job.

        Raises:
            RequestError: The caller can correct the request.
            Unavailable: A store does not answer, or the service is too busy.
            Superseded: Another request completed the key.
        """
        options = submission.options
        sources = select_sources(
            self._catalog,
            options.sources,
            options.exclude,
            datetime.now(UTC).date(),
            uploaded=[each.source for each in submission.references],
            awaited=options.await_references,
        )
        check_external_scores(self._catalog, options.external_scores or ())
        new = NewJob(
            tenant_id=tenant_id,
            image=None,
            image_url=_check_address(submission.image_url, IMAGE_URL, self._outbound),
            stage=Stage.SCREENING if submission.image else Stage.FETCHING,
            images_per_source=options.images_per_source or self._settings.images_per_source,
            sources=sources,
            deadline=self._deadline(options),
            prompt=options.prompt,
            seed=options.seed,
            method_options=self._method_options(options),
            external_id=options.external_id,
            labels=options.metadata,
            cancel_after=cancel_after,
            budget_usd=None if options.budget_usd is None else round(Decimal(str(options.budget_usd)), 6),
            default_budget_usd=self._spend.budget_usd,
            max_budget_usd=self._spend.max_budget_usd,
            local_only=options.local_only,
            default_local_only=self._spend.local_only,
            webhook_url=_check_address(options.webhook_url, "webhook_url", self._receivers),
            webhook_events=options.webhook_events,
            cache=options.cache,
            contributes=options.contribute and self._contributes,
            external_scores=self._external_scores(options),
        )
        decoded = None if submission.image is None else await self._decode(tenant_id, submission.image)
        hashes = await self._reference_images.decode(tenant_id, submission.references)
        with CancelScope(shield=True):  # a caller that disconnects from here on has its job
            document = await self._store_and_commit(tenant_id, submission, new, decoded, hashes, key)
        return document  # noqa: RET504 - for the type checker, a cancel scope may swallow an error

    async def _store_and_commit(
        self,
        tenant_id: uuid.UUID,
        submission: Submission,
        new: NewJob,
        decoded: Decoded | None,
        hashes: Hashes,
        key: idempotency.KeyClaim | None,
    ) -> JobDocument:
        options, sources = submission.options, new.sources
        references = await self._reference_images.store(tenant_id, submission.references, hashes)
        uses = {role: blob for source, images in references.items() for role, blob in roles(source, images).items()}
        try:
            if submission.image is not None and decoded is not None:
                uses[ORIGINAL] = await self._store(tenant_id, decoded, submission.image)
                new = replace(new, image=asdict(decoded))
            if references:
                new = replace(
                    new, sources=[_with_references(source, references.get(source.source, ())) for source in sources]
                )
            if self._cache.enabled and options.cache and not (submission.references or options.await_references):
                new = replace(new, result_key=self._result_key(new), result_ttl=self._cache.ttl)
            document = await to_thread.run_sync(self._commit, new, uses, key)
        except ServiceError:
            if uses:
                await to_thread.run_sync(discard, self._database, self._blobs, uses.values())
            raise
        job_accepted()
        if document.cached is not None:
            CACHE_REQUESTS.labels("answer", "hit").inc()
            await to_thread.run_sync(self._snapshots.store_ended, tenant_id, document)
        return document

    def enqueue(self, accepted: Iterable[JobDocument]) -> None:
        """Sends a message to the workers for each job. If it is lost, the sweep sends it again."""
        self._messenger.enqueue(
            stage_step(job.stage, job.id) if job.stage is not None else notify_step() for job in accepted
        )

    async def _decode(self, tenant_id: uuid.UUID, upload: Path) -> Decoded:
        """Describes the file; one that this tenant sent before is not decoded again."""
        decoded = await self._decoded.get(tenant_id, upload)
        if decoded is None:
            with DECODE_DURATION.time():
                decoded = await self._decoders.inspect(tenant_id, upload)
            self._decoded.insert(tenant_id, decoded.sha256, decoded.size, decoded)
        return decoded

    async def _store(self, tenant_id: uuid.UUID, decoded: Decoded, upload: Path) -> StoredBlob:
        """Stores the file itself; a worker makes the canonical image of it."""
        original = StoredBlob(tenant_id, decoded.sha256, decoded.size, decoded.media_type, upload)
        if not self._blobs.is_folder:
            await to_thread.run_sync(self._blobs.put_all, [original], limiter=self._puts)
        return original

    def _external_scores(self, options: Options) -> ExternalScores | None:
        if options.external_scores is None:
            return None
        weight = self._models.fusion_weight if options.fusion_weight is None else options.fusion_weight
        return ExternalScores(options.external_scores, weight)

    def _method_options(self, options: Options) -> MethodOptions:
        """The distance and aggregate to compare by, with captioner and embedder where the caller named them.

        Raises UnknownCaptioner or UnknownEmbedder.
        """
        named: dict[str, str] = {}
        for kind, name, offered, problem in (
            ("captioner", options.captioner, self._captioners, UnknownCaptioner),
            ("embedder", options.embedder, self._embedders, UnknownEmbedder),
        ):
            if name is None:
                continue
            if name not in offered:
                detail = f"There is no {kind} called {name}; there are {', '.join(offered)}."
                raise problem(detail, errors=[mistake(kind, detail)], known=list(offered))
            named[kind] = name
        return MethodOptions.chosen(
            self._models,
            options.distance,
            options.aggregate,
            method=options.method,
            policy=options.policy,
            budget=options.budget,
            **named,
        )

    def _deadline(self, options: Options) -> timedelta:
        """A job that awaits reference images has a longer one: a person takes longer than a generator."""
        if options.await_seconds is not None:
            return timedelta(seconds=options.await_seconds)
        return self._settings.reference_deadline if options.await_references else self._settings.deadline

    def _commit(self, new: NewJob, uses: dict[str, StoredBlob], key: idempotency.KeyClaim | None) -> JobDocument:
        if self._blobs.is_folder and ORIGINAL in uses:  # in this thread: a busy disk must not block the event loop
            self._blobs.put_all([uses[ORIGINAL]])
        with self._database.transaction(durable=False) as session:  # `accept` itself makes the commit durable
            accepted = accept(session, new, uses, self._concurrent_jobs)
            job, rows = accepted.job, accepted.sources
            self._check_local_only(job)
            if self._reuses_results and job.cached_from is not None:
                job, rows = succeed_from_cached_job(session, job, job.cached_from, self._cache.ttl) or (job, rows)
            document = job_document(job, rows)
            if key is not None:
                headers = {"Location": f"/attribute/{document.id}"}
                body = document.model_dump_json()
                idempotency.complete(session, key, idempotency.StoredResponse(202, headers, body, document.id))
            if not fits_tenant_limit(session, new.tenant_id, self._concurrent_jobs, accepted.share):
                raise too_many_jobs()
        self._blobs.put_all(accepted.lost)
        return document

    def _check_local_only(self, job: Job) -> None:
        """Raises InvalidRequest where a job is local only and its captioner is not; nothing may then be committed."""
        named = job.method_options.captioner
        name = named or next(iter(self._captioners))
        if job.local_only and job.prompt is None and self._captioners[name].external:
            raise InvalidRequest(
                f"The job is local only, but its image would be sent to the captioner {name}; give a prompt, or name "
                "another captioner.",
                errors=[mistake("captioner" if named else "local_only", f"{name} is not local")],
            )

    def _result_key(self, new: NewJob) -> str | None:
        """The cache key of the whole result; None where the file is still to be fetched."""
        if new.image is None:
            return None
        scores = None if new.external_scores is None else new.external_scores.document()
        options = (new.images_per_source, new.seed, new.prompt, new.method_options.document(), scores)
        return result_key(new.image["sha256"], new.sources, self._catalog, *options)


def _with_references(source: NewSource, images: Sequence[StoredBlob]) -> NewSource:
    return replace(source, generated_images=tuple(ImageRecord(k, None, blob.sha256) for k, blob in enumerate(images)))


def _check_address(url: str | None, member: str, rules: EgressSettings) -> str | None:
    """The address in its normal form. Raises AddressRefused with a pointer to the member."""
    if url is None:
        return None
    try:
        return check_url(url, rules)
    except AddressRefused as error:
        raise AddressRefused(error.detail, errors=[mistake(member, error.detail)]) from error
