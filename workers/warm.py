"""Fills the bank from a list of captions: this process generates them with its local sources, at night, say."""

import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

import structlog

from app.db import bank_repository
from app.db.models import DEFAULT_TENANT
from app.errors import ScreeningRefused
from attribution.bank import past_job
from attribution.caption import GIVEN
from attribution.catalog import Source
from attribution.embed.stage import embed_all, feature_space
from attribution.ports import Caption, Deadline, Method, Resynthesis, SourceState
from attribution.residual import residuals
from attribution.resynthesis import derive_seeds, resynthesize
from workers.bank_rows import columns_of
from workers.bank_snapshots import compile_snapshot
from workers.contribute import caption_hash
from workers.process import Process
from workers.screening import ScreenedCaption

log = structlog.get_logger(__name__)


def warm(
    process: Process, captions: Sequence[str], sources: Sequence[Source], images: int, jobs: int, seconds: float
) -> int:
    """Adds captions to the bank that it does not have; returns how many.

    Captions are screened as those of jobs are; a refused one is left out. What was done is kept, whatever happens.

    Args:
        process: Its models generate and embed.
        captions: In the order in which they are generated.
        sources: Local ones.
        images: Per source and caption.
        jobs: At most so many captions.
        seconds: After which no further one is begun.
    """
    stop, added = time.monotonic() + seconds, 0
    embedder = process.models.embedder()
    space = feature_space(embedder.ref)
    for caption in captions:
        if added >= jobs or time.monotonic() > stop:
            break
        if _is_allowed(process, space, caption):
            added += _add(process, space, caption, sources, images)
    compile_snapshot(process.storage, space)
    return added


def _is_allowed(process: Process, space: str, caption: str) -> bool:
    with process.storage.database.statement() as session:
        if bank_repository.has_caption(session, space, caption_hash(caption)):
            return False
    try:
        process.screening.check_caption(ScreenedCaption(DEFAULT_TENANT, _id_of(space, caption), caption))
    except ScreeningRefused:
        log.warning("caption_refused")
        return False
    return True


def _add(process: Process, space: str, caption: str, sources: Sequence[Source], images: int) -> int:
    made = [_generate(process, caption, source, images) for source in sources]
    done = [each for each in made if each.state is SourceState.DONE]
    for each in made:
        if each.state is not SourceState.DONE:
            log.warning("source_not_done", source=each.source, state=each.state.value, reason=each.reason)
    if len(done) < 2:
        return 0
    pictures = {each.source: [image.image for image in each.generated_images] for each in done}
    query = done[0].generated_images[0].image  # embedded, because it must be something; nothing of it is kept
    taps = embed_all(process.models.embedder(), query, pictures, Method.RESIDUAL).taps
    assert taps is not None
    past = past_job("", residuals(taps), {each.source: each.revision for each in done})
    row = columns_of(past) | {
        "job_id": _id_of(space, caption),
        "tenant_id": None,
        "space": space,
        "caption_hash": caption_hash(caption),
        "job_created_at": datetime.now(UTC),
    }
    with process.storage.database.transaction() as session:
        return bank_repository.insert_contributions(session, [row])


def _generate(process: Process, caption: str, source: Source, images: int) -> Resynthesis:
    seeds = derive_seeds(caption, source.id, source.revision, images, None)
    generator = process.models.generator(source)
    deadline = Deadline.after(source.limits.timeout_seconds)
    return resynthesize(generator, Caption(caption, GIVEN), seeds, deadline)


def _id_of(space: str, caption: str) -> uuid.UUID:
    """The same for the same caption, so that it is added once however many processes do it."""
    return uuid.UUID(bytes=sha256(f"{space}\n{caption_hash(caption)}".encode()).digest()[:16])
