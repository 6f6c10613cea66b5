"""Stage `embedding`: the query and every resynthesis become feature vectors, in one batch.

Drawings that were made for an earlier job have been embedded with it: their vectors are taken from where that job
keeps them, as long as it does.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from app.errors import StorageUnavailable
from app.metrics import EMBEDDING_BATCH
from app.store import drawings, jobs
from app.store.drawings import KeptVector
from app.store.models import Job, JobSource, Stage
from attribution.embed import embed_all
from attribution.ports import ModelRef, SourceState, Vectors
from workers.images import NPZ, pack, read_image, read_query, unpack
from workers.process import Process
from workers.rank import rank_embedded
from workers.stage import Advance


def embed(process: Process, job: Job) -> Advance:
    """Embeds what was drawn; the vectors lie in the blob store, so that ranking can be repeated from them."""
    with process.database.statement() as session:
        rows = jobs.sources_of(session, job.id)
    done = [row for row in rows if row.state == SourceState.DONE]
    known = _known(process, job, done)
    embedded = embed_all(
        process.models.embedder,
        read_query(process.blobs, job),
        {
            row.source: [
                known[sha256] if sha256 in known else read_image(process.blobs, job.tenant_id, sha256)
                for sha256 in (drawing["blob"] for drawing in row.drawings)
            ]
            for row in done
        },
    )
    EMBEDDING_BATCH.observe(1 + sum(drawing["blob"] not in known for row in done for drawing in row.drawings))
    features = process.blobs.put(job.tenant_id, pack(embedded), NPZ)
    return Advance(
        to=Stage.RANKING,
        values={"features_blob": features.sha256, "embedder": str(embedded.embedder)},
        blobs={"features": features},
        then=partial(rank_embedded, rows=rows, embedded=embedded),
    )


def _known(process: Process, job: Job, rows: Sequence[JobSource]) -> dict[str, Vectors]:
    """What this embedder made of the job's drawings for earlier jobs, by the drawings' hashes."""
    if not any("drawn_at" in drawing for row in rows for drawing in row.drawings):
        return {}
    embedder = process.models.embedder.ref
    with process.database.statement() as session:
        kept = drawings.vectors(session, job.id, str(embedder))
    by_file: dict[str, list[KeptVector]] = defaultdict(list)
    for each in kept:
        by_file[each.features_blob].append(each)
    known: dict[str, Vectors] = {}
    for file in by_file:
        known |= _read(process, job, file, by_file[file], embedder)
    return known


def _read(process: Process, job: Job, file: str, kept: Sequence[KeptVector], embedder: ModelRef) -> dict[str, Vectors]:
    try:
        vectors = unpack(process.blobs.get(job.tenant_id, file), embedder).drawings
    except StorageUnavailable:  # its job was erased just now
        return {}
    return {
        each.sha256: vectors[each.source][each.place]
        for each in kept
        if each.source in vectors and each.place < len(vectors[each.source])
    }
