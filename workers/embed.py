"""Stage `embedding`: the query and every resynthesis become feature vectors, in one batch."""

from app.metrics import EMBEDDING_BATCH
from app.store import jobs
from app.store.models import Job, Stage
from attribution.embed import embed_all
from attribution.ports import SourceState
from workers.images import NPZ, pack, read_image, read_query
from workers.process import Process
from workers.stage import Advance


def embed(process: Process, job: Job) -> Advance:
    """Embeds what was drawn; the vectors lie in the blob store, so that ranking can be repeated from them."""
    with process.database.statement() as session:
        rows = [row for row in jobs.sources_of(session, job.id) if row.state == SourceState.DONE]
    embedded = embed_all(
        process.models.embedder,
        read_query(process.blobs, job),
        {
            row.source: [read_image(process.blobs, job.tenant_id, drawing["blob"]) for drawing in row.drawings]
            for row in rows
        },
    )
    EMBEDDING_BATCH.observe(1 + sum(len(row.drawings) for row in rows))
    features = process.blobs.put(job.tenant_id, pack(embedded), NPZ)
    return Advance(
        to=Stage.RANKING,
        values={"features_blob": features.sha256, "embedder": str(embedded.embedder)},
        blobs={"features": features},
    )
