"""The bank: jobs contribute exactly once, what may not contribute never does, and snapshots have what is left."""

import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select, text, update

from app.access import tenant_repository
from app.db import bank_repository
from app.db.models import DEFAULT_TENANT, BankContribution, Job, JobStatus, Tenant
from app.jobs import contribution_repository as repository
from app.jobs import deletion
from attribution.bank import PastJob
from attribution.bank.files import hashed
from attribution.embed.stage import feature_space
from attribution.ports import ModelRef
from tests.workers.harness import Bench
from tests.workers.processes import REPOSITORY, environment_of
from tests.workers.test_cached_results import Service
from tests.workers.test_references import Story, given
from workers.bank_rows import columns_of, past_job_of
from workers.bank_snapshots import compile_due, compile_snapshot
from workers.banks import Banks
from workers.contribute import contribute

Make = Callable[..., Bench]
THREE = {"a": "", "b": "", "c": ""}
# As a worker does that is killed in the middle of it.
CONTRIBUTE = (
    "from workers.process import this_process; from workers.contribute import contribute; "
    "contribute(this_process().storage, 60)"
)


def run(here: Bench, *captions: str, **options: Any) -> list[uuid.UUID]:
    """Jobs with these captions, from acceptance to their results."""
    jobs = [here.submit(prompt=caption, cache=False, **options) for caption in captions]
    here.run()
    assert {here.job(job).status for job in jobs} <= {JobStatus.SUCCEEDED}
    return jobs


def contributions(here: Bench) -> dict[uuid.UUID, BankContribution]:
    """The rows by job."""
    with here.process.storage.database.transaction() as session:
        return {row.job_id: row for row in session.scalars(select(BankContribution))}


def space_of(here: Bench, job_id: uuid.UUID) -> str:
    """The feature space of a job."""
    return feature_space(ModelRef.parse(here.job(job_id).embedder or ""))


def delete(here: Bench, job_id: uuid.UUID, **options: Any) -> None:
    """Deletes a job as its owner does."""
    storage = here.process.storage
    deletion.delete_job(storage.database, storage.blobs, storage.snapshots, DEFAULT_TENANT, job_id, "test", **options)


def test_an_ended_job_contributes_once(bench: Make) -> None:
    """Residuals of every generated image, under source and revision, that sum to nothing over the sources."""
    here = bench(THREE)
    (job_id,) = run(here, "a hare")
    assert contribute(here.process.storage, 60) == 1
    assert contribute(here.process.storage, 60) == 0
    row = contributions(here)[job_id]
    assert row.sources == ["a@1", "b@1", "c@1"]
    assert row.counts == [2, 2, 2]
    past = past_job_of(row)
    assert all(rows.shape == (2, row.length) for rows in past.images.values())
    whole = np.concatenate([rows.astype(float) for rows in past.images.values()])
    assert np.abs(whole).max() > 0.1
    assert np.allclose(whole.sum(axis=0), 0, atol=0.02)


def test_a_worker_that_is_killed_while_it_contributes(bench: Make) -> None:
    """Killed within the statement that inserts, with others waiting: each job is in the bank once, and nothing else."""
    here = bench(THREE)
    jobs = run(here, "a hare", "a fox", "an owl")
    database = here.process.storage.database
    with database.transaction() as session:
        session.execute(select(Tenant).where(Tenant.id == DEFAULT_TENANT).with_for_update())
        killed = subprocess.Popen(
            [sys.executable, "-c", CONTRIBUTE], cwd=REPOSITORY, env=environment_of(here.process.settings)
        )
        waits = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'FOR SHARE'")
        with database.statement() as watching:
            while not watching.scalar(waits):
                assert killed.poll() is None
        killed.kill()
        killed.wait()
    here.pass_time(60)
    assert contribute(here.process.storage, 60) >= 2
    assert set(contributions(here)) == set(jobs)


def test_many_workers_at_once(bench: Make) -> None:
    """Of workers that look at the same moment each takes other jobs, and none is lost or counted twice."""
    here = bench(THREE)
    jobs = run(here, *(f"hare {number}" for number in range(24)))
    with ThreadPoolExecutor(4) as pool:
        worked = list(pool.map(lambda _: contribute(here.process.storage, 60), range(4)))
    assert sum(worked) == len(jobs)
    assert set(contributions(here)) == set(jobs)


def test_a_late_contribution_is_fenced_off(bench: Make) -> None:
    """A job that is deleted, or claimed anew, between claim and insert gets nothing from the old claim."""
    here = bench(THREE)
    deleted, again = run(here, "a hare", "a fox")
    storage = here.process.storage
    with storage.database.statement() as session:
        claims = [repository.claim_contributing(session, timedelta(seconds=1), 5) for _ in range(2)]
    delete(here, deleted)
    here.pass_time(60)
    with storage.database.statement() as session:
        anew = repository.claim_contributing(session, timedelta(seconds=1), 5)
    assert anew is not None
    rows = {"a@1": np.ones((2, 4), np.float16), "b@1": -np.ones((2, 4), np.float16)}
    values = columns_of(PastJob("", rows, 4)) | {"space": "fake", "caption_hash": None}
    for late in claims:
        assert late is not None
        with storage.database.statement() as session:
            assert not repository.contribute(session, late, values)
    with storage.database.statement() as session:
        assert repository.contribute(session, anew, values)
    assert set(contributions(here)) == {again}


def test_the_same_caption_counts_once(bench: Make) -> None:
    """However often it is asked and however it is written; a new revision of a source takes the place of the old."""
    here = bench(THREE)
    first, second, third = run(here, "a hare", "A  hare", "a hare")
    contribute(here.process.storage, 60)
    (kept,) = contributions(here)
    assert kept in {first, second, third}
    (newer,) = run(here, "a hare")
    with here.process.storage.database.transaction() as session:
        session.execute(text("UPDATE job_sources SET revision = '2' WHERE source = 'b'"))
    contribute(here.process.storage, 60)
    assert list(contributions(here)) == [newer]


@pytest.mark.parametrize("reason", ["option", "tenant", "one source", "failed", "distance"])
def test_what_does_not_contribute(bench: Make, reason: str) -> None:
    """A job that may not, one without two sources, one without a result, and one ranked by distance, without taps."""
    here = bench({"a": ""} if reason == "one source" else THREE)
    if reason == "option":
        run(here, "a hare", contributes=False)
    elif reason == "tenant":
        with here.process.storage.database.transaction() as session:
            tenant_repository.update_limits(session, DEFAULT_TENANT, {"contribute": False})
        run(here, "a hare")
    elif reason == "failed":
        job_id = here.submit(prompt="a hare")
        with here.process.storage.database.transaction() as session:
            session.execute(update(Job).where(Job.id == job_id).values(deadline_at=Job.created_at))
        here.sweep()
    elif reason == "distance":
        run(here, "a hare", method_options={"distance": "cosine"})
    else:
        run(here, "a hare")
    contribute(here.process.storage, 60)
    assert contributions(here) == {}


def test_a_copied_result_contributes_nothing(bench: Make) -> None:
    """A job whose result is a cached one is not even looked at, also where the other job's contribution is gone."""
    service = Service(bench(THREE))
    here = service.bench
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8))  # sharp: not reduced
    with service.http:
        first, second = (service.ended(noise, prompt="a hare") for _ in range(2))
    assert second["cached_from"] == first["id"]
    assert contribute(here.process.storage, 60) == 1
    assert set(contributions(here)) == {uuid.UUID(first["id"])}
    assert here.job(uuid.UUID(second["id"])).contributes is None


def test_uploaded_references_never_contribute(bench: Make) -> None:
    """They are left out, and the residuals of the others are exactly those of a job without them."""
    contributed = []
    for files in ((), given("b", 3, 4)):
        flow = Story(bench(THREE))
        flow.here.process.storage.redis.flushall()
        with flow.api:
            job_id = flow.submit(*files, prompt="a hare", images_per_source="2", sources="a,b,c" if files else "a,c")
        flow.run()
        contribute(flow.here.process.storage, 60)
        contributed.append(past_job_of(contributions(flow.here)[job_id]))
        delete(flow.here, job_id)
    without, beside = contributed
    assert set(beside.images) == {"a@1", "c@1"}
    assert all(np.array_equal(beside.images[source], without.images[source]) for source in without.images)


def test_deletion_subtracts_and_retention_does_not(bench: Make) -> None:
    """A deleted job is in no later snapshot; one whose time was over still is, without its caption's hash."""
    here = bench(THREE)
    jobs = run(here, "a hare", "a fox", "an owl")
    contribute(here.process.storage, 60)
    space = space_of(here, jobs[0])
    delete(here, jobs[0])
    delete(here, jobs[1], keep_contribution=True)
    bank = compile_snapshot(here.process.storage, space)
    assert bank is not None
    assert {job.job for job in bank.past} == {hashed(str(job)) for job in jobs[1:]}
    rows = contributions(here)
    assert rows[jobs[1]].caption_hash is None
    assert rows[jobs[2]].caption_hash is not None
    delete(here, jobs[1])  # its owner asks for it later
    assert set(contributions(here)) == {jobs[2]}


def test_a_basis_is_made_once_and_kept(bench: Make) -> None:
    """From thirty jobs on residuals are projected, distances between them stay, and later jobs use the same basis."""
    here = bench(THREE)
    jobs = run(here, *(f"hare {number}" for number in range(31)))
    storage = here.process.storage
    contribute(storage, 60)
    space = space_of(here, jobs[0])
    before = {job: past_job_of(row) for job, row in contributions(here).items()}
    bank = compile_snapshot(storage, space)
    assert bank is not None
    assert bank.basis is not None
    rows = contributions(here)
    assert {row.basis for row in rows.values()} == {rows[jobs[0]].basis} != {None}
    for job in jobs:
        whole, reduced = before[job].images["a@1"], past_job_of(rows[job]).images["a@1"]
        assert np.allclose(np.linalg.norm(whole[0] - whole[1]), np.linalg.norm(reduced[0] - reduced[1]), atol=0.02)
    run(here, "one more hare")
    contribute(storage, 60)
    again = compile_snapshot(storage, space)
    assert again is not None
    assert again.basis is not None
    assert bank.basis is not None
    assert np.array_equal(again.basis, bank.basis)
    assert again.version != bank.version
    assert len(again.past) == 32


def test_snapshots_are_due_by_time_and_by_number(bench: Make) -> None:
    """A first one at once, then one after so many new jobs, and never one in between."""
    here = bench(THREE, bank={"snapshot_jobs": 2})
    storage = here.process.storage

    def version(space: str) -> str | None:
        with storage.database.statement() as session:
            return next((each.version for each in bank_repository.list_snapshots(session) if each.space == space), None)

    (first,) = run(here, "a hare")
    space = space_of(here, first)
    contribute(storage, 60)
    compile_due(storage)
    versions = [version(space)]
    for caption in ("a fox", "an owl"):
        run(here, caption)
        contribute(storage, 60)
        compile_due(storage)
        versions.append(version(space))
    assert versions[0] is not None
    assert versions[0] == versions[1] != versions[2]


def test_ranking_reads_the_newest_bank(bench: Make) -> None:
    """The same object while nothing changed, another one afterwards, and none where banks are switched off."""
    here = bench(THREE, bank={"refresh": "0.001s"})
    storage = here.process.storage
    jobs = run(here, "a hare", "a fox")
    space = space_of(here, jobs[0])
    assert storage.banks.newest(space) is None
    contribute(storage, 60)
    compiled = compile_snapshot(storage, space)
    newest = storage.banks.newest(space)
    assert newest is not None
    assert compiled is not None
    assert newest.version == compiled.version
    assert storage.banks.newest(space) is newest
    delete(here, jobs[0])
    compile_snapshot(storage, space)
    after = storage.banks.newest(space)
    assert after is not None
    assert [job.job for job in after.past] == [hashed(str(jobs[1]))]
    assert Banks(storage.database, storage.banks.settings.model_copy(update={"enabled": False})).newest(space) is None


def test_the_window_keeps_the_newest(bench: Make) -> None:
    """Older jobs leave table and snapshot."""
    here = bench(THREE, bank={"window": 3})
    jobs = run(here, *(f"hare {number}" for number in range(5)))
    contribute(here.process.storage, 60)
    bank = compile_snapshot(here.process.storage, space_of(here, jobs[0]))
    assert bank is not None
    assert [job.job for job in bank.past] == [hashed(str(job)) for job in jobs[2:]]
    assert set(contributions(here)) == set(jobs[2:])
