"""Uploaded reference images are screened like the query image: a hit ends the job and deletes its images."""

import io
import uuid
from collections.abc import Iterator, Sequence

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import text

from app.api import create_app
from app.db.blobs import Address, Blobs
from app.db.models import JobStatus, Stage
from app.errors import StorageUnavailable
from app.queue.steps import REFERENCE_QUEUE, sources_step, stage_step
from app.settings import AccessSettings
from attribution.ports import SourceState
from tests.workers.screening.conftest import Screened, noise_image
from workers.sweep import delete_expired


def png(image: Image.Image) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def api(screened: Screened) -> Iterator[TestClient]:
    """The API over the stores of the worker process."""
    process = screened.bench.process
    settings = process.settings.model_copy(update={"access": AccessSettings(anonymous=True)})
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        yield client
    process.storage.redis.flushall()


def submit(screened: Screened, api: TestClient, *files: tuple[str, bytes], **options: str) -> uuid.UUID:
    """Submits an image and runs the workers."""
    answer = api.post("/attribute", files=[("image", png(noise_image(1))), *files], data=options)
    assert answer.status_code == 202, answer.text
    job_id = uuid.UUID(answer.json()["id"])
    screened.bench.broker.enqueue([stage_step(Stage.SCREENING, job_id)])
    screened.bench.run()
    return job_id


def upload(screened: Screened, api: TestClient, job_id: uuid.UUID, source: str, *images: Image.Image) -> None:
    """Uploads references that the job awaits, and runs the workers."""
    files = [("reference", png(image)) for image in images]
    assert api.post(f"/attribute/{job_id}/references/{source}", files=files).status_code == 200
    screened.bench.broker.enqueue([sources_step(job_id, REFERENCE_QUEUE)])
    screened.bench.run()


def test_what_comes_with_the_image_is_screened_with_it(screened: Screened, api: TestClient) -> None:
    """Before anything is generated, whichever of the generated images it is."""
    screened.ban(noise_image(3))
    files = [("reference[b]", png(noise_image(2))), ("reference[b]", png(noise_image(3)))]
    job = screened.job(submit(screened, api, *files, prompt="a secret"))
    assert (job.status, job.error and job.error["screening"]) == (
        JobStatus.FAILED,
        {"kind": "hash_list", "name": "banned"},
    )
    assert screened.bench.sources(job.id)["a"].attempt == 0
    assert screened.files() == []
    assert (job.prompt, job.caption) == (None, None)


def test_what_is_awaited_is_screened_when_it_comes(screened: Screened, api: TestClient) -> None:
    """The job ends over it, what else it waits for is skipped, nothing is kept, and it is written down."""
    screened.ban(noise_image(3))
    job_id = submit(screened, api, await_references="a,b")
    upload(screened, api, job_id, "a", noise_image(2), noise_image(3))
    job = screened.job(job_id)
    assert (job.status, job.error and job.error["screening"]) == (
        JobStatus.FAILED,
        {"kind": "hash_list", "name": "banned"},
    )
    assert (job.prompt, job.caption, job.images_deleted_at is None) == (None, None, False)
    assert screened.files() == []
    assert {row.state for row in screened.bench.sources(job_id).values()} == {SourceState.SKIPPED}
    assert [entry.action for entry in screened.audited() if entry.subject == str(job_id)] == ["job.screened"]
    polled = api.get(f"/attribute/{job_id}").json()
    assert (polled["status"], polled["error"]["type"], polled["caption"]) == (
        "failed",
        "/problems/screening-refused",
        None,
    )


def test_what_passes_is_ranked(screened: Screened, api: TestClient) -> None:
    """Other lists and other images do not matter."""
    screened.ban(noise_image(9))
    job_id = submit(screened, api, await_references="a,b")
    upload(screened, api, job_id, "a", noise_image(2))
    upload(screened, api, job_id, "b", noise_image(3))
    assert screened.job(job_id).status == JobStatus.SUCCEEDED


def test_a_hit_ends_the_job_though_the_store_is_down(screened: Screened, api: TestClient) -> None:
    """The images cannot be read any more; their bytes are deleted once the store answers again."""
    screened.ban(noise_image(3))
    job_id = submit(screened, api, await_references="a,b")
    process = screened.bench.process
    store = process.storage.blobs

    class Stuck(Blobs):
        """A store that deletes nothing."""

        def delete_all(self, addresses: Sequence[Address], until: float | None = None) -> None:
            raise StorageUnavailable("unavailable")

    object.__setattr__(process.storage, "blobs", Stuck(process.settings.blobs.url))
    upload(screened, api, job_id, "a", noise_image(3))
    assert screened.job(job_id).status == JobStatus.FAILED
    assert api.get(f"/attribute/{job_id}/images/query").status_code == 410
    assert screened.files() != []
    object.__setattr__(process.storage, "blobs", store)
    with process.storage.database.transaction() as session:
        session.execute(text("UPDATE blobs SET due_at = now() WHERE due_at IS NOT NULL"))
    delete_expired(process.storage, process.settings.retention)
    assert screened.files() == []
