"""Has a job use images that were generated for earlier jobs under the same cache keys.

A cached image is written to the source's row as if it had just been generated, so that only missing images are
generated. Sources whose images are all cached are done at fan-out, without a message.
"""

import uuid
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

from app.cache import images
from app.cache.cache_keys import generated_image_key
from app.cache.images import CachedImage
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
from workers.artifacts import PNG
from workers.models import Models
from workers.storage import Storage, discard

log = structlog.get_logger(__name__)

# A source that is claimed this soon after fan-out is not looked up again: that would cost a statement.
LOOKUP_AGAIN_AFTER = timedelta(milliseconds=100)


class CachedImageDeleted(Exception):
    """A cached image was deleted after it was found. The transaction must not commit."""


@dataclass(frozen=True, slots=True)
class UsableImage:
    """A cached image that a job can use. Another tenant's was copied to the job's own tenant, as `copy`."""

    cached: CachedImage
    copy: StoredBlob | None = None


# By source, and by k.
_Usable = Mapping[str, Mapping[int, UsableImage]]
_Place = TypeVar("_Place", bound=Hashable)


def image_keys(storage: Storage, models: Models, requested: PendingSource | SourceClaim) -> dict[int, str]:
    """The cache keys of the images that a source is to have, by k; none where the cache is not used."""
    if not (storage.cache_settings.enabled and requested.cache):
        return {}
    try:
        entry = models.catalog.get(requested.source)
    except UnknownSource:
        return {}
    if entry.revision != requested.revision:
        return {}
    seeds = derive_seeds(
        requested.caption, requested.source, requested.revision, requested.images_per_source, requested.seed
    )
    dtype = models.settings.dtype
    return {k: generated_image_key(requested.caption, entry, dtype, seed, k) for k, seed in enumerate(seeds)}


def missing_keys_by_role(storage: Storage, models: Models, claim: SourceClaim) -> dict[str, str]:
    """The cache keys of the images that a claimed source has to generate, by their roles as blobs of the job.

    Counts them as cache misses.
    """
    missing = _missing_keys(storage, models, claim)
    if missing:
        CACHE_REQUESTS.labels("generated_image", "miss").inc(len(missing))
    return {image_role(claim.source, k): key for k, key in missing.items()}


def use_at_fan_out(
    storage: Storage, models: Models, job_id: uuid.UUID, pending: Sequence[PendingSource]
) -> tuple[set[str], Stage | None, bool]:
    """Gives pending sources their cached images, and ends those that have all.

    Returns:
        The ended sources, the stage that the job entered, if any, and whether receivers are to be notified. Sources
        with some of their images stay pending, with those in their rows.
    """
    keys = {each.source: _without(each.generated_images, image_keys(storage, models, each)) for each in pending}
    usable = _find(storage, pending[0].tenant_id, keys)
    if not usable:
        return set(), None, False
    existing = [_existing(each, usable[each.source]) for each in pending if each.source in usable]
    try:
        with storage.database.transaction(durable=False) as session:
            ended = service.insert_existing_images(session, job_id, existing)
            used = {source: usable[source] for source in ended.sources}
            lost = _record(session, job_id, used)
    except CachedImageDeleted:
        ended, used, lost = EndedSources(), {}, []
    _finish(storage, lost, usable, used)
    return {each.source for each in existing if each.whole and each.source in used}, ended.entered, ended.notify


def use_for_claims(
    storage: Storage, models: Models, claims: Sequence[SourceClaim], *, just_cached: bool = False
) -> None:
    """Gives claimed sources the images that were cached since fan-out; their rows then have them.

    With `just_cached`, they are looked up however short a time ago that was.
    """
    keys: dict[uuid.UUID, dict[int, dict[int, str]]] = {}
    for place, claim in enumerate(claims):
        if just_cached or _since_fan_out(claim) > LOOKUP_AGAIN_AFTER:
            keys.setdefault(claim.row.tenant_id, {})[place] = _missing_keys(storage, models, claim)
    for tenant_id, of_tenant in keys.items():
        for place, usable in _find(storage, tenant_id, of_tenant).items():
            _use(storage, claims[place], usable)


def _use(storage: Storage, claim: SourceClaim, usable: Mapping[int, UsableImage]) -> None:
    job_id, row = claim.row.job_id, claim.row
    generated_images = sorted([*row.generated_images, *_records(usable)], key=lambda image: image.k)
    try:
        with storage.database.transaction(durable=False) as session:
            # The job's lock comes first everywhere: a deletion takes it, and then those of everything else.
            claimed = repository.lock_resynthesizing(
                session, job_id
            ) is not None and source_repository.save_generated_images(session, row, generated_images)
            used = {row.source: usable} if claimed else {}
            lost = _record(session, job_id, used)
    except CachedImageDeleted:
        used, lost = {}, []
    _finish(storage, lost, {row.source: usable}, used)
    if used:
        row.generated_images = generated_images


def _existing(pending: PendingSource, usable: Mapping[int, UsableImage]) -> ExistingImages:
    images = sorted([*pending.generated_images, *_records(usable)], key=lambda image: image.k)
    reason = usable[min(usable)].cached.reason
    return ExistingImages(pending.source, images, reason, len(images) == pending.images_per_source)


def _missing_keys(storage: Storage, models: Models, claim: SourceClaim) -> dict[int, str]:
    return _without(claim.row.generated_images, image_keys(storage, models, claim))


def _without(images: Sequence[ImageRecord], keys: Mapping[int, str]) -> dict[int, str]:
    existing = {image.k for image in images}
    return {k: key for k, key in keys.items() if k not in existing}


def _since_fan_out(claim: SourceClaim) -> timedelta:
    assert claim.row.started_at is not None
    return claim.row.started_at - claim.row.requeued_at


def _find(
    storage: Storage, tenant_id: uuid.UUID, keys: Mapping[_Place, Mapping[int, str]]
) -> Mapping[_Place, Mapping[int, UsableImage]]:
    """The cached images under these keys, usable by this tenant. One statement; none where there are no keys."""
    wanted = [key for each in keys.values() for key in each.values()]
    if not wanted:
        return {}
    settings = storage.cache_settings
    with storage.database.statement() as session:
        cached = images.find_by_keys(session, tenant_id, wanted, settings.ttl, settings.shared)
    usable = {key: image for key, each in cached.items() if (image := _usable(storage, tenant_id, each)) is not None}
    return {
        place: {k: usable[key] for k, key in each.items() if key in usable}
        for place, each in keys.items()
        if any(key in usable for key in each.values())
    }


def _usable(storage: Storage, tenant_id: uuid.UUID, cached: CachedImage) -> UsableImage | None:
    """Another tenant's image is copied; None where it has been deleted."""
    if cached.tenant_id == tenant_id:
        return UsableImage(cached)
    try:
        data = storage.blobs.get(cached.tenant_id, cached.sha256)
    except StorageUnavailable:
        return None
    return UsableImage(cached, storage.blobs.put(tenant_id, data, PNG))


def _records(usable: Mapping[int, UsableImage]) -> list[ImageRecord]:
    """The images as a source's row has them."""
    return [ImageRecord(**{**usable[k].cached.generated_image, "k": k}) for k in sorted(usable)]


def _record(session: Session, job_id: uuid.UUID, used: _Usable) -> list[StoredBlob]:
    """Refers to the images. Returns the blobs that are to be stored again. Raises CachedImageDeleted."""
    by_role = {image_role(source, k): each for source in used for k, each in used[source].items()}
    copies = {role: each.copy for role, each in by_role.items() if each.copy is not None}
    own = {role: each.cached for role, each in by_role.items() if each.copy is None}
    if copies and own:
        copied = {(blob.tenant_id, blob.sha256) for blob in copies.values()}
        images.lock_blobs(session, copied | {(cached.tenant_id, cached.sha256) for cached in own.values()})
    if images.insert_uses(session, job_id, own) != own.keys():
        raise CachedImageDeleted
    keys = {role: by_role[role].cached.key for role in copies}
    times = {role: by_role[role].cached.generated_image["generated_at"] for role in copies}
    return blob_repository.insert_references(session, job_id, copies, keys, times)


def _finish(storage: Storage, lost: Sequence[StoredBlob], usable: _Usable, used: _Usable) -> None:
    """After the commit: stores again what a deletion removed, deletes copies that are not used, counts cache hits."""
    storage.blobs.put_all(lost)
    unused = [each.copy for source in usable if source not in used for each in usable[source].values()]
    discard(storage, filter(None, unused))
    if used:
        CACHE_REQUESTS.labels("generated_image", "hit").inc(sum(map(len, used.values())))
        log.info("generated_images_cached", sources=sorted(used))
