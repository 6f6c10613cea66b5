"""Stage `resynthesizing`: the remote sources of a job. A source that fails is recorded, not raised.

They are called at once, a thread each; each is saved when it ends, together with those that end at the same time. A
source that finds no room at its vendor stays pending, and is resumed by whichever process finds room first.
Local sources are generated in batches across jobs (`workers.local_sources`), and saved by the same functions.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import structlog

from app.db import blob_repository
from app.db.blob_repository import image_role
from app.db.blobs import StoredBlob
from app.db.models import JobSource, Stage
from app.db.types import ImageRecord
from app.jobs import service, source_repository
from app.jobs.source_repository import SourceClaim, SourceOutcome
from app.queue.steps import notify_step
from app.telemetry import tracing
from app.telemetry.metrics import GENERATOR_DURATION, GENERATOR_REQUESTS
from app.vendors.limits import Slot, Wait
from attribution.catalog import Source
from attribution.errors import AttributionError, UnknownSource
from attribution.image import encode_png
from attribution.ports import Caption, Deadline, GeneratedImage, Generator, ModelRef, Resynthesis, SourceState
from attribution.resynthesis import ResynthesisRequest, derive_seeds
from attribution.resynthesis import resynthesize as generate
from attribution.resynthesis.remote.gate import GatedGenerator
from workers import cached_images
from workers.artifacts import PNG
from workers.models import Models
from workers.remote_source import RemoteSource, limit_of
from workers.spend_gate import GRACE_SECONDS
from workers.storage import Storage, discard
from workers.transitions import enqueue_stage
from workers.vendors import Vendors

log = structlog.get_logger(__name__)

# Sources that end within this time of each other are saved in one transaction.
_SAVE_WINDOW_SECONDS = 0.01
# Room at a vendor is checked at least and at most this often: a process that dies does not announce its free slots.
_SHORTEST_WAIT, _LONGEST_WAIT = 0.02, 5.0


@dataclass(frozen=True, slots=True)
class GeneratedBatch:
    """How a source ends, with the blobs that were stored for it and the cache keys of its images, by role."""

    outcome: SourceOutcome
    stored: Mapping[str, StoredBlob] = field(default_factory=dict)
    cache_keys: Mapping[str, str] = field(default_factory=dict)


def resynthesize(storage: Storage, models: Models, vendors: Vendors, job_id: uuid.UUID, queue: str) -> None:
    """Generates the sources of a job that wait in a queue of remote sources."""
    settings = storage.job_settings
    with storage.database.statement() as session:
        claims = source_repository.claim_in_queue(session, job_id, queue, settings.lease, settings.attempts)
    if claims:
        _generate_all(storage, models, vendors, claims, [])


def resume(storage: Storage, models: Models, vendors: Vendors, source: str) -> None:
    """Generates a source for the job that has waited longest for room at it, if there is room, and checks again.

    A slot is acquired before a row is claimed, so that no claim is in vain. This runs whenever a call ends that other
    jobs wait for, when a limit's time is over, and, should both be lost, by the sweep.
    """
    settings = storage.job_settings
    try:
        entry = models.catalog.get(source)
    except UnknownSource:
        return
    if storage.leases.ending:
        return
    lease = entry.limits.timeout_seconds + GRACE_SECONDS
    slot = vendors.limits.acquire(source, entry.limits, lease, queued=True, announce=True)
    if isinstance(slot, Wait):
        seconds = min(max(slot.seconds, _SHORTEST_WAIT), _LONGEST_WAIT)
        _wake(storage, models, vendors, source, seconds)
        return
    spare = [slot]
    try:
        with storage.database.statement() as session:
            claims = source_repository.claim_next_delayed(session, source, settings.lease, settings.attempts)
        if claims:
            _wake(storage, models, vendors, source, 0.0)
            _generate_all(storage, models, vendors, claims, spare)
        else:
            vendors.limits.clear_waiting(source)
    finally:
        for unused in spare:
            vendors.limits.release(unused, unused=True)


def _wake(storage: Storage, models: Models, vendors: Vendors, source: str, seconds: float) -> None:
    """Resumes the source after so many seconds."""

    def work() -> None:
        try:
            resume(storage, models, vendors, source)
        except Exception:  # Postgres is unavailable, and the sweep resumes the source; only this line shows the error
            log.exception("resume_failed", source=source)

    vendors.wakeups.wake(source, seconds, work)


def _generate_all(
    storage: Storage, models: Models, vendors: Vendors, claims: Sequence[SourceClaim], spare: list[Slot]
) -> None:
    """Generates the claimed sources of one job. `spare` are slots that were acquired for them."""
    job_id = claims[0].row.job_id
    with structlog.contextvars.bound_contextvars(job_id=str(job_id)):
        cached_images.use_for_claims(storage, models, claims)
        for ended in _as_they_end(storage, models, vendors, claims, spare):
            save_batches(storage, models, ended)
            if claims[0].notify:
                storage.broker.enqueue([notify_step()])


def _as_they_end(
    storage: Storage, models: Models, vendors: Vendors, claims: Sequence[SourceClaim], spare: list[Slot]
) -> Iterator[list[GeneratedBatch]]:
    """Yields the sources in groups that ended together. A single source is generated in this thread."""
    if len(claims) == 1:
        batch = _generate(storage, models, vendors, claims[0], spare)
        yield [batch] if batch else []
        return
    # Each thread continues this one's log context and trace.
    running = {
        vendors.source_threads.submit(copy_context().run, _generate, storage, models, vendors, claim, [])
        for claim in claims
    }
    while running:
        wait(running, return_when=FIRST_COMPLETED)
        done, running = wait(running, timeout=_SAVE_WINDOW_SECONDS)
        yield [batch for future in done if (batch := future.result()) is not None]


def _generate(
    storage: Storage, models: Models, vendors: Vendors, claim: SourceClaim, spare: list[Slot]
) -> GeneratedBatch | None:
    """One source's images, stored; None where it has to wait, and after an error that is not the source's own."""
    row = claim.row
    missing = missing_of(claim)
    if not missing:
        return GeneratedBatch(SourceOutcome(row, SourceState.DONE, generated_images=row.generated_images))
    try:
        began = time.monotonic()
        with tracing.span(f"generate {row.source}", attributes={"job.id": str(row.job_id), "source": row.source}):
            generator = generator_of(models, row)
            if isinstance(generator, GatedGenerator):
                wake = partial(_wake, storage, models, vendors, row.source)
                with storage.leases.hold(row, limit_of(claim)):
                    outcome = RemoteSource(storage, models, vendors, claim, generator, spare, wake).generate()
                if outcome is None:
                    return None
                count(row, outcome.state, began)
                return GeneratedBatch(outcome)
            with storage.leases.hold(row, time_limit(claim)):
                ended = generator if isinstance(generator, Resynthesis) else _call(claim, generator, missing)
            count(row, ended.state, began)
    except Exception as error:
        _release(storage, row, error)
        return None
    return store_batch(storage, models, claim, ended, missing)


def store_batch(
    storage: Storage, models: Models, claim: SourceClaim, ended: Resynthesis, missing: Sequence[int]
) -> GeneratedBatch | None:
    """Encodes and stores what a claimed source generated for its missing k; None after an error, the claim released."""
    row = claim.row
    try:
        stored = [storage.blobs.put(row.tenant_id, encode_png(each.image), PNG) for each in ended.generated_images]
    except Exception as error:
        _release(storage, row, error)
        return None
    return _batch(storage, models, claim, ended, missing, stored)


def _release(storage: Storage, row: JobSource, error: Exception) -> None:
    """The store is unavailable, or a bug. The sweep requeues the source, and ends it after its last attempt."""
    log.error("source_step_error", source=row.source, attempt=row.attempt, exc_info=error)
    with storage.database.statement() as session:
        source_repository.release_claim(session, row)


def _batch(
    storage: Storage,
    models: Models,
    claim: SourceClaim,
    ended: Resynthesis,
    missing: Sequence[int],
    stored: Sequence[StoredBlob],
) -> GeneratedBatch:
    row = claim.row
    ks = _ks_of(claim, ended.generated_images, missing)
    fresh = [
        ImageRecord(k, each.seed, blob.sha256, each.prompt)
        for k, each, blob in zip(ks, ended.generated_images, stored, strict=True)
    ]
    generated_images = sorted([*row.generated_images, *fresh], key=lambda each: each.k)
    if generated_images and ended.state != SourceState.DONE:  # cached images count although the call failed
        reason = f"{len(generated_images)} of {claim.images_per_source} generated images: {ended.reason}"
        return GeneratedBatch(SourceOutcome(row, SourceState.DONE, reason, generated_images))
    by_role = {image_role(row.source, k): blob for k, blob in zip(ks, stored, strict=True)}
    keys = cached_images.missing_keys_by_role(storage, models, claim)
    return GeneratedBatch(SourceOutcome(row, ended.state, ended.reason, generated_images), by_role, keys)


def _ks_of(claim: SourceClaim, generated_images: Sequence[GeneratedImage], missing: Sequence[int]) -> Sequence[int]:
    """Which k each image is, by its seed: some may have been withheld. Without seeds the order does not matter."""
    seeds = seeds_of(claim)
    by_seed = {seeds[k]: k for k in missing}
    if all(each.seed in by_seed for each in generated_images):
        return [by_seed[each.seed] for each in generated_images if each.seed is not None]
    return missing[: len(generated_images)]


def missing_of(claim: SourceClaim) -> Sequence[int]:
    """Each k of which a claimed source has no image yet."""
    existing = {each.k for each in claim.row.generated_images}
    return [k for k in range(claim.images_per_source) if k not in existing]


def seeds_of(claim: SourceClaim) -> Sequence[int]:
    """The seed of each k."""
    return derive_seeds(claim.caption, claim.source, claim.revision, claim.images_per_source, claim.seed)


def count(row: JobSource, state: SourceState, began: float) -> None:
    """Counts a request to a source that began at a moment of the monotonic clock."""
    GENERATOR_REQUESTS.labels(row.source, state.value).inc()
    GENERATOR_DURATION.labels(row.source).observe(time.monotonic() - began)


def generator_of(models: Models, row: JobSource) -> Generator | Resynthesis:
    """The source's generator, or how the source ends where there is none."""
    entry = _entry(models, row)
    if entry is None:
        sentence = f"This worker's catalog does not have {row.source} at revision {row.revision}."
        return Resynthesis(row.source, row.revision, SourceState.UNAVAILABLE, reason=sentence)
    try:
        return models.generator(entry)
    except AttributionError as error:
        return Resynthesis(row.source, row.revision, SourceState.UNAVAILABLE, reason=str(error))


def _entry(models: Models, row: JobSource) -> Source | None:
    """The catalog's entry at exactly the revision that the job was accepted with."""
    known = {source.id: source for source in models.catalog.sources}
    entry = known.get(row.source)
    return entry if entry is not None and entry.revision == row.revision else None


def _call(claim: SourceClaim, generator: Generator, missing: Sequence[int]) -> Resynthesis:
    request = request_of(claim, missing)
    return generate(generator, request.caption, request.seeds, request.deadline, log_error)


def request_of(claim: SourceClaim, missing: Sequence[int]) -> ResynthesisRequest:
    """What a claimed source is to generate, beginning now."""
    seeds = seeds_of(claim)
    deadline = Deadline.after(time_limit(claim).total_seconds())
    # Sources are given the text alone; its captioner is recorded with the job.
    return ResynthesisRequest(Caption(claim.caption, ModelRef("stored", "")), [seeds[k] for k in missing], deadline)


def log_error(error: Exception) -> None:
    """An error of a source that its caller does not see."""
    log.error("source_error", exc_info=error)


def time_limit(claim: SourceClaim) -> timedelta:
    """How long generating may take."""
    return min(timedelta(seconds=claim.row.timeout_seconds), claim.remaining)


def save_batches(storage: Storage, models: Models, batches: Sequence[GeneratedBatch]) -> None:
    """Ends sources of one or several jobs in one transaction, and enqueues what follows."""
    if not batches:
        return
    by_job: dict[uuid.UUID, list[GeneratedBatch]] = {}
    # In the order of jobs, and below of blobs: two transactions in opposite order would wait for each other.
    for batch in sorted(batches, key=lambda each: each.outcome.row.job_id):
        by_job.setdefault(batch.outcome.row.job_id, []).append(batch)
    entered: dict[uuid.UUID, Stage | None] = {}
    ours: list[GeneratedBatch] = []
    with storage.database.transaction(durable=False) as session:
        for job_id, of_job in by_job.items():
            ended = service.end_sources(session, job_id, [each.outcome for each in of_job])
            entered[job_id] = ended.entered
            ours += [each for each in of_job if each.outcome.row.source in ended.sources]
        stored = {(each.outcome.row.job_id, role): blob for each in ours for role, blob in each.stored.items()}
        keys = {(each.outcome.row.job_id, role): key for each in ours for role, key in each.cache_keys.items()}
        lost = blob_repository.insert_references_of_jobs(session, stored, keys)
    storage.blobs.put_all(lost)
    kept = {id(each) for each in ours}
    discard(storage, (blob for each in batches if id(each) not in kept for blob in each.stored.values()))
    for job_id, of_job in by_job.items():
        states = {each.outcome.row.source: each.outcome.state.value for each in of_job}
        log.info("sources_ended", job_id=str(job_id), states=states)
        enqueue_stage(storage, models, job_id, entered[job_id])
