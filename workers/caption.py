"""Stage `captioning`: the query image becomes the text that every source is given; its pixels are read for marks."""

from typing import Any

from PIL.Image import Image

from app.store.models import Job, Stage
from attribution.caption import describe
from attribution.caption.given import GivenCaptioner
from attribution.evidence.finding import documents
from attribution.evidence.watermark import watermark
from workers.images import read_query
from workers.process import Process
from workers.screening import Caption
from workers.stage import Advance


def caption(process: Process, job: Job) -> Advance:
    """Captions the query, or takes the caller's prompt; a caption is screened before it leaves this stage."""
    named = (job.variant or {}).get("captioner")
    captioner = process.models.captioner(named) if job.prompt is None else GivenCaptioner(job.prompt)
    query = read_query(process.blobs, job)
    described = describe(captioner, query)
    if job.prompt is None:  # a prompt was judged with the image
        process.screening.check_caption(Caption(job.tenant_id, job.id, described.text))
    return Advance(
        to=Stage.RESYNTHESISING,
        values={"caption": described.text, "captioner": str(described.captioner)} | _marks(job, query),
    )


def _marks(job: Job, query: Image) -> dict[str, Any]:
    """The job's evidence with the watermarks in its pixels, beside what intake read in its file; nothing for none."""
    found = documents(watermark(query))
    if not found:
        return {}
    return {"evidence": {"findings": [*(job.evidence or {"findings": []})["findings"], *found]}}
