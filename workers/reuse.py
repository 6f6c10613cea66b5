"""Finds drawings that were made before for the very questions that a job is about to ask, and records their use.

Sources whose drawings are all there are done at fan-out, without a message; a leaf looks once more before it draws,
for what others have drawn meanwhile, and asks only for what is missing.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.orm import Session

from app.errors import StorageUnavailable
from app.metrics import CACHE_REQUESTS
from app.questions import drawing_key
from app.store import blobs, drawings, sources
from app.store.blobs import StoredBlob
from app.store.drawings import Kept
from app.store.models import Stage
from app.store.sources import SourceClaim, Waiting
from attribution.errors import UnknownSource
from attribution.resynthesise import derive_seeds
from workers.discard import discard
from workers.images import PNG
from workers.process import Process

log = structlog.get_logger(__name__)

# Each look costs a leaf a statement.
LOOK_AGAIN_AFTER = timedelta(milliseconds=100)


class Gone(Exception):
    """What was to be used again has been erased since it was found. The transaction must not commit."""


@dataclass(frozen=True, slots=True)
class Found:
    """A drawing that can be used again; of another tenant it is a copy, stored among the job's own."""

    kept: Kept
    copy: StoredBlob | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """What one source of a job refers to, by the drawing's place: freshly stored, or found. Questions by place, too."""

    source: str
    stored: Mapping[int, StoredBlob] = field(default_factory=dict)
    questions: Mapping[int, str] = field(default_factory=dict)
    found: Mapping[int, Found] = field(default_factory=dict)

    @property
    def blobs(self) -> list[StoredBlob]:
        """What was stored for it, and is to be discarded if it ends otherwise."""
        return [*self.stored.values(), *(each.copy for each in self.found.values() if each.copy is not None)]


def questions(process: Process, of: Waiting | SourceClaim) -> Sequence[str]:
    """The questions to be asked of a source, in the order of k; none where nothing is to be used again."""
    if not (process.settings.cache.enabled and of.cache):
        return ()
    try:
        entry = process.catalogue.get(of.source)
    except UnknownSource:
        return ()
    if entry.revision != of.revision:
        return ()
    seeds = derive_seeds(of.caption, of.source, of.revision, of.candidates, of.seed)
    dtype = process.settings.models.dtype
    return [drawing_key(of.caption, entry, dtype, seed, k) for k, seed in enumerate(seeds)]


def look(process: Process, tenant_id: uuid.UUID, wanted: Mapping[str, Sequence[str]]) -> dict[str, dict[int, Kept]]:
    """What answers the questions of each source, by k. One statement, and none where nothing is asked."""
    keys = [key for each in wanted.values() for key in each]
    if not keys:
        return {}
    settings = process.settings.cache
    with process.database.statement() as session:
        kept = drawings.look(session, tenant_id, keys, settings.ttl, settings.shared)
    return {
        source: {k: kept[key] for k, key in enumerate(each) if key in kept}
        for source, each in wanted.items()
        if any(key in kept for key in each)
    }


def look_again(
    process: Process, claims: Sequence[SourceClaim], wanted: Mapping[str, Sequence[str]]
) -> dict[str, dict[int, Kept]]:
    """What a leaf finds before it draws. It only looks where fan-out found something, or was a while ago."""
    worth = [claim for claim in claims if claim.row.partly_cached or _waited(claim) > LOOK_AGAIN_AFTER]
    return look(process, claims[0].row.tenant_id, {claim.source: wanted[claim.source] for claim in worth})


def _waited(claim: SourceClaim) -> timedelta:
    assert claim.row.started_at is not None
    return claim.row.started_at - claim.row.handed_on_at


def own(process: Process, tenant_id: uuid.UUID, kept: Mapping[int, Kept]) -> dict[int, Found]:
    """Ready to be used by this tenant: what is another's is copied, or left out where it has gone."""
    found = {}
    for k, each in kept.items():
        if each.tenant_id == tenant_id:
            found[k] = Found(each)
            continue
        try:
            data = process.blobs.get(each.tenant_id, each.sha256)
        except StorageUnavailable:
            continue
        found[k] = Found(each, process.blobs.put(tenant_id, data, PNG))
    return found


def put_together(
    source: str, fresh: Mapping[int, tuple[int | None, StoredBlob]], found: Mapping[int, Found], asked: Sequence[str]
) -> tuple[list[Mapping[str, Any]], Used]:
    """A source's drawings as its row has them, in the order of k, of which some were drawn (seed, blob) and some found.

    What was withheld leaves no gap: a drawing's place may be less than its k.
    """
    documents: dict[int, Mapping[str, Any]] = {k: {"seed": seed, "blob": it.sha256} for k, (seed, it) in fresh.items()}
    documents |= {k: each.kept.drawing for k, each in found.items()}
    order = sorted(documents)
    used = Used(
        source,
        stored={place: fresh[k][1] for place, k in enumerate(order) if k in fresh},
        questions={place: asked[k] for place, k in enumerate(order) if k in fresh and asked},
        found={place: found[k] for place, k in enumerate(order) if k in found},
    )
    return [documents[k] for k in order], used


def record(session: Session, job_id: uuid.UUID, used: Iterable[Used]) -> list[StoredBlob]:
    """Records what sources that have ended refer to. Returns what is to be put again. Raises Gone."""
    fresh: dict[str, StoredBlob] = {}
    keys: dict[str, str] = {}
    drawn_at: dict[str, str] = {}
    kept: dict[str, Kept] = {}
    for each in used:
        for place, stored in each.stored.items():
            fresh[f"{each.source}/{place}"] = stored
            if place in each.questions:
                keys[f"{each.source}/{place}"] = each.questions[place]
        for place, found in each.found.items():
            role = f"{each.source}/{place}"
            if found.copy is None:
                kept[role] = found.kept
            else:
                fresh[role], keys[role], drawn_at[role] = found.copy, found.kept.key, found.kept.drawing["drawn_at"]
    if fresh and kept:
        of_fresh = {(blob.tenant_id, blob.sha256) for blob in fresh.values()}
        drawings.lock(session, of_fresh | {(each.tenant_id, each.sha256) for each in kept.values()})
    if drawings.adopt(session, job_id, kept) != kept.keys():
        raise Gone
    return blobs.refer(session, job_id, fresh, keys, drawn_at)


def whole_sources(
    process: Process, job_id: uuid.UUID, waiting: Sequence[Waiting]
) -> tuple[set[str], Stage | None, bool]:
    """Ends the sources whose drawings are all there; which, the stage the job entered, and whether somebody is told."""
    nothing: tuple[set[str], Stage | None, bool] = (set(), None, False)
    if not waiting:
        return nothing
    tenant_id = waiting[0].tenant_id
    wanted = {each.source: questions(process, each) for each in waiting}
    kept = look(process, tenant_id, wanted)
    whole = [source for source in kept if len(kept[source]) == len(wanted[source])]
    if len(whole) < len(kept):
        with process.database.statement() as session:
            sources.note_partly_cached(session, job_id, [source for source in kept if source not in whole])
    found = {source: own(process, tenant_id, kept[source]) for source in whole}
    used = [Used(source, found=each) for source, each in found.items()]
    done = {
        source: (each[0].kept.reason, [each[k].kept.drawing for k in sorted(each)])
        for source, each in found.items()
        if len(each) == len(wanted[source])
    }
    if not done:
        discard(process, (blob for each in used for blob in each.blobs))
        return nothing
    lost: list[StoredBlob] = []
    try:
        with process.database.transaction(durable=False) as session:
            ended, stage, told = sources.end_waiting(session, job_id, done)
            lost = record(session, job_id, [each for each in used if each.source in ended])
    except Gone:
        ended, stage, told = nothing
    process.blobs.put_again(lost)
    discard(process, (blob for each in used if each.source not in ended for blob in each.blobs))
    count(hits=sum(len(found[source]) for source in ended))
    if ended:
        log.info("sources_cached", sources=sorted(ended))
    return ended, stage, told


def count(hits: int = 0, misses: int = 0) -> None:
    """Counts drawings that were looked for."""
    if hits:
        CACHE_REQUESTS.labels("drawing", "hit").inc(hits)
    if misses:
        CACHE_REQUESTS.labels("drawing", "miss").inc(misses)
