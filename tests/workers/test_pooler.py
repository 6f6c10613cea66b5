"""Workers behind a PgBouncer in transaction mode."""

from collections.abc import Callable
from typing import Any

import pytest

from app.db.models import JobStatus
from tests.workers.harness import Bench
from workers.sweep import delete_expired, evict

pytestmark = pytest.mark.pgbouncer


def test_jobs_are_worked_on_swept_and_deleted(bench: Callable[..., Bench], pooled: dict[str, Any]) -> None:
    """Claims, stages, the sweep, retention and eviction need no session of their own."""
    here = bench({"a": "", "b": ""}, database=pooled, retention={"results": 60})
    jobs = [here.submit(color=(k, 0, 0)) for k in range(8)]
    here.run()
    assert {here.job(job_id).status for job_id in jobs} == {JobStatus.SUCCEEDED}
    here.pass_time(60)
    with here.process.storage.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE jobs SET completed_at = completed_at - interval '1 hour'")
    here.sweep()
    evict(here.process.storage)
    delete_expired(here.process.storage, here.process.settings.retention)
    assert all(here.job(job_id).deleted_at for job_id in jobs)
