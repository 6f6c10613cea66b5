"""Stage `screening`: lists, rules and hooks check the query image, and the references uploaded with it, first of all.

The stage also makes the canonical image of the uploaded file, which all later stages read. A job that passes may use a
cached result. Acceptance could not use one where the file was still to be fetched, or where the cached job had passed
other lists and rules than those that are active now.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
from workers.artifacts import BMP
from workers.blank import end_blank
from workers.decoder_processes import DecoderProcesses
from workers.references import screen_references
from workers.screening import QueryImage, ScreenedCaption, Screening
from workers.storage import Storage
from workers.transitions import Advance, Succeed, UseCachedJob


@dataclass(frozen=True, slots=True)
class QueryFile:
    """What decoding made of the query image's file: the canonical BMP, not stored yet, and the evidence.

    `image` is the description of the file, for the job's column.
    """

    canonical: bytes
    evidence: list[dict[str, Any]]
    image: Mapping[str, Any]


def screen(
    storage: Storage, screening: Screening, decoders: DecoderProcesses, job: Job, file: QueryFile | None = None
) -> Advance | UseCachedJob | Succeed:
    """Lets the job advance, or raises ScreeningRefused. A prompt that the caller gave is screened like a caption.

    A job whose image shows nothing ends here: nothing is captioned, generated or billed.

    `file` is given by a process that has just decoded it. The canonical image is stored only once it has passed.
    """
    fingerprint = screening.fingerprint(job.tenant_id)
    if job.prompt is not None:
        screening.check_caption(ScreenedCaption(job.tenant_id, job.id, job.prompt))
    if job.query_blob is not None:  # accepted by a version that made the canonical image itself
        read = partial(storage.blobs.get, job.tenant_id, job.query_blob)
        screening.check_image(QueryImage(job.tenant_id, job.id, read))
        return Advance(to=Stage.CAPTIONING, values={"screening_fingerprint": fingerprint})
    file = file or _derive(storage, decoders, job)
    screening.check_image(QueryImage(job.tenant_id, job.id, lambda: file.canonical))
    values = {
        "image": file.image,
        "evidence": {"findings": file.evidence},
        "screening_fingerprint": fingerprint,
        "cached_from": None,
    }
    if (file.image["quality"] or {}).get("blank"):
        return end_blank(storage, job, values)
    _screen_uploaded_references(storage, screening, job)
    cached = _find_cached_job(storage, job)
    if cached is not None and job.prompt is None:
        screening.check_caption(ScreenedCaption(job.tenant_id, job.id, cached.caption))
    query = storage.blobs.put(job.tenant_id, file.canonical, BMP)
    advance = Advance(to=Stage.CAPTIONING, values={"query_blob": query.sha256, **values}, blobs={QUERY: query})
    if cached is None:
        return advance
    return UseCachedJob(cached.id, PassedScreening(fingerprint, file.evidence, file.image), advance)


def _screen_uploaded_references(storage: Storage, screening: Screening, job: Job) -> None:
    """Only a job with a prompt can have references: they were generated from it."""
    if job.prompt is None:
        return
    with storage.database.statement() as session:
        rows = source_repository.list_for_job(session, job.id)
    for row in rows:
        if row.origin == Origin.REFERENCE:
            screen_references(storage.blobs, screening, row)


def _derive(storage: Storage, decoders: DecoderProcesses, job: Job) -> QueryFile:
    """Decodes the stored file. Raises what `Decoders.derive` raises."""
    assert job.image is not None
    with spool_folder(job.image["size"]) as folder:
        upload, canonical = folder / "upload", folder / "canonical.bmp"
        upload.write_bytes(storage.blobs.get(job.tenant_id, job.image["sha256"]))
        decoded, evidence = decoders.derive(job.tenant_id, upload, canonical)
        return QueryFile(canonical.read_bytes(), evidence, asdict(decoded))


def _find_cached_job(storage: Storage, job: Job) -> results.CachedJob | None:
    """The job whose result may be used. Acceptance has looked for an upload's already, a few milliseconds ago."""
    settings = storage.cache_settings
    if job.result_key is None or not settings.enabled:
        return None
    if job.cached_from is not None or job.image_url is not None:
        with storage.database.statement() as session:
            if (cached := results.get_newest(session, job, settings.ttl)) is not None:
                return cached
    CACHE_REQUESTS.labels("answer", "miss").inc()
    return None
