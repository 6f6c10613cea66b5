"""Documents as they are stored: whether the job has ended is read off the bytes."""

import uuid
from datetime import UTC, datetime

import pytest

from app.db.models import ENDED, JobStatus
from app.documents import JobDocument
from app.jobs.snapshots import is_unfinished
from attribution.ports import Aggregate, DistanceName


@pytest.mark.parametrize("status", JobStatus)
def test_an_unfinished_job_is_recognized_by_its_bytes(status: JobStatus) -> None:
    """For every status the serialized document is unfinished just where the status is no end."""
    now = datetime.now(UTC)
    unset = {name: None for name, field in JobDocument.model_fields.items() if field.is_required()}
    given = {"id": uuid.uuid4(), "status": status, "created_at": now, "deadline_at": now, "images_per_source": 1}
    given |= {"distance": DistanceName.COSINE, "aggregate": Aggregate.MEAN, "sources": [], "timings": {}}
    document = JobDocument.model_validate(unset | given)
    assert is_unfinished(document.model_dump_json().encode()) is (status not in ENDED)
