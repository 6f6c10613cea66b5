"""Jobs whose bytes are in an object store: served, deleted in bulk, and deleted in the end when the store fails."""

import hashlib
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import obstore
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.api import create_app
from app.db import blob_repository
from app.db.blobs import open_store
from app.db.models import DEFAULT_TENANT, JobStatus, Stage
from app.errors import StorageUnavailable
from app.jobs import deletion
from app.queue.steps import stage_step
from app.settings import AccessSettings, MetricsSettings
from devstack.object_store import ObjectStore
from tests.app.images import encoded
from tests.waiting import wait_until
from tests.workers.harness import Bench
from workers.sweep import delete_expired

pytestmark = pytest.mark.parametrize("blobs_url", ["s3"], indirect=True)
Make = Callable[..., Bench]


@pytest.fixture
def here(bench: Make) -> Bench:
    """A worker over two sources that keeps ended jobs for a minute, and nothing that has no row."""
    return bench({"a": "", "b": ""}, retention={"images": 60, "results": 60, "unreferenced_after": 1e-6})


@pytest.fixture
def api(here: Bench) -> Iterator[TestClient]:
    """The API over the same stores."""
    opened = {"access": AccessSettings(anonymous=True), "metrics": MetricsSettings(open=True)}
    settings = here.process.settings.model_copy(update=opened)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client
    here.process.storage.redis.flushall()


def deletions(store: ObjectStore) -> int:
    """How often the store was asked to delete."""
    return sum(method == "DELETE" or "?delete" in path for method, path in store.requests)


def expire(here: Bench) -> None:
    """Lets the retention of all jobs pass, and deletions that failed be due again."""
    with here.process.storage.database.transaction() as session:
        session.execute(text("UPDATE jobs SET completed_at = completed_at - interval '1 hour'"))
        session.execute(text("UPDATE blobs SET due_at = now() WHERE due_at IS NOT NULL"))


def retain(here: Bench) -> None:
    """One round of retention."""
    delete_expired(here.process.storage, here.process.settings.retention)


def gauge(api: TestClient, name: str) -> float:
    """A gauge without labels."""
    lines = api.get("/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))


def test_images_are_stored_served_and_deleted_with_one_request(
    here: Bench, api: TestClient, object_store: ObjectStore
) -> None:
    """What the API sends is what was uploaded or generated; after DELETE nothing of the job is in the bucket."""
    answer = api.post("/attribute", files={"image": encoded()})
    assert answer.status_code == 202, answer.text
    job_id = uuid.UUID(answer.json()["id"])
    here.broker.enqueue([stage_step(Stage.SCREENING, job_id)])
    here.run()
    assert here.job(job_id).status == JobStatus.SUCCEEDED
    image = here.sources(job_id)["a"].generated_images[0].blob
    served = api.get(f"/attribute/{job_id}/images/a/0")
    assert hashlib.sha256(served.content).hexdigest() == image
    assert len(here.stored()) >= 5
    object_store.requests.clear()
    assert api.delete(f"/attribute/{job_id}").status_code == 204
    assert deletions(object_store) == 1
    assert len(here.stored()) == 0
    assert api.get(f"/attribute/{job_id}/images/a/0").status_code == 410


def test_a_slow_store_holds_no_transaction(here: Bench, object_store: ObjectStore) -> None:
    """While bytes are deleted no session is open, however long it takes; all of a round are deleted in bulk."""
    jobs = [here.submit(color=(k, 0, 0)) for k in range(10)]
    here.run()
    expire(here)
    object_store.requests.clear()
    object_store.delay = 1.0
    open_sessions = text(
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()"
    )
    with ThreadPoolExecutor(1) as thread:
        round_of_retention = thread.submit(retain, here)
        wait_until(lambda: deletions(object_store))
        with here.process.storage.database.transaction() as session:
            assert session.scalar(open_sessions) == 0
        round_of_retention.result()
    object_store.delay = 0.0
    assert all(here.job(job_id).deleted_at for job_id in jobs)
    assert len(here.stored()) == 0
    assert deletions(object_store) == 1


def test_a_store_that_fails_delays_deletion_and_no_more(
    here: Bench, api: TestClient, object_store: ObjectStore
) -> None:
    """Rows are deleted, the gauge shows what is due, and once the store answers the bytes go."""
    job_id = here.submit()
    here.run()
    object_store.failing = True
    assert api.post("/attribute", files={"image": encoded()}).status_code == 503
    assert api.delete(f"/attribute/{job_id}").status_code == 204
    assert api.get(f"/attribute/{job_id}").status_code == 410
    retain(here)
    assert gauge(api, "blobs_to_delete") > 0
    object_store.failing = False
    assert len(here.stored()) > 0
    expire(here)
    retain(here)
    assert len(here.stored()) == 0
    with here.process.storage.database.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM blobs WHERE due_at IS NOT NULL")) == 0


def test_objects_of_others_are_left_alone(here: Bench) -> None:
    """They do not end the search for what no row knows."""
    bucket = open_store(here.process.settings.blobs.url)
    foreign = ("README", "a/b/c", f"{uuid.uuid4()}/ab/no-hash")
    for name in foreign:
        obstore.put(bucket, name, b"of another program")
    here.process.storage.blobs.put(DEFAULT_TENANT, b"left behind", "image/png")
    retain(here)
    assert len(here.stored()) == 0
    assert {bytes(obstore.get(bucket, name).bytes()) for name in foreign} == {b"of another program"}


def test_bytes_that_are_being_deleted_are_not_used_again_meanwhile(here: Bench) -> None:
    """A caller who sends them then is asked to try again; a moment later they are stored anew."""
    storage = here.process.storage
    job_id = here.submit()
    blob = storage.blobs.put(DEFAULT_TENANT, b"the same pixels", "image/png")
    address = (DEFAULT_TENANT, blob.sha256)
    with storage.database.transaction() as session:
        blob_repository.insert_references(session, job_id, {"a/0": blob})
    with storage.database.transaction() as session:
        assert blob_repository.delete_references(session, job_id, ["original"]) == [address]
    with storage.database.statement() as session:
        assert blob_repository.claim_deletions(session, timedelta(minutes=1), [address]) == [address]
        assert blob_repository.claim_deletions(session, timedelta(minutes=1), [address]) == []
    with pytest.raises(StorageUnavailable), storage.database.transaction() as session:
        blob_repository.insert_references(session, job_id, {"a/0": blob})
    storage.blobs.delete_all([address])
    with storage.database.statement() as session:
        blob_repository.confirm_deletions(session, [address])
    with storage.database.transaction() as session:
        lost = blob_repository.insert_references(session, job_id, {"a/0": blob})
    storage.blobs.put_all(lost)
    assert storage.blobs.exists(*address)
    assert deletion.delete_due_bytes(storage.database, storage.blobs) == 0
