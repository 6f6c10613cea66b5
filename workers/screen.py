"""Stage `screening`: lists, rules and hooks see the query image, and what came with it, before anything else does."""

from functools import partial

from app.store import jobs
from app.store.models import Job, Stage
from attribution.ports import Origin
from workers.process import Process
from workers.references import screen_references
from workers.screening import Caption, QueryImage
from workers.stage import Advance


def screen(process: Process, job: Job) -> Advance:
    """Passes the job on, or raises Screened. A prompt that the caller gave is judged as a caption, too.

    Drawings that came along came with the prompt that they were drawn from: without one, nobody asks for them.
    """
    if job.prompt is not None:
        process.screening.check_caption(Caption(job.tenant_id, job.id, job.prompt))
    assert job.query_blob is not None
    read = partial(process.blobs.get, job.tenant_id, job.query_blob)
    process.screening.check_image(QueryImage(job.tenant_id, job.id, read))
    if job.prompt is not None:
        with process.database.statement() as session:
            rows = jobs.sources_of(session, job.id)
        for row in rows:
            if row.origin == Origin.REFERENCE:
                screen_references(process, row)
    return Advance(to=Stage.CAPTIONING)
