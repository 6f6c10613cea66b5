"""Stage `screening`: lists, rules and hooks see the query image, and what came with it, before anything else does.

It also makes the image that all later stages look at, of the file as it came.
"""

from functools import partial
from typing import Any

from app.intake.spool import spool_folder
from app.store import jobs
from app.store.models import Job, Stage
from attribution.ports import Origin
from workers.images import BMP
from workers.process import Process
from workers.references import screen_references
from workers.screening import Caption, QueryImage
from workers.stage import Advance


def screen(process: Process, job: Job) -> Advance:
    """Passes the job on, or raises Screened. A prompt that the caller gave is judged as a caption, too.

    The canonical image is stored only once it has passed.
    """
    if job.prompt is not None:
        process.screening.check_caption(Caption(job.tenant_id, job.id, job.prompt))
    if job.query_blob is not None:  # accepted by a version that made it then
        read = partial(process.blobs.get, job.tenant_id, job.query_blob)
        process.screening.check_image(QueryImage(job.tenant_id, job.id, read))
        return Advance(to=Stage.CAPTIONING)
    canonical, evidence = _derive(process, job)
    process.screening.check_image(QueryImage(job.tenant_id, job.id, lambda: canonical))
    _screen_what_came_along(process, job)
    query = process.blobs.put(job.tenant_id, canonical, BMP)
    return Advance(
        to=Stage.CAPTIONING,
        values={"query_blob": query.sha256, "evidence": {"findings": evidence}},
        blobs={"query": query},
    )


def _screen_what_came_along(process: Process, job: Job) -> None:
    """Drawings come with the prompt that they were drawn from: without one, nobody asks for them."""
    if job.prompt is None:
        return
    with process.database.statement() as session:
        rows = jobs.sources_of(session, job.id)
    for row in rows:
        if row.origin == Origin.REFERENCE:
            screen_references(process, row)


def _derive(process: Process, job: Job) -> tuple[bytes, list[dict[str, Any]]]:
    """The canonical image, and what the file says of itself. Raises what `Decoders.derive` raises."""
    assert job.image is not None
    with spool_folder() as folder:
        upload, canonical = folder / "upload", folder / "canonical.bmp"
        upload.write_bytes(process.blobs.get(job.tenant_id, job.image["sha256"]))
        evidence = process.children.derive(upload, canonical)
        return canonical.read_bytes(), evidence
