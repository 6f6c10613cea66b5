"""Stage `screening`: lists, rules and hooks see the query image, and what came with it, before anything else does.

It also makes the image that all later stages look at, of the file as it came. What passes may have its answer already:
that is looked for here where acceptance could not use it, because the file was still to be fetched, or because what the
earlier job passed is not what is in force now.
"""

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


def screen(process: Process, job: Job) -> Advance | Reuse:
    """Passes the job on, or raises ScreeningRefused. A prompt that the caller gave is judged as a caption, too.

    The canonical image is stored only once it has passed.
    """
    state = process.screening.state(job.tenant_id)
    if job.prompt is not None:
        process.screening.check_caption(ScreenedCaption(job.tenant_id, job.id, job.prompt))
    if job.query_blob is not None:  # accepted by a version that made it then
        read = partial(process.blobs.get, job.tenant_id, job.query_blob)
        process.screening.check_image(QueryImage(job.tenant_id, job.id, read))
        return Advance(to=Stage.CAPTIONING, values={"screening_fingerprint": state})
    canonical, evidence = _derive(process, job)
    process.screening.check_image(QueryImage(job.tenant_id, job.id, lambda: canonical))
    _screen_what_came_along(process, job)
    donor = _donor(process, job)
    if donor is not None and job.prompt is None:
        process.screening.check_caption(ScreenedCaption(job.tenant_id, job.id, donor.caption))
    query = process.blobs.put(job.tenant_id, canonical, BMP)
    passed = Advance(
        to=Stage.CAPTIONING,
        values={
            "query_blob": query.sha256,
            "evidence": {"findings": evidence},
            "screening_fingerprint": state,
            "cached_from": None,
        },
        blobs={QUERY: query},
    )
    return passed if donor is None else Reuse(donor.id, PassedScreening(state, evidence), passed)


def _screen_what_came_along(process: Process, job: Job) -> None:
    """Generated images come with the prompt that they were generated from: without one, nobody asks for them."""
    if job.prompt is None:
        return
    with process.database.statement() as session:
        rows = source_repository.list_for_job(session, job.id)
    for row in rows:
        if row.origin == Origin.REFERENCE:
            screen_references(process, row)


def _derive(process: Process, job: Job) -> tuple[bytes, list[dict[str, Any]]]:
    """The canonical image, and what the file says of itself. Raises what `Decoders.derive` raises."""
    assert job.image is not None
    with spool_folder(job.image["size"]) as folder:
        upload, canonical = folder / "upload", folder / "canonical.bmp"
        upload.write_bytes(process.blobs.get(job.tenant_id, job.image["sha256"]))
        evidence = process.children.derive(upload, canonical)
        return canonical.read_bytes(), evidence


def _donor(process: Process, job: Job) -> results.CachedJob | None:
    """Who may have the answer. An upload for which acceptance saw nobody has nobody, but for a few milliseconds."""
    if job.result_key is None or not process.settings.cache.enabled:
        return None
    if job.cached_from is not None or job.image_url is not None:
        with process.database.statement() as session:
            if (donor := results.find(session, job, process.settings.cache.ttl)) is not None:
                return donor
    CACHE_REQUESTS.labels("answer", "miss").inc()
    return None
