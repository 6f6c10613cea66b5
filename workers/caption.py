"""Stage `captioning`: the query image becomes the text that every source is given; its pixels are read for watermarks.

A remote captioner's price is reserved from the job's budget before each call, as a remote source's is.
"""

from typing import Any, Protocol, runtime_checkable

from PIL.Image import Image

from app.db.models import Job, Stage
from app.errors import CaptionerUnavailableProblem, CaptionRefusedProblem
from attribution import errors
from attribution.caption import GivenCaptioner, describe
from attribution.evidence.finding import documents
from attribution.evidence.watermark import watermark
from attribution.ports import Captioner
from attribution.resynthesis.remote.gate import Gate
from workers.artifacts import read_query
from workers.models import Models
from workers.race import begin_race
from workers.screening import ScreenedCaption, Screening
from workers.spend_gate import CaptionGate
from workers.storage import Storage
from workers.transitions import Advance
from workers.vendors import Vendors


def caption(storage: Storage, models: Models, vendors: Vendors, screening: Screening, job: Job) -> Advance:
    """Captions the query image, or takes the caller's prompt; a caption is screened before it leaves this stage."""
    captioner = _captioner(storage, models, vendors, job)
    query = read_query(storage.blobs, job)
    try:
        described = describe(captioner, query)
    except errors.CaptionRefused as error:
        raise CaptionRefusedProblem(str(error)) from error
    except errors.CaptionerUnavailable as error:
        raise CaptionerUnavailableProblem(str(error)) from error
    if job.prompt is None:  # a prompt was screened with the image
        screening.check_caption(ScreenedCaption(job.tenant_id, job.id, described.text))
    return Advance(
        to=Stage.RESYNTHESIZING,
        values={
            "caption": described.text,
            "captioner": str(described.captioner),
            **_watermarks(job, query),
            **begin_race(storage, models, job),
        },
    )


@runtime_checkable
class RemoteCaptioner(Captioner, Protocol):
    """A captioner that asks a gate before every call."""

    def describe_with(self, image: Image, gate: Gate) -> str:
        """The caption; raises CaptionError, and what the gate raises."""
        ...


class GatedCaptioner:
    """A remote captioner that works within one job's budget."""

    def __init__(self, captioner: RemoteCaptioner, gate: CaptionGate) -> None:
        self.ref = captioner.ref
        self._captioner = captioner
        self._gate = gate

    def describe(self, image: Image) -> str:
        """See `Captioner`."""
        return self._captioner.describe_with(image, self._gate)


def _captioner(storage: Storage, models: Models, vendors: Vendors, job: Job) -> Captioner:
    """Raises CaptionerUnavailableProblem where a local-only job's image would be sent to a third party."""
    if job.prompt is not None:
        return GivenCaptioner(job.prompt)
    name, spec = models.captioning(job.method_options.captioner)
    if spec.external and job.local_only:
        raise CaptionerUnavailableProblem(f"The job is local only, and its image would have been sent to {name}.")
    captioner = models.captioner(name)
    if not isinstance(captioner, RemoteCaptioner):
        return captioner
    return GatedCaptioner(captioner, CaptionGate(storage.database, vendors.spend_settings, job.id, name, spec))


def _watermarks(job: Job, query: Image) -> dict[str, Any]:
    """The job's evidence with the watermarks in its pixels, next to what its file said; empty where there are none."""
    found = documents(watermark(query))
    if not found:
        return {}
    return {"evidence": {"findings": [*(job.evidence or {"findings": []})["findings"], *found]}}
