"""Stage `captioning`: the query image becomes the text that every source is given."""

from app.store.models import Job, Stage
from attribution.caption import describe
from attribution.caption.given import GivenCaptioner
from workers.images import read_query
from workers.process import Process
from workers.screening import Caption
from workers.stage import Advance


def caption(process: Process, job: Job) -> Advance:
    """Captions the query, or takes the caller's prompt; a caption is screened before it leaves this stage."""
    captioner = process.models.captioner if job.prompt is None else GivenCaptioner(job.prompt)
    described = describe(captioner, read_query(process.blobs, job))
    if job.prompt is None:  # a prompt was judged with the image
        process.screening.check_caption(Caption(job.tenant_id, job.id, described.text))
    return Advance(
        to=Stage.RESYNTHESISING,
        values={"caption": described.text, "captioner": str(described.captioner)},
    )
