"""Stage `embedding`: the query image and every resynthesis become feature vectors, in one batch; pixels are compared.

Cached images have been embedded for an earlier job: their vectors are read from that job's feature file, if it exists.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from PIL.Image import Image

from app.cache import images
from app.cache.images import CachedVector
from app.db.blob_repository import FEATURES
from app.db.blobs import StoredBlob
from app.db.models import Job, JobSource, Stage
from app.errors import StorageUnavailable
from app.jobs import source_repository
from app.jobs.repository import rounds_of
from app.settings import Settings
from app.telemetry.metrics import EMBEDDING_BATCH
from attribution.detail import common_side
from attribution.distance import compare_pixels, distance_named
from attribution.embed.stage import ImageFeatures, embed_all
from attribution.ports import Method, ModelRef, SourceState
from workers.artifacts import NPZ, pack, read_image, read_query, unpack, unpack_by_image
from workers.models import Models
from workers.rank import rank_embedded
from workers.storage import Storage
from workers.transitions import Advance


def embed(settings: Settings, storage: Storage, models: Models, job: Job) -> Advance:
    """Embeds the query and the job's generated images; of a job that races, those of its last round.

    The vectors are stored, so that ranking can be repeated from them.
    """
    with storage.database.statement() as session:
        rows = source_repository.list_for_job(session, job.id)
    done = [row for row in rows if row.state == SourceState.DONE]
    embedder, method = models.embedder(job.method_options.embedder), job.method_options.method
    distance = distance_named(job.method_options.distance)
    hashes = {row.source: [image.blob for image in row.generated_images] for row in done}
    query = read_query(storage.blobs, job)
    pixels: dict[str, Image] = {}
    side = None
    if method is Method.RESIDUAL:
        pixels = {each[0]: read_image(storage.blobs, job.tenant_id, each[0]) for each in hashes.values()}
        side = common_side(query, pixels.values())
    known, earlier = _of_earlier_rounds(storage, job, embedder.ref)
    known = _cached_vectors(storage, job, done, embedder.ref, side) | known
    read = {sha256 for each in hashes.values() for sha256 in each if distance.on_pixels or sha256 not in known}
    pixels |= {sha256: read_image(storage.blobs, job.tenant_id, sha256) for sha256 in read - pixels.keys()}
    embedded = embed_all(
        embedder,
        query,
        {
            source: [known[sha256] if sha256 in known else pixels[sha256] for sha256 in each]
            for source, each in hashes.items()
        },
        method,
        side,
    )
    if distance.on_pixels:
        by_source = {source: [pixels[sha256] for sha256 in each] for source, each in hashes.items()}
        embedded = replace(embedded, pixels=compare_pixels(distance, query, by_source))
    EMBEDDING_BATCH.observe(1 + sum(sha256 not in known for each in hashes.values() for sha256 in each))
    hashes = {source: each for source, each in hashes.items() if source in embedded.generated_images}
    features = storage.blobs.put(job.tenant_id, pack(embedded, hashes), NPZ)
    return Advance(
        to=Stage.RANKING,
        values={"features_blob": features.sha256, "embedder": str(embedded.embedder)},
        blobs={FEATURES: features} | earlier,
        then=partial(rank_embedded, settings, storage, models, rows=rows, embedded=embedded),
    )


def _of_earlier_rounds(
    storage: Storage, job: Job, embedder: ModelRef
) -> tuple[dict[str, ImageFeatures], dict[str, StoredBlob]]:
    """This embedder's features of the images of earlier rounds, by hash; and their file in a role of its own.

    The new file takes its role, and the old one must have another to be deleted with the job.
    """
    if job.features_blob is None:
        return {}, {}
    data = storage.blobs.get(job.tenant_id, job.features_blob)
    role = f"{FEATURES}/{rounds_of(job) - 1}"
    kept = {role: StoredBlob(job.tenant_id, job.features_blob, len(data), NPZ)}
    return (unpack_by_image(data, embedder) if job.embedder == str(embedder) else {}), kept


def _cached_vectors(
    storage: Storage, job: Job, rows: Sequence[JobSource], embedder: ModelRef, side: int | None
) -> dict[str, ImageFeatures]:
    """This embedder's features of the job's cached images, by the images' hashes; only those of its method and side."""
    if all(image.generated_at is None for row in rows for image in row.generated_images):
        return {}
    with storage.database.statement() as session:
        cached = images.list_vectors(session, job.id, str(embedder))
    by_file: dict[str, list[CachedVector]] = defaultdict(list)
    for each in cached:
        by_file[each.features_blob].append(each)
    vectors: dict[str, ImageFeatures] = {}
    for file in by_file:
        vectors |= _read_vectors(storage, job, file, by_file[file], embedder, side)
    return vectors


def _read_vectors(
    storage: Storage, job: Job, file: str, cached: Sequence[CachedVector], embedder: ModelRef, side: int | None
) -> dict[str, ImageFeatures]:
    try:
        found = unpack(storage.blobs.get(job.tenant_id, file), embedder)
    except StorageUnavailable:  # the other job has just been deleted
        return {}
    if (found.taps is not None) != (job.method_options.method is Method.RESIDUAL):
        return {}  # of images in another form
    if found.taps is not None and found.taps.side != side:
        return {}
    vectors, taps = found.generated_images, found.taps
    return {
        each.sha256: ImageFeatures(
            vectors[each.source][each.place],
            None if taps is None else taps.generated_images[each.source][each.place],
        )
        for each in cached
        if each.source in vectors and each.place < len(vectors[each.source])
    }
