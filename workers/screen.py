"""Stage `screening`: lists, rules and hooks see the query image before anything else does.

What passes may have its answer already: that is looked for here where acceptance could not use it, because the file
was still to be fetched, or because what it passed back then is not what is in force now.
"""

from functools import partial

from app.metrics import CACHE_REQUESTS
from app.store import answers
from app.store.models import Job, Stage
from workers.process import Process
from workers.screening import Caption, QueryImage
from workers.stage import Advance, Reuse


def screen(process: Process, job: Job) -> Advance | Reuse:
    """Passes the job on, or raises Screened. A prompt that the caller gave is judged as a caption, too."""
    state = process.screening.state(job.tenant_id)
    if job.prompt is not None:
        process.screening.check_caption(Caption(job.tenant_id, job.id, job.prompt))
    assert job.query_blob is not None
    read = partial(process.blobs.get, job.tenant_id, job.query_blob)
    process.screening.check_image(QueryImage(job.tenant_id, job.id, read))
    passed = Advance(to=Stage.CAPTIONING, values={"screened_by": state, "cached_from": None})
    donor = _donor(process, job)
    if donor is None:
        return passed
    if job.prompt is None:
        process.screening.check_caption(Caption(job.tenant_id, job.id, donor.caption))
    return Reuse(donor.id, state, passed)


def _donor(process: Process, job: Job) -> answers.Donor | None:
    """Who may have the answer. An upload for which acceptance saw nobody has nobody, but for a few milliseconds."""
    if job.answer_key is None or not process.settings.cache.enabled:
        return None
    if job.cached_from is not None or job.image_url is not None:
        with process.database.statement() as session:
            if (donor := answers.find(session, job, process.settings.cache.ttl)) is not None:
                return donor
    CACHE_REQUESTS.labels("answer", "miss").inc()
    return None
