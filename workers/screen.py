"""Stage `screening`: lists, rules and hooks check the query image, and what was uploaded with it, before other work.

It also makes the canonical image, which all later stages use. An image that passes may have a cached result. It is
looked up here where acceptance could not use it, because the file was still to be fetched, or because the screening
that the earlier job passed is not the current one.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

from app.cache import results
from app.db.blob_repository import QUERY
from app.db.models import Job, Stage
from app.intake.spool import spool_folder
from app.jobs import source_repository
from app.jobs.cached_result import PassedScreening
from app.telemetry.metrics import CACHE_REQUESTS
from attribution.ports import Origin
from workers.images import BMP
from workers.process import Process
from workers.references import screen_references
from workers.screening import QueryImage, ScreenedCaption
from workers.stage import Advance, Reuse


@dataclass(frozen=True, slots=True)
class QueryFile:
    """What decoding made of the query image's file: the canonical BMP, not stored yet, and the evidence."""

    canonical: bytes
    evidence: list[dict[str, Any]]


def screen(process: Process, job: Job, file: QueryFile | None = None) -> Advance | Reuse:
    """Raises ScreeningRefused on a hit. The caller's prompt is checked like a caption.

    `file` is given by a process that has just decoded it. The canonical image is stored only after it has passed.
    """
    state = process.screening.state(job.tenant_id)
    if job.prompt is not None:
        process.screening.check_caption(ScreenedCaption(job.tenant_id, job.id, job.prompt))
    if job.query_blob is not None:  # accepted by an older version, which made it at acceptance
        read = partial(process.blobs.get, job.tenant_id, job.query_blob)
        process.screening.check_image(QueryImage(job.tenant_id, job.id, read))
        return Advance(to=Stage.CAPTIONING, values={"screening_fingerprint": state})
    file = file or _derive(process, job)
    process.screening.check_image(QueryImage(job.tenant_id, job.id, lambda: file.canonical))
    _screen_uploaded_references(process, job)
    cached = _cached_job(process, job)
    if cached is not None and job.prompt is None:
        process.screening.check_caption(ScreenedCaption(job.tenant_id, job.id, cached.caption))
    query = process.blobs.put(job.tenant_id, file.canonical, BMP)
    passed = Advance(
        to=Stage.CAPTIONING,
        values={
            "query_blob": query.sha256,
            "evidence": {"findings": file.evidence},
            "screening_fingerprint": state,
            "cached_from": None,
        },
        blobs={QUERY: query},
    )
    return passed if cached is None else Reuse(cached.id, PassedScreening(state, file.evidence), passed)


def _screen_uploaded_references(process: Process, job: Job) -> None:
    """Reference images are uploaded with the prompt that they were generated from: without one there are none."""
    if job.prompt is None:
        return
    with process.database.statement() as session:
        rows = source_repository.list_for_job(session, job.id)
    for row in rows:
        if row.origin == Origin.REFERENCE:
            screen_references(process, row)


def _derive(process: Process, job: Job) -> QueryFile:
    """Decodes the stored file. Raises what `Decoders.derive` raises."""
    assert job.image is not None
    with spool_folder(job.image["size"]) as folder:
        upload, canonical = folder / "upload", folder / "canonical.bmp"
        upload.write_bytes(process.blobs.get(job.tenant_id, job.image["sha256"]))
        _, evidence = process.children.derive(upload, canonical)
        return QueryFile(canonical.read_bytes(), evidence)


def _cached_job(process: Process, job: Job) -> results.CachedJob | None:
    """The job whose result may be used. An upload for which acceptance found none is not looked up again."""
    if job.result_key is None or not process.settings.cache.enabled:
        return None
    if job.cached_from is not None or job.image_url is not None:
        with process.database.statement() as session:
            if (cached := results.find(session, job, process.settings.cache.ttl)) is not None:
                return cached
    CACHE_REQUESTS.labels("answer", "miss").inc()
    return None
