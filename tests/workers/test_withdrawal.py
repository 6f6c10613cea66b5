"""Jobs that are canceled, deleted or have been kept for long enough, by whatever races with that."""

import hashlib
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert, select, text, update

from app.api import create_app
from app.db import blob_repository
from app.db.blobs import StoredBlob
from app.db.models import DEFAULT_TENANT, AuditEntry, Blob, BlobReference, Job, JobStatus, Stage, Tenant
from app.errors import StorageUnavailable
from app.jobs import deletion, repository, service
from app.settings import AccessSettings
from tests.workers.harness import Bench
from workers.sweep import delete_expired
from workers.transitions import store_ended_snapshot

Make = Callable[..., Bench]
THREE = {"a": "", "b": "", "c": ""}
OTHER = uuid.UUID("00000000-0000-7000-8000-000000000002")
OPEN = AccessSettings(anonymous=True)
NEVER = timedelta(days=10_000)


@pytest.fixture
def api(bench: Make) -> Iterator[Callable[[Bench], TestClient]]:
    """The API over the same stores as a worker process."""
    opened: list[TestClient] = []

    def over(here: Bench) -> TestClient:
        client = TestClient(
            create_app(here.process.settings.model_copy(update={"access": OPEN})), base_url="http://localhost"
        )
        client.__enter__()
        opened.append(client)
        return client

    yield over
    for client in opened:
        client.__exit__(None, None, None)


def test_a_canceled_job_is_not_worked_on(bench: Make, api: Callable[[Bench], TestClient]) -> None:
    """What has not begun does not begin; doing so again, and polling, give the same document."""
    here = bench(THREE)
    client = api(here)
    job_id = here.submit()
    here.run(until=lambda step: step.task == "workers.resynthesize")
    canceled = client.post(f"/attribute/{job_id}/cancel")
    assert canceled.status_code == 200
    assert (canceled.json()["status"], canceled.json()["stage"]) == ("canceled", None)
    assert {source["state"] for source in canceled.json()["sources"]} == {"skipped"}
    here.run()
    assert client.post(f"/attribute/{job_id}/cancel").json() == canceled.json()
    assert client.get(f"/attribute/{job_id}").json() == canceled.json()


def test_canceling_what_has_ended_changes_nothing(bench: Make, api: Callable[[Bench], TestClient]) -> None:
    """The answer stays the answer."""
    here = bench(THREE)
    client = api(here)
    job_id = here.submit()
    here.run()
    answer = client.get(f"/attribute/{job_id}").json()
    assert answer["status"] == "succeeded"
    assert client.post(f"/attribute/{job_id}/cancel").json() == answer


def test_a_job_is_canceled_after_the_time_its_caller_set(bench: Make) -> None:
    """The sweep does it, and not before."""
    here = bench(THREE)
    soon, late = here.submit(cancel_after=timedelta(seconds=30)), here.submit(cancel_after=timedelta(hours=1))
    here.sweep()
    assert here.job(soon).status == JobStatus.QUEUED
    with here.process.storage.database.transaction() as session:
        session.execute(update(Job).values(cancel_at=Job.cancel_at - timedelta(minutes=1)))
    here.sweep()
    assert (here.job(soon).status, here.job(late).status) == (JobStatus.CANCELED, JobStatus.QUEUED)
    snapshot = here.process.storage.snapshots.get(DEFAULT_TENANT, soon)
    assert snapshot == here.document(soon).model_dump_json().encode()


def test_what_a_canceled_jobs_worker_stored_is_discarded(bench: Make) -> None:
    """A late generated image is not stored."""
    here = bench({"a": ""})
    job_id = here.submit()
    here.run(until=lambda step: step.task == "workers.resynthesize")
    put = type(here.process.storage.blobs).put
    before = here.stored()

    class Late(type(here.process.storage.blobs)):  # type: ignore[misc]
        """A store during whose writing the job is canceled."""

        def put(self, tenant_id: uuid.UUID, data: bytes, media_type: str) -> StoredBlob:
            blob = put(self, tenant_id, data, media_type)
            with here.process.storage.database.transaction() as session:
                service.cancel(session, DEFAULT_TENANT, job_id)
            return blob

    object.__setattr__(here.process.storage, "blobs", Late(here.process.settings.blobs.url))
    here.run()
    assert here.job(job_id).status == JobStatus.CANCELED
    assert here.stored() == before


def test_an_deleted_job_is_gone_but_for_its_tombstone(bench: Make, api: Callable[[Bench], TestClient]) -> None:
    """Bytes, texts and snapshot are deleted; its tenant gets 410, and the audit log has the actor."""
    here = bench(THREE)
    client = api(here)
    job_id = here.submit(prompt="a secret square", external_id="case 7", labels={"who": "me"})
    here.run()
    assert here.stored()
    assert client.delete(f"/attribute/{job_id}").status_code == 204
    assert client.delete(f"/attribute/{job_id}").status_code == 204
    gone = client.get(f"/attribute/{job_id}")
    assert (gone.status_code, gone.json()["type"]) == (410, "/problems/deleted")
    assert client.post(f"/attribute/{job_id}/cancel").status_code == 410
    assert here.stored() == set()
    with here.process.storage.database.transaction() as session:
        row = session.execute(text("SELECT jobs::text FROM jobs WHERE id = :id"), {"id": job_id}).scalar_one()
        assert "secret" not in row
        assert "case 7" not in row
        assert session.scalars(select(BlobReference)).all() == []
        assert None not in session.scalars(select(Blob.deleted_at)).all()
        assert session.scalars(select(AuditEntry.action).where(AuditEntry.subject == str(job_id))).all() == [
            "job.deleted"
        ]
    assert not here.sources(job_id)


def test_an_unknown_job_is_not_deleted(bench: Make, api: Callable[[Bench], TestClient]) -> None:
    """Nor canceled."""
    client = api(bench(THREE))
    assert client.delete(f"/attribute/{uuid.uuid4()}").status_code == 404
    assert client.post(f"/attribute/{uuid.uuid4()}/cancel").status_code == 404


def test_the_same_image_in_another_job_keeps_its_pixels(bench: Make, api: Callable[[Bench], TestClient]) -> None:
    """Within a tenant by the count of uses, across tenants because they share nothing."""
    here = bench(THREE)
    client = api(here)
    first, second = here.submit(), here.submit()
    with here.process.storage.database.transaction() as session:
        session.execute(insert(Tenant).values(id=OTHER, name="other"))
        session.execute(update(Job).where(Job.id == second).values(tenant_id=OTHER))
    theirs = here.original(first)
    data = here.process.storage.blobs.get(DEFAULT_TENANT, theirs)
    copy = here.process.storage.blobs.put(OTHER, data, "image/png")
    with here.process.storage.database.transaction() as session:
        session.execute(text("DELETE FROM blob_references WHERE job_id = :id"), {"id": second})
        blob_repository.insert_references(session, second, {"original": copy})
    third = here.submit()
    assert client.delete(f"/attribute/{first}").status_code == 204
    assert here.process.storage.blobs.get(DEFAULT_TENANT, theirs) == data
    assert client.delete(f"/attribute/{third}").status_code == 204
    assert not here.process.storage.blobs.exists(DEFAULT_TENANT, theirs)
    assert here.process.storage.blobs.get(OTHER, theirs) == data


def test_deleting_and_storing_the_same_bytes_at_once_never_loses_a_used_image(bench: Make) -> None:
    """A job that is counted as a user after its commit finds the bytes, however the two interleave."""
    here = bench(THREE)
    process = here.process
    data = b"the same pixels"
    users = [here.submit(color=(k, 0, 0)) for k in range(8)]
    random.seed(7)

    def use(job_id: uuid.UUID) -> bool:
        while True:
            blob = process.storage.blobs.put(DEFAULT_TENANT, data, "image/png")
            try:
                with process.storage.database.transaction(durable=False) as session:
                    lost = blob_repository.insert_references(session, job_id, {"source/0": blob})
                break
            except StorageUnavailable:  # the bytes are being deleted at this moment
                continue
        process.storage.blobs.put_all(lost)
        return process.storage.blobs.exists(DEFAULT_TENANT, blob.sha256)

    def drop(job_id: uuid.UUID) -> bool:
        with process.storage.database.transaction(durable=False) as session:
            unused = blob_repository.delete_references(session, job_id, except_for=["query"])
        deletion.delete_bytes(process.storage.database, process.storage.blobs, unused)
        return True

    with ThreadPoolExecutor(8) as threads:
        for _ in range(100):
            keeper, *others = random.sample(users, 4)
            futures = [threads.submit(use, keeper), *(threads.submit(drop, other) for other in others)]
            assert all(future.result() for future in futures)
            assert process.storage.blobs.get(DEFAULT_TENANT, hashlib.sha256(data).hexdigest()) == data


def test_cancel_delete_and_completion_race_to_one_end(bench: Make, api: Callable[[Bench], TestClient]) -> None:
    """In 200 races rows, snapshot and store agree, whichever wins."""
    here = bench({"a": ""})
    client = api(here)
    process = here.process
    won: set[str] = set()
    with ThreadPoolExecutor(3) as threads:
        for turn in range(200):
            job_id = here.submit(color=(turn, 9, 9))
            here.run(until=lambda step: step.task == "workers.embed")
            start = Barrier(3)

            # Each is late in some of the races, so that each wins some, on any machine.
            def complete(start: Barrier = start, turn: int = turn) -> None:
                start.wait()
                time.sleep(0.03 * (turn % 5 == 0))
                here.run()

            def cancel(start: Barrier = start, job_id: uuid.UUID = job_id, turn: int = turn) -> int:
                start.wait()
                time.sleep(0.2 * (turn % 5 == 1))  # embedding one image takes a tenth of it
                return client.post(f"/attribute/{job_id}/cancel").status_code

            def delete(start: Barrier = start, job_id: uuid.UUID = job_id, turn: int = turn) -> int:
                start.wait()
                return client.delete(f"/attribute/{job_id}").status_code if turn % 2 else 0

            completing, canceling, deleting = threads.submit(complete), threads.submit(cancel), threads.submit(delete)
            completing.result()
            here.broker.steps.clear()
            canceled, deleted = canceling.result(), deleting.result()
            job = here.job(job_id)
            won.add(job.status)
            assert job.status in (JobStatus.SUCCEEDED, JobStatus.CANCELED)
            answer = client.get(f"/attribute/{job_id}")
            if turn % 2:
                assert deleted == 204
                assert canceled in (200, 410)
                assert job.deleted_at is not None
                assert job.result is None
                assert answer.status_code == 410
            else:
                assert canceled == 200
                assert answer.json() == here.document(job_id).model_dump(mode="json")
                assert (job.result is None) == (job.status == JobStatus.CANCELED)
                assert {row.state for row in here.sources(job_id).values()} <= {"done", "skipped"}
    assert won == {JobStatus.SUCCEEDED, JobStatus.CANCELED}
    with process.storage.database.transaction() as session:
        used = set(session.execute(select(BlobReference.tenant_id, BlobReference.sha256)).all())
    assert len(here.stored()) == len(used)


def test_a_late_end_does_not_restore_a_deleted_result(bench: Make, api: Callable[[Bench], TestClient]) -> None:
    """The worker's document comes after the tombstone and is not taken."""
    here = bench(THREE)
    client = api(here)
    job_id = here.submit()
    here.run()
    document = here.document(job_id)
    assert client.delete(f"/attribute/{job_id}").status_code == 204
    here.process.storage.snapshots.store_ended(DEFAULT_TENANT, document)
    here.process.storage.snapshots.insert_if_absent(DEFAULT_TENANT, document)
    assert client.get(f"/attribute/{job_id}").status_code == 410


def test_each_thing_is_kept_for_as_long_as_its_tenant_wants(bench: Make) -> None:
    """Images first, texts next, then everything; the installation's default where the tenant has no setting."""
    here = bench(THREE, retention={"images": 60, "captions": NEVER, "results": NEVER})
    job_id = here.submit(prompt="a red square")
    here.run()
    fresh = here.submit(color=(1, 2, 3))
    here.run()
    with here.process.storage.database.transaction() as session:
        aged = update(Job).where(Job.id == job_id).values(completed_at=Job.completed_at - timedelta(hours=1))
        session.execute(aged)
    kept = here.job(fresh).query_blob
    delete_expired(here.process.storage, here.process.settings.retention)
    assert here.job(job_id).images_deleted_at is not None
    assert here.job(fresh).query_blob == kept is not None
    with here.process.storage.database.transaction() as session:
        roles = session.scalars(select(BlobReference.role).where(BlobReference.job_id == job_id)).all()
        assert roles == ["features"]
        assert here.job(job_id).caption == "a red square"
        session.execute(update(Tenant).values(retain_captions=timedelta(minutes=1)))
    delete_expired(here.process.storage, here.process.settings.retention)
    job = here.job(job_id)
    assert (job.caption, job.prompt, job.evidence) == (None, None, None)
    assert job.result is not None
    assert job.result["caption"] is None
    assert job.result["ranking"]
    assert here.document(job_id).result is not None
    with here.process.storage.database.transaction() as session:
        session.execute(update(Tenant).values(retain_results=timedelta(minutes=1)))
    delete_expired(here.process.storage, here.process.settings.retention)
    assert here.job(job_id).deleted_at is not None
    assert here.job(fresh).deleted_at is None
    assert here.job(fresh).caption is not None


@pytest.mark.parametrize("blobs_url", ["folder"], indirect=True)
def test_bytes_that_no_row_knows_are_deleted(bench: Make) -> None:
    """What a process left that died between storing and committing; what is young, used or not ours stays."""
    here = bench(THREE)
    job_id = here.submit()
    young = here.process.storage.blobs.put(DEFAULT_TENANT, b"just stored", "image/png")
    stray = here.process.storage.blobs.put(DEFAULT_TENANT, b"left behind", "image/png")
    used = here.original(job_id)
    folder = Path(here.process.settings.blobs.url.removeprefix("file://"))
    (folder / "README").write_text("of another program")
    for file in folder.rglob("*"):
        if file.is_file() and file.name != young.sha256:
            os.utime(file, (0, 0))
    delete_expired(here.process.storage, here.process.settings.retention)
    assert not here.process.storage.blobs.exists(DEFAULT_TENANT, stray.sha256)
    assert here.process.storage.blobs.exists(DEFAULT_TENANT, young.sha256)
    assert here.process.storage.blobs.exists(DEFAULT_TENANT, used)
    assert (folder / "README").exists()


def test_a_claimed_stage_of_an_deleted_job_is_fenced_off(bench: Make, api: Callable[[Bench], TestClient]) -> None:
    """A worker in the middle of a stage writes nothing into the tombstone."""
    here = bench(THREE)
    client = api(here)
    job_id = here.submit()
    with here.process.storage.database.transaction() as session:
        claimed = repository.claim_stage(session, job_id, Stage.SCREENING, timedelta(seconds=10), 3)
    assert claimed is not None
    assert client.delete(f"/attribute/{job_id}").status_code == 204
    with here.process.storage.database.transaction() as session:
        assert repository.advance(session, claimed, Stage.CAPTIONING, values={"caption": "late"})[0] is None
    store_ended_snapshot(here.process.storage, DEFAULT_TENANT, job_id)
    assert client.get(f"/attribute/{job_id}").status_code == 410
