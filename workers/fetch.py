"""Stage `fetching`: the file at a caller's address becomes the job's image, as if it had been uploaded.

The process then continues with screening, and passes on the canonical image and the evidence: the file is decoded once.
"""

from dataclasses import asdict
from functools import partial

from app.cache.cache_keys import result_key
from app.db.blob_repository import ORIGINAL
from app.db.models import Job, Stage
from app.intake.spool import spool_folder
from app.jobs import source_repository
from attribution.ports import Origin
from workers.process import Process
from workers.screen import QueryFile, screen
from workers.stage import Advance


def fetch(process: Process, job: Job) -> Advance:
    """Fetches, decodes and stores. Raises the errors of `EgressClient.fetch` and `Decoders.derive`."""
    assert job.image_url is not None
    with spool_folder() as folder:
        upload, canonical = folder / "upload", folder / "canonical.bmp"
        process.fetcher.fetch(job.image_url, upload)
        decoded, evidence = process.children.derive(upload, canonical)
        # As bytes, which are still there when they are recorded; the file is deleted before.
        original = process.blobs.put(job.tenant_id, upload.read_bytes(), decoded.media_type)
        query = QueryFile(canonical.read_bytes(), evidence)
    return Advance(
        to=Stage.SCREENING,
        values={"image": asdict(decoded), "result_key": _result_key(process, job, decoded.sha256)},
        blobs={ORIGINAL: original},
        then=partial(screen, file=query),
    )


def _result_key(process: Process, job: Job, sha256: str) -> str | None:
    """The cache key of the whole result, now that the file is known."""
    if not (job.cache and process.settings.cache.enabled):
        return None
    with process.database.statement() as session:
        sources = source_repository.list_for_job(session, job.id)
    if any(each.origin == Origin.REFERENCE for each in sources):  # the result also depends on their images
        return None
    options = job.method_options.document()
    given = (job.images_per_source, job.seed, job.prompt, options, job.external_scores)
    return result_key(sha256, sources, process.catalog, *given)
