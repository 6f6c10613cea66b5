"""Stage `fetching`: what a caller's address holds becomes the job's image, as if it had been uploaded."""

from app.cache.cache_keys import result_key
from app.db.blob_repository import ORIGINAL
from app.db.models import Job, Stage
from app.intake.acceptance import image_values, media_type_of
from app.intake.spool import spool_folder
from app.jobs import source_repository
from attribution.ports import Origin
from workers.process import Process
from workers.stage import Advance


def fetch(process: Process, job: Job) -> Advance:
    """Fetches, decodes and stores. Raises what fetching and decoding raise: the job's problem, or one that may pass."""
    assert job.image_url is not None
    with spool_folder() as folder:
        upload = folder / "upload"
        decoded = process.fetcher.fetch(job.image_url, upload)
        # As bytes: they are at hand until they are recorded, which this file is not.
        original = process.blobs.put(job.tenant_id, upload.read_bytes(), media_type_of(decoded))
    values = image_values(decoded) | {"result_key": _question(process, job, decoded.sha256)}
    return Advance(to=Stage.SCREENING, values=values, blobs={ORIGINAL: original})


def _question(process: Process, job: Job, sha256: str) -> str | None:
    """What the whole answer is found by, now that the file is known."""
    if not (job.cache and process.settings.cache.enabled):
        return None
    with process.database.statement() as session:
        asked = source_repository.list_for_job(session, job.id)
    if any(each.origin == Origin.REFERENCE for each in asked):  # its answer depends on more than its file
        return None
    options = job.method_options.document()
    return result_key(
        sha256, asked, process.catalog, job.images_per_source, job.seed, job.prompt, options, job.external_scores
    )
