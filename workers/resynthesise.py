"""Stage `resynthesising`, one task per queue: the leaves of the fan-out. A leaf records what went wrong and returns.

A local queue is one source's: its worker drains waiting jobs of it before it looks at another. The sources in the
remote queue are asked at once, a thread each; every one is saved when it ends, with those that end at the same time.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from app import tracing
from app.metrics import GENERATOR_DURATION, GENERATOR_REQUESTS
from app.queue.steps import is_local, notify_step
from app.store import blobs, sources
from app.store.blobs import StoredBlob
from app.store.models import JobSource
from app.store.sources import Outcome, SourceClaim
from attribution.catalogue import Source
from attribution.errors import AttributionError
from attribution.image import encode_png
from attribution.ports import Caption, Deadline, Drawing, ModelRef, Resynthesis, SourceState
from attribution.resynthesise import derive_seeds
from attribution.resynthesise import resynthesise as draw
from workers import reuse
from workers.discard import discard
from workers.images import PNG
from workers.process import Process
from workers.stage import hand_on

log = structlog.get_logger(__name__)

# Sources that end within this time of each other are saved in one transaction.
TOGETHER_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Drawn:
    """How a source ends; the blobs that were stored for it by role, and the questions that they answer."""

    outcome: Outcome
    stored: Mapping[str, StoredBlob]
    questions: Mapping[str, str] = field(default_factory=dict)


def resynthesise(process: Process, job_id: uuid.UUID, queue: str) -> None:
    """Draws the sources of a job that wait in a queue, then waiting jobs of the same queue if it is a local one."""
    settings = process.settings.job
    with process.database.statement() as session:
        claims = sources.claim(session, job_id, queue, settings.lease, settings.attempts)
    jobs_drawn = 0
    while claims:
        _draw_all(process, claims)
        jobs_drawn += 1
        if not is_local(queue) or jobs_drawn >= settings.drain or process.leases.ending:
            return
        with process.database.statement() as session:
            claims = sources.claim_next(session, queue, settings.lease, settings.attempts)


def _draw_all(process: Process, claims: Sequence[SourceClaim]) -> None:
    job_id = claims[0].row.job_id
    with structlog.contextvars.bound_contextvars(job_id=str(job_id)):
        for ended in _as_they_end(process, claims):
            _save(process, job_id, ended)
            if claims[0].notify:
                process.broker.enqueue([notify_step()])


def _as_they_end(process: Process, claims: Sequence[SourceClaim]) -> Iterator[list[Drawn]]:
    """What has been drawn, in groups that ended together. A single source is drawn in this very thread."""
    reuse.at_leaf(process, claims)
    if len(claims) == 1:
        drawn = _draw(process, claims[0])
        yield [drawn] if drawn else []
        return
    # Each thread goes on with this one's log context and trace.
    waiting = {process.threads.submit(copy_context().run, _draw, process, claim) for claim in claims}
    while waiting:
        wait(waiting, return_when=FIRST_COMPLETED)
        done, waiting = wait(waiting, timeout=TOGETHER_SECONDS)
        yield [drawn for future in done if (drawn := future.result()) is not None]


def _draw(process: Process, claim: SourceClaim) -> Drawn | None:
    """One source's drawings, stored; None after an error that is not the source's own."""
    row = claim.row
    try:
        attributes = {"job.id": str(row.job_id), "source": row.source}
        with tracing.span(f"draw {row.source}", attributes=attributes), process.leases.hold(row, _limit(claim)):
            asked = [k for k in range(claim.candidates) if k not in {each["k"] for each in row.drawings}]
            drawing = _ask(process, claim, asked)
        stored = [process.blobs.put(row.tenant_id, encode_png(each.image), PNG) for each in drawing.drawings]
    except Exception as error:
        # A store that is away, a bug of ours. The sweep hands the source on again, and ends it after the last attempt.
        log.error("source_step_error", source=row.source, attempt=row.attempt, exc_info=error)
        with process.database.statement() as session:
            sources.release(session, row)
        return None
    fresh = [
        {"k": k, "seed": each.seed, "blob": blob.sha256}
        for k, each, blob in zip(_places(claim, drawing.drawings, asked), drawing.drawings, stored, strict=True)
    ]
    drawings = sorted([*row.drawings, *fresh], key=lambda each: int(each["k"]))
    if drawing.state != SourceState.DONE and drawings:
        reason = f"{len(drawings)} of {claim.candidates} drawings: {drawing.reason}"
        return Drawn(Outcome(row, SourceState.DONE, reason, drawings), {})
    used = {f"{row.source}/{each['k']}": blob for each, blob in zip(fresh, stored, strict=True)}
    return Drawn(Outcome(row, drawing.state, drawing.reason, drawings), used, reuse.roles(process, claim))


def _places(claim: SourceClaim, drawings: Sequence[Drawing], asked: Sequence[int]) -> list[int]:
    """Which k each drawing is: some may have been withheld. Where a source takes no seeds, that does not matter."""
    seeds = _seeds(claim)
    by_seed = {seeds[k]: k for k in asked}
    if all(each.seed in by_seed for each in drawings):
        return [by_seed[each.seed] for each in drawings if each.seed is not None]
    return list(asked[: len(drawings)])


def _seeds(claim: SourceClaim) -> Sequence[int]:
    return derive_seeds(claim.caption, claim.source, claim.revision, claim.candidates, claim.seed)


def _ask(process: Process, claim: SourceClaim, asked: Sequence[int]) -> Resynthesis:
    """What became of asking for these drawings; for none, nothing is asked."""
    row = claim.row
    if not asked:
        return Resynthesis(row.source, row.revision, SourceState.DONE)
    entry = _entry(process, row)
    if entry is None:
        sentence = f"This worker's catalogue does not have {row.source} at revision {row.revision}."
        return Resynthesis(row.source, row.revision, SourceState.UNAVAILABLE, reason=sentence)
    deadline = Deadline.after(_limit(claim).total_seconds())
    seeds = _seeds(claim)
    began = time.monotonic()
    try:
        generator = process.models.generator(entry)
    except AttributionError as error:
        return Resynthesis(row.source, row.revision, SourceState.UNAVAILABLE, reason=str(error))
    # Sources are given the text alone; who wrote it is kept with the job.
    caption = Caption(claim.caption, ModelRef("stored", ""))
    drawn = draw(
        generator,
        caption,
        [seeds[k] for k in asked],
        deadline,
        lambda error: log.error("source_error", exc_info=error),
    )
    GENERATOR_REQUESTS.labels(row.source, drawn.state.value).inc()
    GENERATOR_DURATION.labels(row.source).observe(time.monotonic() - began)
    return drawn


def _save(process: Process, job_id: uuid.UUID, drawn: Sequence[Drawn]) -> None:
    if not drawn:
        return
    with process.database.transaction(durable=False) as session:
        stood, stage = sources.finish(session, job_id, [each.outcome for each in drawn])
        ours = [each for each in drawn if each.outcome.row.source in stood]
        used = {role: blob for each in ours for role, blob in each.stored.items()}
        lost = blobs.refer(session, job_id, used, {role: key for each in ours for role, key in each.questions.items()})
    process.blobs.put_again(lost)
    discard(process, (blob for each in drawn if each not in ours for blob in each.stored.values()))
    log.info("sources_ended", states={each.outcome.row.source: each.outcome.state.value for each in drawn})
    if stage is not None:
        hand_on(process, job_id, stage)


def _limit(claim: SourceClaim) -> timedelta:
    return min(timedelta(seconds=claim.row.timeout_seconds), claim.remaining)


def _entry(process: Process, row: JobSource) -> Source | None:
    """The catalogue's entry of exactly the revision the job was accepted with."""
    known = {source.id: source for source in process.catalogue.sources}
    entry = known.get(row.source)
    return entry if entry is not None and entry.revision == row.revision else None
