"""Stage `embedding`: the query and every resynthesis become feature vectors, in one batch; pixels are compared here.

Generated images that were made for an earlier job have been embedded with it: their vectors are taken from where that job
keeps them, as long as it does.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from app.cache import images
from app.cache.images import KeptVector
from app.db.blob_repository import FEATURES
from app.db.models import Job, JobSource, Stage
from app.errors import StorageUnavailable
from app.jobs import source_repository
from app.telemetry.metrics import EMBEDDING_BATCH
from attribution.distance import compare_pixels, distance_named
from attribution.embed.stage import embed_all
from attribution.ports import ModelRef, SourceState, Vectors
from workers.images import NPZ, pack, read_image, read_query, unpack
from workers.process import Process
from workers.rank import rank_embedded
from workers.stage import Advance


def embed(process: Process, job: Job) -> Advance:
    """Embeds what was generated; the vectors lie in the blob store, so that ranking can be repeated from them."""
    with process.database.statement() as session:
        rows = source_repository.list_for_job(session, job.id)
    done = [row for row in rows if row.state == SourceState.DONE]
    embedder = process.models.embedder(job.method_options.embedder)
    known = _known(process, job, done, embedder.ref)
    distance = distance_named(job.method_options.distance)
    generated = {row.source: [image.blob for image in row.generated_images] for row in done}
    wanted = {sha256 for hashes in generated.values() for sha256 in hashes if distance.on_pixels or sha256 not in known}
    query = read_query(process.blobs, job)
    images = {sha256: read_image(process.blobs, job.tenant_id, sha256) for sha256 in wanted}
    embedded = embed_all(
        embedder,
        query,
        {
            source: [known[sha256] if sha256 in known else images[sha256] for sha256 in hashes]
            for source, hashes in generated.items()
        },
    )
    if distance.on_pixels:
        pictures = {source: [images[sha256] for sha256 in hashes] for source, hashes in generated.items()}
        embedded = replace(embedded, pixels=compare_pixels(distance, query, pictures))
    EMBEDDING_BATCH.observe(1 + sum(sha256 not in known for hashes in generated.values() for sha256 in hashes))
    features = process.blobs.put(job.tenant_id, pack(embedded), NPZ)
    return Advance(
        to=Stage.RANKING,
        values={"features_blob": features.sha256, "embedder": str(embedded.embedder)},
        blobs={FEATURES: features},
        then=partial(rank_embedded, rows=rows, embedded=embedded),
    )


def _known(process: Process, job: Job, rows: Sequence[JobSource], embedder: ModelRef) -> dict[str, Vectors]:
    """What this embedder made of the job's generated images for earlier jobs, by the generated images' hashes."""
    if all(image.generated_at is None for row in rows for image in row.generated_images):
        return {}
    with process.database.statement() as session:
        kept = images.vectors(session, job.id, str(embedder))
    by_file: dict[str, list[KeptVector]] = defaultdict(list)
    for each in kept:
        by_file[each.features_blob].append(each)
    known: dict[str, Vectors] = {}
    for file in by_file:
        known |= _read(process, job, file, by_file[file], embedder)
    return known


def _read(process: Process, job: Job, file: str, kept: Sequence[KeptVector], embedder: ModelRef) -> dict[str, Vectors]:
    try:
        vectors = unpack(process.blobs.get(job.tenant_id, file), embedder).generated_images
    except StorageUnavailable:  # its job was deleted just now
        return {}
    return {
        each.sha256: vectors[each.source][each.place]
        for each in kept
        if each.source in vectors and each.place < len(vectors[each.source])
    }
