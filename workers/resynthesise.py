"""Stage `resynthesising`, one task per source: the leaf of the fan-out. A leaf records what went wrong and returns.

A local worker that has a model loaded drains waiting jobs of that source before it looks at another one.
"""

import uuid
from datetime import timedelta

import structlog

from app.store import blobs, sources
from app.store.blobs import StoredBlob
from app.store.models import JobSource
from app.store.sources import SourceClaim
from attribution.catalogue import Source
from attribution.errors import AttributionError
from attribution.image import encode_png
from attribution.ports import Caption, Deadline, ModelRef, Resynthesis, SourceState
from attribution.resynthesise import derive_seeds
from attribution.resynthesise import resynthesise as draw
from workers.images import PNG
from workers.process import Process
from workers.stage import hand_on

log = structlog.get_logger(__name__)


def resynthesise(process: Process, job_id: uuid.UUID, source_id: str) -> None:
    """Draws one source of one job, then waiting jobs of the same source if this machine draws it."""
    settings = process.settings.job
    with process.database.transaction(durable=False) as session:
        claim = sources.claim(session, job_id, source_id, settings.lease, settings.attempts)
    drawn = 0
    while claim is not None:
        _one(process, claim)
        drawn += 1
        if not _is_local(process, source_id) or drawn >= settings.drain:
            return
        with process.database.transaction(durable=False) as session:
            claim = sources.claim_next(session, source_id, settings.lease, settings.attempts)


def _one(process: Process, claim: SourceClaim) -> None:
    row = claim.row
    with structlog.contextvars.bound_contextvars(job_id=str(row.job_id), source=row.source, attempt=row.attempt):
        limit = min(timedelta(seconds=row.timeout_seconds), claim.remaining)
        try:
            with process.leases.hold(row, limit):
                drawing = _draw(process, claim, limit)
                stored = _store(process, row, drawing)
        except Exception as error:
            # Not the source's fault (a store away, a bug of ours): try again; the sweep ends the last attempt.
            log.error("source_step_error", exc_info=error)
            with process.database.transaction(durable=False) as session:
                sources.release(session, row)
            return
        with process.database.transaction(durable=False) as session:
            stood, stage = sources.finish(
                session,
                row,
                drawing.state,
                drawing.reason,
                [{"seed": each.seed, "blob": blob.sha256} for each, blob in zip(drawing.drawings, stored, strict=True)],
            )
            if stood:
                blobs.refer(session, row.job_id, {f"{row.source}/{k}": blob for k, blob in enumerate(stored)})
        log.info("source_ended" if stood else "source_fenced_off", state=drawing.state.value)
        if stage is not None:
            hand_on(process, row.job_id, stage)


def _draw(process: Process, claim: SourceClaim, limit: timedelta) -> Resynthesis:
    row = claim.row
    entry = _entry(process, row)
    if entry is None:
        sentence = f"This worker's catalogue does not have {row.source} at revision {row.revision}."
        return Resynthesis(row.source, row.revision, SourceState.UNAVAILABLE, reason=sentence)
    deadline = Deadline.after(limit.total_seconds())
    seeds = derive_seeds(claim.caption, row.source, row.revision, claim.candidates, claim.seed)
    try:
        generator = process.models.generator(entry)
    except AttributionError as error:
        return Resynthesis(row.source, row.revision, SourceState.UNAVAILABLE, reason=str(error))
    # Sources are given the text alone; who wrote it is kept with the job.
    caption = Caption(claim.caption, ModelRef("stored", ""))
    return draw(generator, caption, seeds, deadline, lambda error: log.error("source_error", exc_info=error))


def _store(process: Process, row: JobSource, drawing: Resynthesis) -> list[StoredBlob]:
    return [process.blobs.put(row.tenant_id, encode_png(each.image), PNG) for each in drawing.drawings]


def _entry(process: Process, row: JobSource) -> Source | None:
    """The catalogue's entry of exactly the revision the job was accepted with."""
    known = {source.id: source for source in process.catalogue.sources}
    entry = known.get(row.source)
    return entry if entry is not None and entry.revision == row.revision else None


def _is_local(process: Process, source_id: str) -> bool:
    return any(source.id == source_id and source.platform == "local" for source in process.catalogue.sources)
