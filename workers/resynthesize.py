"""Stage `resynthesizing`: the sources of a job that wait in one queue. A source that fails is recorded, not raised.

A local queue belongs to one source: its worker generates waiting jobs of that source before it loads another. The
sources in the remote queue are called at once, a thread each; each is saved when it ends, together with those that end
at the same time. A remote source that finds no room at its vendor stays pending, and is resumed by whichever process
finds room first.
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
from app.db.models import JobSource
from app.db.types import ImageRecord
from app.jobs import service, source_repository
from app.jobs.source_repository import SourceClaim, SourceOutcome
from app.queue.steps import is_local, notify_step
from app.telemetry import tracing
from app.telemetry.metrics import GENERATOR_DURATION, GENERATOR_REQUESTS
from app.vendors.limits import Slot, Wait
from attribution.catalog import Source
from attribution.errors import AttributionError, UnknownSource
from attribution.image import encode_png
from attribution.ports import Caption, Deadline, GeneratedImage, Generator, ModelRef, Resynthesis, SourceState
from attribution.resynthesis import derive_seeds
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
    """Generates the sources of a job that wait in a queue; then, in a local queue, those of further waiting jobs."""
    settings = storage.job_settings
    with storage.database.statement() as session:
        claims = source_repository.claim_in_queue(session, job_id, queue, settings.lease, settings.attempts)
    jobs_generated = 0
    while claims:
        _generate_all(storage, models, vendors, claims, [])
        jobs_generated += 1
        if not is_local(queue) or jobs_generated >= settings.drain or storage.leases.ending:
            return
        with storage.database.statement() as session:
            claims = source_repository.claim_next_in_queue(session, queue, settings.lease, settings.attempts)


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
            _save(storage, models, job_id, ended)
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
    missing = [k for k in range(claim.images_per_source) if k not in {each.k for each in row.generated_images}]
    if not missing:
        return GeneratedBatch(SourceOutcome(row, SourceState.DONE, generated_images=row.generated_images))
    try:
        began = time.monotonic()
        with tracing.span(f"generate {row.source}", attributes={"job.id": str(row.job_id), "source": row.source}):
            generator = _generator(models, row)
            if isinstance(generator, GatedGenerator):
                wake = partial(_wake, storage, models, vendors, row.source)
                with storage.leases.hold(row, limit_of(claim)):
                    outcome = RemoteSource(storage, models, vendors, claim, generator, spare, wake).generate()
                if outcome is None:
                    return None
                _count(row, outcome.state, began)
                return GeneratedBatch(outcome)
            with storage.leases.hold(row, _limit(claim)):
                ended = generator if isinstance(generator, Resynthesis) else _call(claim, generator, missing)
            _count(row, ended.state, began)
        stored = [storage.blobs.put(row.tenant_id, encode_png(each.image), PNG) for each in ended.generated_images]
    except Exception as error:
        # The store is unavailable, or a bug. The sweep requeues the source, and ends it after its last attempt.
        log.error("source_step_error", source=row.source, attempt=row.attempt, exc_info=error)
        with storage.database.statement() as session:
            source_repository.release_claim(session, row)
        return None
    return _batch(storage, models, claim, ended, missing, stored)


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
    seeds = _seeds(claim)
    by_seed = {seeds[k]: k for k in missing}
    if all(each.seed in by_seed for each in generated_images):
        return [by_seed[each.seed] for each in generated_images if each.seed is not None]
    return missing[: len(generated_images)]


def _seeds(claim: SourceClaim) -> Sequence[int]:
    return derive_seeds(claim.caption, claim.source, claim.revision, claim.images_per_source, claim.seed)


def _count(row: JobSource, state: SourceState, began: float) -> None:
    GENERATOR_REQUESTS.labels(row.source, state.value).inc()
    GENERATOR_DURATION.labels(row.source).observe(time.monotonic() - began)


def _generator(models: Models, row: JobSource) -> Generator | Resynthesis:
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
    deadline = Deadline.after(_limit(claim).total_seconds())
    seeds = _seeds(claim)
    # Sources are given the text alone; its captioner is recorded with the job.
    caption = Caption(claim.caption, ModelRef("stored", ""))
    wanted = [seeds[k] for k in missing]
    return generate(generator, caption, wanted, deadline, lambda error: log.error("source_error", exc_info=error))


def _limit(claim: SourceClaim) -> timedelta:
    return min(timedelta(seconds=claim.row.timeout_seconds), claim.remaining)


def _save(storage: Storage, models: Models, job_id: uuid.UUID, batches: Sequence[GeneratedBatch]) -> None:
    if not batches:
        return
    with storage.database.transaction(durable=False) as session:
        ended = service.end_sources(session, job_id, [each.outcome for each in batches])
        ours = [each for each in batches if each.outcome.row.source in ended.sources]
        stored = {role: blob for each in ours for role, blob in each.stored.items()}
        keys = {role: key for each in ours for role, key in each.cache_keys.items()}
        lost = blob_repository.insert_references(session, job_id, stored, keys)
    storage.blobs.put_all(lost)
    discard(storage, (blob for each in batches if each not in ours for blob in each.stored.values()))
    log.info("sources_ended", states={each.outcome.row.source: each.outcome.state.value for each in batches})
    enqueue_stage(storage, models, job_id, ended.entered)
