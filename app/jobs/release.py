"""Giving a claimed step back unfinished: by a worker that was told to stop, so it does not count as an attempt."""

from sqlalchemy import func, update
from sqlalchemy.orm import Session

from app.db.models import Job, JobSource
from app.jobs.repository import job_claim_fence
from app.jobs.source_repository import source_claim_fence
from attribution.ports import SourceState


def release_job_uncounted(session: Session, job: Job) -> bool:
    """Whoever comes next may claim the job's stage at once; False when the claim was fenced off."""
    values = {"attempt": Job.attempt - 1, "lease_until": None, "requeued_at": func.clock_timestamp()}
    statement = update(Job).where(job_claim_fence(job)).values(values).returning(Job.id)
    return session.scalar(statement) is not None


def release_source_uncounted(session: Session, claimed: JobSource) -> bool:
    """Whoever comes next may claim the source at once; False when the claim was fenced off."""
    values = {
        "state": SourceState.PENDING,
        "attempt": JobSource.attempt - 1,
        "lease_until": None,
        "requeued_at": func.clock_timestamp(),
    }
    return (
        session.scalar(update(JobSource).where(source_claim_fence(claimed)).values(values).returning(JobSource.source))
        is not None
    )
