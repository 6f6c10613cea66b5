"""GET /attribute/{id}/images: what the models saw and what the sources generated, for its tenant's people, audited."""

import io
import uuid
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import select, text, update

from app.db.blob_repository import insert_references
from app.db.blobs import Blobs
from app.db.database import Database
from app.db.models import DEFAULT_TENANT, AuditEntry, JobSource
from app.db.types import ImageRecord
from app.settings import Settings
from attribution.image import encode_bmp
from tests.app.images import encoded, noise
from tests.app.worker import accept


@pytest.fixture
def generated_image(client: TestClient, database: Database, settings: Settings) -> str:
    """The path of the only generated image of a job that has been screened."""
    location: str = client.post("/attribute", files={"image": encoded(noise(300, 200), "JPEG")}).headers["location"]
    job_id = uuid.UUID(location.rpartition("/")[2])
    blobs = Blobs(settings.blobs.url)
    query = blobs.put(DEFAULT_TENANT, encode_bmp(noise(300, 200)), "image/bmp")
    stored = blobs.put(DEFAULT_TENANT, encoded(noise(64, 64)), "image/png")
    with database.transaction() as session:
        insert_references(session, job_id, {"query": query, "ant/0": stored})
        session.execute(
            text("UPDATE jobs SET query_blob = :query WHERE id = :id"), {"id": job_id, "query": query.sha256}
        )
        session.execute(
            update(JobSource)
            .where(JobSource.job_id == job_id, JobSource.source == "ant")
            .values(generated_images=(ImageRecord(0, 1, stored.sha256),))
        )
    (link,) = next(
        each["generated_images"] for each in client.get(location).json()["sources"] if each["source"] == "ant"
    )
    return str(link)


def test_the_links_of_a_job_lead_to_its_images(client: TestClient, generated_image: str):
    """Canonical images, private, with headers that make them harmless in a browser."""
    job = client.get(generated_image.partition("/images")[0]).json()
    for link, kind, size in ((job["query_image"], "BMP", (300, 200)), (generated_image, "PNG", (64, 64))):
        answer = client.get(link)
        assert (answer.status_code, answer.headers["content-type"]) == (200, f"image/{kind.lower()}")
        image = Image.open(io.BytesIO(answer.content))
        assert (image.format, image.size) == (kind, size)
        assert int(answer.headers["content-length"]) == len(answer.content)
        assert answer.headers["cache-control"].startswith("private")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["content-disposition"].startswith('inline; filename="')
        again = client.get(link, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])


def test_reading_an_image_is_audited(client: TestClient, database: Database, generated_image: str):
    """One entry per image that is read; a 404 has none."""
    client.get(generated_image, headers={"X-Request-Id": "look-1"})
    client.get(generated_image + "7")
    with database.transaction() as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.action == "job.image_read")).all()
        (entry,) = entries
        assert (entry.subject, entry.request_id, entry.detail) == (
            generated_image.split("/")[2],
            "look-1",
            {"image": "ant/0"},
        )


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("bee/0", 404),
        ("ant/1", 404),
        ("unknown/0", 404),
        ("original", 404),
        ("features", 404),
        ("ant/16", 404),
        ("ant/-1", 404),
        ("ant/x", 404),
        ("a%00b/0", 404),
        ("query/0", 404),
    ],
)
def test_no_other_image_is_served(client: TestClient, generated_image: str, path: str, status: int):
    """Neither the original upload, nor vectors, nor images that were not generated."""
    assert client.get(f"{generated_image.partition('/images')[0]}/images/{path}").status_code == status


def test_a_job_without_its_image_yet_has_none(client: TestClient, database: Database):
    """404 until it is fetched, and no link."""
    job_id = accept(database)
    assert client.get(f"/attribute/{job_id}").json()["query_image"] is None
    assert client.get(f"/attribute/{job_id}/images/query").status_code == 404
    assert client.get(f"/attribute/{uuid.uuid4()}/images/query").status_code == 404


def test_deleted_images_are_a_410(client: TestClient, database: Database, generated_image: str):
    """410 after retention, when the job has no links any more, and 410 after the job itself was deleted."""
    location = generated_image.partition("/images")[0]
    with database.transaction() as session:
        session.execute(text("DELETE FROM blob_references"))
        session.execute(text("UPDATE jobs SET images_deleted_at = now()"))
    client.app_state["snapshots"]._redis.flushall()
    job = client.get(location).json()
    assert (job["query_image"], {link for each in job["sources"] for link in each["generated_images"]}) == (None, set())
    assert client.get(generated_image).status_code == 410
    client.delete(location)
    for link in (generated_image, f"{location}/images/query", location):
        assert (client.get(link).status_code, client.get(link).json()["type"]) == (410, "/problems/deleted")


def test_images_deleted_meanwhile_are_a_410(client: TestClient, generated_image: str):
    """The row still exists, the file does not any more."""
    blobs = client.app_state["blobs"]
    for portion in blobs.listed(timedelta(seconds=-5)):
        blobs.delete_all(portion)
    assert client.get(generated_image).status_code == 410
