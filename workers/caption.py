"""Stage `captioning`: the query image becomes the text that every source is given; its pixels are read for marks."""

from typing import Any

from PIL.Image import Image

from app.db.models import Job, Stage
from app.errors import CaptionerUnavailableProblem, CaptionRefusedProblem
from attribution import errors
from attribution.caption import GivenCaptioner, describe
from attribution.evidence.finding import documents
from attribution.evidence.watermark import watermark
from attribution.ports import Captioner
from workers.captioner_calls import CaptionerCalls, RemoteCaptioning
from workers.images import read_query
from workers.process import Process
from workers.screening import ScreenedCaption
from workers.stage import Advance


def caption(process: Process, job: Job) -> Advance:
    """Captions the query, or takes the caller's prompt; a caption is screened before it leaves this stage."""
    captioner = _captioner(process, job)
    query = read_query(process.blobs, job)
    try:
        described = describe(captioner, query)
    except errors.CaptionRefused as error:
        raise CaptionRefusedProblem(str(error)) from error
    except errors.CaptionerUnavailable as error:
        raise CaptionerUnavailableProblem(str(error)) from error
    if job.prompt is None:  # a prompt was judged with the image
        process.screening.check_caption(ScreenedCaption(job.tenant_id, job.id, described.text))
    return Advance(
        to=Stage.RESYNTHESIZING,
        values={"caption": described.text, "captioner": str(described.captioner)} | _marks(job, query),
    )


def _captioner(process: Process, job: Job) -> Captioner:
    """Who describes the image. Raises CaptionerUnavailable where it would leave the house, and may not."""
    if job.prompt is not None:
        return GivenCaptioner(job.prompt)
    name, spec = process.models.captioning(job.method_options.captioner)
    if spec.external and job.local_only:
        raise CaptionerUnavailableProblem(f"The job is local only, and its image would have been sent to {name}.")
    captioner = process.models.captioner(name)
    return CaptionerCalls(process, job, captioner, name, spec) if isinstance(captioner, RemoteCaptioning) else captioner


def _marks(job: Job, query: Image) -> dict[str, Any]:
    """The job's evidence with the watermarks in its pixels, beside what intake read in its file; nothing for none."""
    found = documents(watermark(query))
    if not found:
        return {}
    return {"evidence": {"findings": [*(job.evidence or {"findings": []})["findings"], *found]}}
