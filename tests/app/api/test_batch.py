"""POST /attribute/batch: each item is accepted or refused by itself, in one request."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from app.api.batch import BatchDocument
from app.db.database import Database
from app.db.models import Job
from tests.app.api.test_idempotency import losing_connections
from tests.app.images import encoded, noise

KEY = {"Idempotency-Key": '"batch-1"'}


def picture(seed: int = 0) -> str:
    """An image in base64."""
    return base64.b64encode(encoded(noise(seed=seed))).decode()


def post(client: TestClient, *items: Any, headers: dict[str, str] | None = None) -> Any:
    """Sends a batch."""
    return client.post("/attribute/batch", json={"items": list(items)}, headers=headers)


def answers(batch: Any) -> list[dict[str, Any]]:
    """The outcome of each item."""
    assert batch.status_code == 200, batch.text
    BatchDocument.model_validate(batch.json())
    items: list[dict[str, Any]] = batch.json()["items"]
    return items


def count(database: Database) -> int:
    """How many jobs there are."""
    with database.transaction() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


def test_the_outcomes_are_in_the_order_of_the_items(
    client: TestClient, database: Database, messages: Callable[[str], list[Any]]
):
    """As for a single request: a job, or a problem whose pointers are relative to the item."""
    batch = post(
        client,
        {"image": picture(0), "external_id": "first", "images_per_source": 1},
        {"image": picture(1), "images_per_source": 99},
        {"image_url": "https://images.example/a.png", "external_id": "third"},
        {"image": base64.b64encode(b"words").decode()},
        "nonsense",
        {"image_url": "http://10.0.0.1/"},
        {"image": picture(2), "sources": ["unknown"]},
    )
    found = answers(batch)
    assert [item["status"] for item in found] == [202, 422, 202, 415, 422, 422, 422]
    assert (found[0]["job"]["external_id"], found[2]["job"]["external_id"]) == ("first", "third")
    assert (found[0]["job"]["stage"], found[2]["job"]["stage"]) == ("screening", "fetching")
    assert found[1]["problem"]["errors"][0]["pointer"] == "#/images_per_source"
    assert [item["problem"]["type"] for item in found[3:]] == [
        "/problems/unsupported-image",
        "/problems/invalid-request",
        "/problems/address-refused",
        "/problems/unknown-source",
    ]
    assert count(database) == 2
    assert (len(messages("screen")), len(messages("fetch"))) == (1, 1)
    for item in (found[0], found[2]):
        assert client.get(f"/attribute/{item['job']['id']}").json() == item["job"]


def test_at_most_a_hundred_items_are_accepted(client: TestClient, database: Database):
    """One more and nothing is accepted."""
    item = {"image_url": "https://images.example/a.png", "sources": ["ant"]}
    assert {each["status"] for each in answers(post(client, *[item] * 100))} == {202}
    assert count(database) == 100
    over = post(client, *[item] * 101)
    assert (over.status_code, over.json()["errors"][0]["pointer"]) == (422, "#/items")
    assert count(database) == 100


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/items"),
        ({"items": []}, "#/items"),
        ({"items": {}}, "#/items"),
        ({"items": None}, "#/items"),
        ({"items": [{"image_url": "https://images.example/"}], "extra": 1}, "#/extra"),
        ([], "#"),
    ],
)
def test_an_invalid_batch_is_refused_as_a_whole(client: TestClient, database: Database, body: Any, pointer: str):
    """With a pointer."""
    answer = client.post("/attribute/batch", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-request")
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}
    assert count(database) == 0


def test_the_body_has_a_limit_and_each_image_its_own(start: Callable[..., TestClient]):
    """The first is a 413 of the request, the second one of the item."""
    small = start(intake={"max_batch_bytes": 1_000})
    assert post(small, {"image": picture()}).status_code == 413
    assert small.post("/attribute/batch", content=b"x", headers={"content-type": "text/plain"}).status_code == 415
    size = len(base64.b64decode(picture()))
    found = answers(
        post(start(intake={"max_bytes": size - 1}), {"image": picture()}, {"image_url": "https://a.example"})
    )
    assert [item["status"] for item in found] == [413, 202]


def test_repeated_with_its_key_it_creates_nothing(client: TestClient, database: Database):
    """Accepted items keep their jobs, refused ones are tried again; another batch with the key is a 422."""
    items = [{"image": picture(0)}, {"image": "?"}, {"image": picture(1)}]
    first, second = post(client, *items, headers=KEY), post(client, *items, headers=KEY)
    assert first.json() == second.json()
    assert [item["status"] for item in answers(second)] == [202, 422, 202]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    other = post(client, *items[:2], headers=KEY)
    assert (other.status_code, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    alone = client.post("/attribute", json=items[0], headers=KEY)
    assert (alone.status_code, alone.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert count(database) == 2


def test_a_retry_completes_a_batch_after_an_outage(client: TestClient, database: Database):
    """Earlier items keep their jobs, the item whose commit was lost is found or created, the rest is tried then."""
    items = [{"image_url": f"https://images.example/{number}.png"} for number in range(4)]
    with losing_connections(client.app_state["database"], committed=True, at=2):
        first = answers(post(client, *items, headers=KEY))
    assert [item["status"] for item in first] == [202, 503, 503, 503]
    assert count(database) == 2
    second = answers(post(client, *items, headers=KEY))
    assert [item["status"] for item in second] == [202] * 4
    assert second[0] == first[0]
    assert len({item["job"]["id"] for item in second}) == count(database) == 4


def test_cancel_after_counts_for_every_item(client: TestClient, database: Database):
    """It is a header of the request."""
    answers(post(client, {"image": picture()}, {"image_url": "https://a.example"}, headers={"Cancel-After": "60"}))
    with database.transaction() as session:
        spans = [job.cancel_at and job.cancel_at - job.created_at for job in session.scalars(select(Job))]
    assert [span and span.total_seconds() for span in spans] == [60, 60]


def test_the_limit_of_open_jobs_ends_a_batch(start: Callable[..., TestClient], database: Database):
    """The item above the limit is a 429, and the rest is not tried: decoding it would be wasted."""
    client = start(access={"concurrent_jobs": 2})
    found = answers(post(client, *[{"image_url": "https://a.example"}] * 4))
    assert [item["status"] for item in found] == [202, 202, 429, 429]
    assert count(database) == 2
