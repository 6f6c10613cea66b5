"""Stage `screening`: lists, rules and hooks see the query image before anything else does."""

from functools import partial

from app.store.models import Job, Stage
from workers.process import Process
from workers.screening import Caption, QueryImage
from workers.stage import Advance


def screen(process: Process, job: Job) -> Advance:
    """Passes the job on, or raises Screened. A prompt that the caller gave is judged as a caption, too."""
    if job.prompt is not None:
        process.screening.check_caption(Caption(job.tenant_id, job.id, job.prompt))
    assert job.query_blob is not None
    read = partial(process.blobs.get, job.tenant_id, job.query_blob)
    process.screening.check_image(QueryImage(job.tenant_id, job.id, read))
    return Advance(to=Stage.CAPTIONING)
