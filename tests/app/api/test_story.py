"""An upload over HTTP: accepted, committed, enqueued, polled."""

import hashlib
import uuid
from collections.abc import Callable
from typing import Any

import obstore
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db.blobs import open_store
from app.db.database import Database
from app.db.models import DEFAULT_TENANT, BlobReference, Job
from app.settings import Settings
from tests.app.images import encoded, noise


def test_an_upload_becomes_a_job_that_can_be_polled(
    client: TestClient, database: Database, messages: Callable[[str], list[Any]], settings: Settings
):
    """POST responds with a queued job; its bytes are stored, its message is queued, and GET has the same document."""
    data = encoded(noise(1500, 1000), "JPEG")
    answer = client.post(
        "/attribute",
        files={"image": ("holiday.png", data, "image/png")},
        data={"sources": "ant,cat", "images_per_source": "2", "prompt": "a goat", "seed": "7"},
    )
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"/attribute/{job['id']}"
    assert answer.headers["retry-after"] == "1"
    assert (job["status"], job["stage"], job["images_per_source"], job["prompt"], job["seed"]) == (
        "queued",
        "screening",
        2,
        "a goat",
        7,
    )
    assert job["image"] == {
        "format": "JPEG",
        "width": 1500,
        "height": 1000,
        "frames": 1,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
    }
    assert [(source["source"], source["state"]) for source in job["sources"]] == [
        ("ant", "pending"),
        ("cat", "pending"),
    ]

    polled = client.get(answer.headers["location"])
    assert polled.json() == job
    assert polled.headers["retry-after"] == "1"

    with database.transaction() as session:
        row = session.get_one(Job, uuid.UUID(job["id"]))
        uses = {
            use.role: use.sha256 for use in session.scalars(select(BlobReference).where(BlobReference.job_id == row.id))
        }
    assert uses == {"original": job["image"]["sha256"]}  # what the models look at is made by a worker
    assert job["query_image"] is row.query_blob is None
    store = open_store(settings.blobs.url)
    assert bytes(obstore.get(store, f"{DEFAULT_TENANT}/{uses['original'][:2]}/{uses['original']}").bytes()) == data
    assert messages("screen")[0]["headers"]["task"] == "workers.screen"
