"""Stage `resynthesizing`, one task per queue: the leaves of the fan-out. A leaf records what went wrong and returns.

A local queue is one source's: its worker drains waiting jobs of it before it looks at another. The sources in the
remote queue are asked at once, a thread each; every one is saved when it ends, with those that end at the same time.
A source that has to wait for its turn is left waiting, and resumed by whichever process finds room for it.
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
from workers.discard import discard
from workers.images import PNG
from workers.process import Process
from workers.remote_source import generate_one_by_one, limit_of
from workers.stage import requeue
from workers.vendor_gate import GRACE_SECONDS

log = structlog.get_logger(__name__)

# Sources that end within this time of each other are saved in one transaction.
TOGETHER_SECONDS = 0.01
# Room is looked for no more often than this, and no less often: whoever dies does not tell that there is some.
SHORTEST_WAIT, LONGEST_WAIT = 0.02, 5.0


@dataclass(frozen=True, slots=True)
class GeneratedBatch:
    """How a source ends; the blobs that were stored for it by role, and the questions that they answer."""

    outcome: SourceOutcome
    stored: Mapping[str, StoredBlob] = field(default_factory=dict)
    questions: Mapping[str, str] = field(default_factory=dict)


def resynthesize(process: Process, job_id: uuid.UUID, queue: str) -> None:
    """Generates the sources of a job that wait in a queue, then waiting jobs of the same queue if it is a local one."""
    settings = process.settings.job
    with process.database.statement() as session:
        claims = source_repository.claim_in_queue(session, job_id, queue, settings.lease, settings.attempts)
    jobs_generated = 0
    while claims:
        _generate_all(process, claims)
        jobs_generated += 1
        if not is_local(queue) or jobs_generated >= settings.drain or process.leases.ending:
            return
        with process.database.statement() as session:
            claims = source_repository.claim_next_in_queue(session, queue, settings.lease, settings.attempts)


def resume(process: Process, source: str) -> None:
    """Gives room at a source to the job that has waited longest for it, if there are both, and looks for more.

    A place is taken first and a waiting row after it, so that nobody is claimed in vain. Asked for whenever a call ends
    that others wait for, when the time comes that a limit named, and by the sweep should all that get lost.
    """
    settings = process.settings.job
    try:
        entry = process.catalog.get(source)
    except UnknownSource:
        return
    if process.leases.ending:
        return
    lease = entry.limits.timeout_seconds + GRACE_SECONDS
    place = process.limits.acquire(source, entry.limits, lease, queued=True, announce=True)
    if isinstance(place, Wait):
        _wake(process, source, min(max(place.seconds, SHORTEST_WAIT), LONGEST_WAIT))
        return
    spare = [place]
    try:
        with process.database.statement() as session:
            claims = source_repository.claim_next_delayed(session, source, settings.lease, settings.attempts)
        if claims:
            _wake(process, source, 0.0)
            _generate_all(process, claims, spare)
        else:
            process.limits.nobody_waits(source)
    finally:
        for unused in spare:
            process.limits.release(unused, unused=True)


def _wake(process: Process, source: str, seconds: float) -> None:
    process.waiting.wake(source, seconds, partial(_resume, process, source))


def _resume(process: Process, source: str) -> None:
    try:
        resume(process, source)
    except Exception:  # Postgres is unavailable; the sweep finds who waits. Nobody else would see the error
        log.exception("resume_failed", source=source)


def _generate_all(process: Process, claims: Sequence[SourceClaim], spare: list[Slot] | None = None) -> None:
    job_id = claims[0].row.job_id
    with structlog.contextvars.bound_contextvars(job_id=str(job_id)):
        for ended in _as_they_end(process, claims, [] if spare is None else spare):
            _save(process, job_id, ended)
            if claims[0].notify:
                process.broker.enqueue([notify_step()])


def _as_they_end(process: Process, claims: Sequence[SourceClaim], spare: list[Slot]) -> Iterator[list[GeneratedBatch]]:
    """What has been generated, in groups that ended together. A single source is generated in this very thread."""
    cached_images.at_leaf(process, claims)
    if len(claims) == 1:
        generated = _generate(process, claims[0], spare)
        yield [generated] if generated else []
        return
    # Each thread goes on with this one's log context and trace.
    waiting = {process.threads.submit(copy_context().run, _generate, process, claim, []) for claim in claims}
    while waiting:
        wait(waiting, return_when=FIRST_COMPLETED)
        done, waiting = wait(waiting, timeout=TOGETHER_SECONDS)
        yield [generated for future in done if (generated := future.result()) is not None]


def _generate(process: Process, claim: SourceClaim, spare: list[Slot]) -> GeneratedBatch | None:
    """One source's generated images, stored; None where it has to wait, and after an error that is not the source's own."""
    row = claim.row
    try:
        attributes = {"job.id": str(row.job_id), "source": row.source}
        missing = [k for k in range(claim.images_per_source) if k not in {each.k for each in row.generated_images}]
        if not missing:
            return GeneratedBatch(SourceOutcome(row, SourceState.DONE, generated_images=row.generated_images))
        generator = _generator(process, row)
        began = time.monotonic()
        with tracing.span(f"generate {row.source}", attributes=attributes):
            if isinstance(generator, GatedGenerator):
                entry = process.catalog.get(row.source)
                wake = partial(_wake, process, row.source)
                with process.leases.hold(row, limit_of(claim)):
                    outcome = generate_one_by_one(process, claim, entry, generator, spare, wake)
                if outcome is not None:
                    _count(row, outcome.state, began)
                return None if outcome is None else GeneratedBatch(outcome)
            with process.leases.hold(row, _limit(claim)):
                generated_image = generator if isinstance(generator, Resynthesis) else _ask(claim, generator, missing)
            _count(row, generated_image.state, began)
        stored = [
            process.blobs.put(row.tenant_id, encode_png(each.image), PNG) for each in generated_image.generated_images
        ]
    except Exception as error:
        # A store that is unavailable, a bug of ours. The sweep hands the source on again, and ends it after the last attempt.
        log.error("source_step_error", source=row.source, attempt=row.attempt, exc_info=error)
        with process.database.statement() as session:
            source_repository.release_claim(session, row)
        return None
    places = _places(claim, generated_image.generated_images, missing)
    fresh = [
        ImageRecord(k, each.seed, blob.sha256, each.prompt)
        for k, each, blob in zip(places, generated_image.generated_images, stored, strict=True)
    ]
    generated_images = sorted([*row.generated_images, *fresh], key=lambda each: each.k)
    if generated_images and generated_image.state != SourceState.DONE:  # what was in the cache is as good as ever
        reason = f"{len(generated_images)} of {claim.images_per_source} generated images: {generated_image.reason}"
        return GeneratedBatch(SourceOutcome(row, SourceState.DONE, reason, generated_images))
    by_role = {image_role(row.source, k): blob for k, blob in zip(places, stored, strict=True)}
    return GeneratedBatch(
        SourceOutcome(row, generated_image.state, generated_image.reason, generated_images),
        by_role,
        cached_images.roles(process, claim),
    )


def _places(claim: SourceClaim, generated_images: Sequence[GeneratedImage], asked: Sequence[int]) -> Sequence[int]:
    """Which k each generated image is: some may have been withheld. Where a source takes no seeds, that does not matter."""
    seeds = _seeds(claim)
    by_seed = {seeds[k]: k for k in asked}
    if all(each.seed in by_seed for each in generated_images):
        return [by_seed[each.seed] for each in generated_images if each.seed is not None]
    return asked[: len(generated_images)]


def _seeds(claim: SourceClaim) -> Sequence[int]:
    return derive_seeds(claim.caption, claim.source, claim.revision, claim.images_per_source, claim.seed)


def _count(row: JobSource, state: SourceState, began: float) -> None:
    GENERATOR_REQUESTS.labels(row.source, state.value).inc()
    GENERATOR_DURATION.labels(row.source).observe(time.monotonic() - began)


def _generator(process: Process, row: JobSource) -> Generator | Resynthesis:
    """Who generates, or what becomes of the source where nobody can."""
    entry = _entry(process, row)
    if entry is None:
        sentence = f"This worker's catalog does not have {row.source} at revision {row.revision}."
        return Resynthesis(row.source, row.revision, SourceState.UNAVAILABLE, reason=sentence)
    try:
        return process.models.generator(entry)
    except AttributionError as error:
        return Resynthesis(row.source, row.revision, SourceState.UNAVAILABLE, reason=str(error))


def _ask(claim: SourceClaim, generator: Generator, missing: Sequence[int]) -> Resynthesis:
    deadline = Deadline.after(_limit(claim).total_seconds())
    seeds = _seeds(claim)
    # Sources are given the text alone; who wrote it is kept with the job.
    caption = Caption(claim.caption, ModelRef("stored", ""))
    asked = [seeds[k] for k in missing]
    return generate(generator, caption, asked, deadline, lambda error: log.error("source_error", exc_info=error))


def _save(process: Process, job_id: uuid.UUID, generated: Sequence[GeneratedBatch]) -> None:
    if not generated:
        return
    with process.database.transaction(durable=False) as session:
        ended = service.end_sources(session, job_id, [each.outcome for each in generated])
        ours = [each for each in generated if each.outcome.row.source in ended.sources]
        used = {role: blob for each in ours for role, blob in each.stored.items()}
        lost = blob_repository.insert_references(
            session, job_id, used, {role: key for each in ours for role, key in each.questions.items()}
        )
    process.blobs.put_all(lost)
    discard(process, (blob for each in generated if each not in ours for blob in each.stored.values()))
    log.info("sources_ended", states={each.outcome.row.source: each.outcome.state.value for each in generated})
    if ended.entered is not None:
        requeue(process, job_id, ended.entered)


def _limit(claim: SourceClaim) -> timedelta:
    return min(timedelta(seconds=claim.row.timeout_seconds), claim.remaining)


def _entry(process: Process, row: JobSource) -> Source | None:
    """The catalog's entry of exactly the revision the job was accepted with."""
    known = {source.id: source for source in process.catalog.sources}
    entry = known.get(row.source)
    return entry if entry is not None and entry.revision == row.revision else None
