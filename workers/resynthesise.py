"""Stage `resynthesising`, one task per queue: the leaves of the fan-out. A leaf records what went wrong and returns.

A local queue is one source's: its worker drains waiting jobs of it before it looks at another. The sources in the
remote queue are asked at once, a thread each; every one is saved when it ends, with those that end at the same time.
"""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextvars import copy_context
from dataclasses import dataclass
from datetime import timedelta

import structlog

from app import tracing
from app.metrics import GENERATOR_DURATION, GENERATOR_REQUESTS
from app.queue.steps import is_local, notify_step, sources_step
from app.store import sources
from app.store.drawings import Kept
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
from workers.reuse import Found, Gone, Used
from workers.stage import hand_on

log = structlog.get_logger(__name__)

# Sources that end within this time of each other are saved in one transaction.
TOGETHER_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Drawn:
    """How a source ends, and the blobs that it refers to."""

    outcome: Outcome
    used: Used


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
    questions = {claim.source: reuse.questions(process, claim) for claim in claims}
    kept = reuse.look_again(process, claims, questions)
    if len(claims) == 1:
        drawn = _draw(process, claims[0], questions[claims[0].source], kept.get(claims[0].source, {}))
        yield [drawn] if drawn else []
        return
    # Each thread goes on with this one's log context and trace.
    waiting = {
        process.threads.submit(
            copy_context().run, _draw, process, claim, questions[claim.source], kept.get(claim.source, {})
        )
        for claim in claims
    }
    while waiting:
        wait(waiting, return_when=FIRST_COMPLETED)
        done, waiting = wait(waiting, timeout=TOGETHER_SECONDS)
        yield [drawn for future in done if (drawn := future.result()) is not None]


def _draw(process: Process, claim: SourceClaim, questions: Sequence[str], kept: Mapping[int, Kept]) -> Drawn | None:
    """One source's drawings, stored, but for those that were kept; None after an error that is not the source's own."""
    row = claim.row
    try:
        attributes = {"job.id": str(row.job_id), "source": row.source}
        with tracing.span(f"draw {row.source}", attributes=attributes), process.leases.hold(row, _limit(claim)):
            found = reuse.own(process, row.tenant_id, kept)
            drawing, fresh = _draw_missing(process, claim, found)
        stored = {
            k: (each.seed, process.blobs.put(row.tenant_id, encode_png(each.image), PNG)) for k, each in fresh.items()
        }
    except Exception as error:
        # A store that is away, a bug of ours. The sweep hands the source on again, and ends it after the last attempt.
        log.error("source_step_error", source=row.source, attempt=row.attempt, exc_info=error)
        with process.database.statement() as session:
            sources.release(session, row)
        return None
    reuse.count(hits=len(found), misses=claim.candidates - len(found) if questions else 0)
    state, reason = drawing.state, drawing.reason
    if state == SourceState.REFUSED_OUTPUT and found:
        state, reason = SourceState.DONE, None  # as if all had been drawn at once, and these withheld
    if state == SourceState.DONE:
        documents, used = reuse.put_together(row.source, stored, found, questions)
        return Drawn(Outcome(row, state, reason, documents), used)
    discard(process, (each.copy for each in found.values() if each.copy is not None))
    return Drawn(Outcome(row, state, reason), Used(row.source))


def _draw_missing(
    process: Process, claim: SourceClaim, found: Mapping[int, Found]
) -> tuple[Resynthesis, dict[int, Drawing]]:
    """What became of asking for the others, and the drawings by k. Nothing is asked where nothing is missing."""
    row = claim.row
    missing = [k for k in range(claim.candidates) if k not in found]
    if not missing:
        return Resynthesis(row.source, row.revision, SourceState.DONE, reason=found[0].kept.reason), {}
    seeds = derive_seeds(claim.caption, row.source, row.revision, claim.candidates, claim.seed)
    began = time.monotonic()
    drawing = _ask(process, claim, [seeds[k] for k in missing])
    GENERATOR_REQUESTS.labels(row.source, drawing.state.value).inc()
    GENERATOR_DURATION.labels(row.source).observe(time.monotonic() - began)
    by_seed = {seeds[k]: k for k in missing}
    # Some may be withheld. A source that takes no seeds says none; which of its drawings is which then does not matter.
    in_order = zip(missing, drawing.drawings, strict=False)
    return drawing, {by_seed.get(each.seed, k) if each.seed is not None else k: each for k, each in in_order}


def _ask(process: Process, claim: SourceClaim, seeds: Sequence[int]) -> Resynthesis:
    row = claim.row
    entry = _entry(process, row)
    if entry is None:
        sentence = f"This worker's catalogue does not have {row.source} at revision {row.revision}."
        return Resynthesis(row.source, row.revision, SourceState.UNAVAILABLE, reason=sentence)
    deadline = Deadline.after(_limit(claim).total_seconds())
    try:
        generator = process.models.generator(entry)
    except AttributionError as error:
        return Resynthesis(row.source, row.revision, SourceState.UNAVAILABLE, reason=str(error))
    # Sources are given the text alone; who wrote it is kept with the job.
    caption = Caption(claim.caption, ModelRef("stored", ""))
    return draw(generator, caption, seeds, deadline, lambda error: log.error("source_error", exc_info=error))


def _save(process: Process, job_id: uuid.UUID, drawn: Sequence[Drawn]) -> None:
    if not drawn:
        return
    try:
        with process.database.transaction(durable=False) as session:
            stood, stage = sources.finish(session, job_id, [each.outcome for each in drawn])
            lost = reuse.record(session, job_id, [each.used for each in drawn if each.used.source in stood])
    except Gone:
        _draw_again(process, job_id, drawn)
        return
    process.blobs.put_again(lost)
    discard(process, (blob for each in drawn if each.used.source not in stood for blob in each.used.blobs))
    log.info("sources_ended", states={each.used.source: each.outcome.state.value for each in drawn})
    if stage is not None:
        hand_on(process, job_id, stage)


def _draw_again(process: Process, job_id: uuid.UUID, drawn: Sequence[Drawn]) -> None:
    """Saves what needs nothing that has been erased since it was found, and hands on the other sources anew."""
    again = [each for each in drawn if each.used.found]
    with process.database.transaction(durable=False) as session:
        for each in again:
            sources.release(session, each.outcome.row)
    discard(process, (blob for each in again for blob in each.used.blobs))
    log.info("sources_to_be_drawn_again", sources=[each.used.source for each in again])
    _save(process, job_id, [each for each in drawn if not each.used.found])
    process.broker.enqueue([sources_step(job_id, queue) for queue in {each.outcome.row.queue for each in again}])


def _limit(claim: SourceClaim) -> timedelta:
    return min(timedelta(seconds=claim.row.timeout_seconds), claim.remaining)


def _entry(process: Process, row: JobSource) -> Source | None:
    """The catalogue's entry of exactly the revision the job was accepted with."""
    known = {source.id: source for source in process.catalogue.sources}
    entry = known.get(row.source)
    return entry if entry is not None and entry.revision == row.revision else None
