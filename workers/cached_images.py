"""Finds generated images that were made before for the very questions that a job is about to ask, and has the job use them.

What is found is written into the source's row as if it had been generated just now, so that whoever generates only generates what
is missing. Sources whose generated images are all there are done at fan-out, without a message.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

from app.cache import images
from app.cache.cache_keys import generated_image_key
from app.cache.images import Kept
from app.db import blob_repository
from app.db.blob_repository import image_role
from app.db.blobs import StoredBlob
from app.db.models import Stage
from app.db.types import ImageRecord
from app.errors import StorageUnavailable
from app.jobs import repository, service, source_repository
from app.jobs.service import EndedSources
from app.jobs.source_repository import ExistingImages, PendingSource, SourceClaim
from app.telemetry.metrics import CACHE_REQUESTS
from attribution.errors import UnknownSource
from attribution.resynthesis import derive_seeds
from workers.discard import discard
from workers.images import PNG
from workers.process import Process

log = structlog.get_logger(__name__)

# A leaf that is claimed this soon after fan-out has looked does not look again: it costs a statement.
LOOK_AGAIN_AFTER = timedelta(milliseconds=100)


class Gone(Exception):
    """What was to be used again has been deleted since it was found. The transaction must not commit."""


@dataclass(frozen=True, slots=True)
class Found:
    """A generated image that can be used again; of another tenant it is a copy, stored among the job's own."""

    kept: Kept
    copy: StoredBlob | None = None


# By source, and by k.
Questions = Mapping[str, Mapping[int, str]]
AllFound = Mapping[str, Mapping[int, Found]]


def questions(process: Process, of: PendingSource | SourceClaim) -> dict[int, str]:
    """The questions to be asked of a source, by k; none where nothing is to be used again."""
    if not (process.settings.cache.enabled and of.cache):
        return {}
    try:
        entry = process.catalog.get(of.source)
    except UnknownSource:
        return {}
    if entry.revision != of.revision:
        return {}
    seeds = derive_seeds(of.caption, of.source, of.revision, of.images_per_source, of.seed)
    dtype = process.settings.models.dtype
    return {k: generated_image_key(of.caption, entry, dtype, seed, k) for k, seed in enumerate(seeds)}


def roles(process: Process, claim: SourceClaim) -> dict[str, str]:
    """The questions by the roles in which a job refers to what answers them. Counts what was not in the cache."""
    missing = _missing(process, claim)
    if missing:
        CACHE_REQUESTS.labels("generated_image", "miss").inc(len(missing))
    return {image_role(claim.source, k): key for k, key in missing.items()}


def at_fan_out(
    process: Process, job_id: uuid.UUID, waiting: Sequence[PendingSource]
) -> tuple[set[str], Stage | None, bool]:
    """Ends the sources whose generated images are all there; which, the stage the job entered, and whether somebody is told.

    Those that have a part of theirs keep waiting, with that part in their rows.
    """
    found = _find(process, waiting[0].tenant_id, {each.source: questions(process, each) for each in waiting})
    if not found:
        return set(), None, False
    taken = [
        ExistingImages(source, _records(each), each[min(each)].kept.reason, len(each) == waiting[0].images_per_source)
        for source, each in found.items()
    ]
    try:
        with process.database.transaction(durable=False) as session:
            ended = service.insert_existing_images(session, job_id, taken)
            used = {source: found[source] for source in ended.sources}
            lost = _record(session, job_id, used)
    except Gone:
        ended, used, lost = EndedSources(), {}, []
    _settle(process, lost, found, used)
    return {each.source for each in taken if each.whole and each.source in used}, ended.entered, ended.notify


def at_leaf(process: Process, claims: Sequence[SourceClaim]) -> None:
    """Has claimed sources use what was generated since fan-out looked; their rows say so."""
    wanted = {claim.source: _missing(process, claim) for claim in claims if _waited(claim) > LOOK_AGAIN_AFTER}
    found = _find(process, claims[0].row.tenant_id, wanted)
    for claim in claims:
        if claim.source in found:
            _use(process, claim, found[claim.source])


def _use(process: Process, claim: SourceClaim, found: Mapping[int, Found]) -> None:
    job_id, row = claim.row.job_id, claim.row
    generated_images = sorted([*row.generated_images, *_records(found)], key=lambda image: image.k)
    try:
        with process.database.transaction(durable=False) as session:
            # The job's lock comes first everywhere: a deletion takes it, and then those of everything else.
            ours = repository.lock_resynthesizing(
                session, job_id
            ) is not None and source_repository.save_generated_images(session, row, generated_images)
            used = {row.source: found} if ours else {}
            lost = _record(session, job_id, used)
    except Gone:
        used, lost = {}, []
    _settle(process, lost, {row.source: found}, used)
    if used:
        row.generated_images = generated_images


def _missing(process: Process, claim: SourceClaim) -> dict[int, str]:
    generated = {image.k for image in claim.row.generated_images}
    return {k: key for k, key in questions(process, claim).items() if k not in generated}


def _waited(claim: SourceClaim) -> timedelta:
    assert claim.row.started_at is not None
    return claim.row.started_at - claim.row.requeued_at


def _find(process: Process, tenant_id: uuid.UUID, wanted: Questions) -> AllFound:
    """What answers the questions, ready to be used by this tenant. One statement, and none where nothing is asked."""
    keys = [key for each in wanted.values() for key in each.values()]
    if not keys:
        return {}
    settings = process.settings.cache
    with process.database.statement() as session:
        kept = images.look(session, tenant_id, keys, settings.ttl, settings.shared)
    found = {key: own for key, each in kept.items() if (own := _own(process, tenant_id, each)) is not None}
    return {
        source: {k: found[key] for k, key in each.items() if key in found}
        for source, each in wanted.items()
        if any(key in found for key in each.values())
    }


def _own(process: Process, tenant_id: uuid.UUID, kept: Kept) -> Found | None:
    """Another tenant's generating is copied; None where it has gone."""
    if kept.tenant_id == tenant_id:
        return Found(kept)
    try:
        data = process.blobs.get(kept.tenant_id, kept.sha256)
    except StorageUnavailable:
        return None
    return Found(kept, process.blobs.put(tenant_id, data, PNG))


def _records(found: Mapping[int, Found]) -> list[ImageRecord]:
    """The generated images as a source's row has them."""
    return [ImageRecord(**{**found[k].kept.generated_image, "k": k}) for k in sorted(found)]


def _record(session: Session, job_id: uuid.UUID, used: AllFound) -> list[StoredBlob]:
    """Refers to what is used. Returns what is to be put again. Raises Gone."""
    found = {image_role(source, k): each for source in used for k, each in used[source].items()}
    copies = {role: each.copy for role, each in found.items() if each.copy is not None}
    own = {role: each.kept for role, each in found.items() if each.copy is None}
    if copies and own:
        copied = {(blob.tenant_id, blob.sha256) for blob in copies.values()}
        images.lock(session, copied | {(kept.tenant_id, kept.sha256) for kept in own.values()})
    if images.adopt(session, job_id, own) != own.keys():
        raise Gone
    asked = {role: found[role].kept.key for role in copies}
    return blob_repository.insert_references(
        session, job_id, copies, asked, {role: found[role].kept.generated_image["generated_at"] for role in copies}
    )


def _settle(process: Process, lost: Sequence[StoredBlob], found: AllFound, used: AllFound) -> None:
    """After the commit: what a deletion took along is put again, copies that nobody uses are deleted, hits counted."""
    process.blobs.put_all(lost)
    unused = [each.copy for source in found if source not in used for each in found[source].values()]
    discard(process, filter(None, unused))
    if used:
        CACHE_REQUESTS.labels("generated_image", "hit").inc(sum(map(len, used.values())))
        log.info("generated_images_cached", sources=sorted(used))
