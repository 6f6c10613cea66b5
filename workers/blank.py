"""The end of a job whose image shows nothing: no caption, no generated image, no bill, and a verdict that says why."""

from collections.abc import Mapping
from typing import Any

from app.db.models import RESULT_SCHEMA_VERSION, Job
from app.documents import ResultDocument, VerdictDocument
from app.jobs import source_repository
from attribution.ports import Reason, VerdictKind
from workers.rank import quorum_of
from workers.storage import Storage
from workers.transitions import Succeed

_SKIPPED = "The image shows nothing that could be compared, so nothing was generated."
_TEMPERATURE = 1.0


def end_blank(storage: Storage, job: Job, values: Mapping[str, Any]) -> Succeed:
    """The outcome, with these values for the job's row."""
    with storage.database.statement() as session:
        rows = source_repository.list_for_job(session, job.id)
    options = job.method_options
    result = ResultDocument(
        schema_version=RESULT_SCHEMA_VERSION,
        caption="",
        captioner="",
        embedder=None,
        distance=options.distance,
        images_per_source=job.images_per_source,
        aggregate=options.aggregate,
        quorum=quorum_of(storage.job_settings, len(rows)),
        temperature=_TEMPERATURE,
        calibrated=False,
        ranking=[],
        margin=None,
        verdict=VerdictDocument(kind=VerdictKind.INCONCLUSIVE, source=None, reason=Reason.BLANK_QUERY, threshold=None),
    )
    return Succeed(result.model_dump(mode="json"), rows, values, skipped=_SKIPPED)
