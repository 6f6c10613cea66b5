"""/screening: a tenant's own hash lists and text rules, no other tenant's; changes are atomic."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.access.identity import Scope
from app.api.dependencies import Identity, get_caller
from app.db.database import Database
from app.db.models import AuditEntry, Tenant, TextRule
from tests.app.api.conftest import overrides

A, B = ("a" * 64, "b" * 64)
CSV = {"Content-Type": "text/csv; charset=utf-8"}
RULE = {"name": "house rule", "kind": "words", "pattern": "gun"}
LISTS, RULES = "/screening/hash-lists", "/screening/text-rules"


def upload(client: TestClient, body: str | bytes, name: str = "house list", **query: Any) -> Any:
    """Posts a list."""
    return client.post(LISTS, params={"name": name} | query, content=body, headers=CSV)


@pytest.fixture
def as_other(client: TestClient, database: Database) -> Callable[[], None]:
    """From its call on, the client's requests are another tenant's."""
    with database.transaction() as session:
        tenant = Tenant(id=uuid.uuid4(), name="other")
        session.add(tenant)
    other = Identity(tenant.id, "key:other", frozenset(Scope))

    async def get_other() -> Identity:
        return other

    def switch() -> None:
        overrides(client)[get_caller] = get_other

    return switch


def test_a_list_is_saved_and_deleted(client: TestClient) -> None:
    """Created, found at its Location, replaced under the same id, deleted."""
    made = upload(client, f"hash,type,quality\n{A},pdq,\n{B},pdq,\nabc,md5,\n{A},pdq,1\n", max_distance=20)
    assert made.status_code == 201
    document = made.json()
    assert (document["hashes"], document["other_types"], document["low_quality"]) == (2, 1, 1)
    found = client.get(made.headers["Location"])
    assert found.json().items() <= document.items()
    assert found.json()["max_distance"] == 20
    replaced = upload(client, A)
    assert (replaced.status_code, replaced.headers["Location"]) == (200, made.headers["Location"])
    (listed,) = client.get(LISTS).json()["hash_lists"]
    assert (listed["id"], listed["hashes"], listed["max_distance"]) == (document["id"], 1, 31)
    assert listed["updated_at"] > document["updated_at"]
    assert client.delete(made.headers["Location"]).status_code == 204
    assert client.get(made.headers["Location"]).status_code == 404
    assert client.delete(made.headers["Location"]).status_code == 404
    assert client.get(LISTS).json() == {"hash_lists": []}


def test_a_rule_is_saved_and_deleted(client: TestClient) -> None:
    """Created, found at its Location, replaced under the same id, deleted."""
    made = client.post(RULES, json=RULE)
    assert made.status_code == 201
    assert made.json().items() >= RULE.items()
    assert client.get(made.headers["Location"]).json() == made.json()
    replaced = client.post(RULES, json=RULE | {"kind": "regex", "pattern": "kn.fe"})
    assert (replaced.status_code, replaced.headers["Location"]) == (200, made.headers["Location"])
    assert client.get(RULES).json() == {"text_rules": [replaced.json()]}
    assert client.delete(made.headers["Location"]).status_code == 204
    assert client.delete(made.headers["Location"]).status_code == 404
    assert client.get(RULES).json() == {"text_rules": []}


def test_another_tenants_lists_and_rules_do_not_exist(client: TestClient, as_other: Callable[[], None]) -> None:
    """Another tenant's ids are 404 to read and to delete, and its names can be used."""
    made = [upload(client, A), client.post(RULES, json=RULE)]
    as_other()
    for each in made:
        unknown = each.headers["Location"].replace(each.json()["id"], str(uuid.uuid4()))
        for method in ("GET", "DELETE"):
            refused, nothing = (client.request(method, path) for path in (each.headers["Location"], unknown))
            assert refused.status_code == nothing.status_code == 404
            assert refused.json()["detail"].replace(each.json()["id"], "") == nothing.json()["detail"].replace(
                unknown.rpartition("/")[2], ""
            )
    assert client.get(LISTS).json() == {"hash_lists": []}
    assert client.get(RULES).json() == {"text_rules": []}
    assert upload(client, B).status_code == client.post(RULES, json=RULE).status_code == 201
    overrides(client).clear()
    assert client.get(made[0].headers["Location"]).json()["hashes"] == 1


def test_lists_for_all_tenants_are_not_shown(client: TestClient, database: Database) -> None:
    """The operator's global rules are no tenant's own."""
    with database.transaction() as session:
        session.add(TextRule(id=(rule_id := uuid.uuid4()), name="house rule", kind="words", pattern="gun"))
    assert client.get(RULES).json() == {"text_rules": []}
    assert client.get(f"{RULES}/{rule_id}").status_code == 404
    assert client.delete(f"{RULES}/{rule_id}").status_code == 404
    assert client.post(RULES, json=RULE).status_code == 201


def test_every_change_is_audited(client: TestClient, database: Database) -> None:
    """Who changed which list or rule, in which request, without its content."""
    made = [upload(client, A), client.post(RULES, json=RULE)]
    for each in made:
        client.delete(each.headers["Location"], headers={"X-Request-Id": "removal"})
    with database.transaction() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    ids = [each.json()["id"] for each in made]
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("hash_list.saved", ids[0]),
        ("text_rule.saved", ids[1]),
        ("hash_list.deleted", ids[0]),
        ("text_rule.deleted", ids[1]),
    ]
    assert [entry.detail for entry in entries[:2]] == [{"name": "house list"}, {"name": "house rule"}]
    (key,) = client.get("/keys").json()["keys"]
    assert {entry.actor for entry in entries} == {f"key:{key['id']}"}
    assert entries[0].request_id == made[0].headers["X-Request-Id"]
    assert entries[2].request_id == "removal"


def test_an_invalid_file_changes_nothing(client: TestClient, database: Database) -> None:
    """Every invalid line is named; the list stays as it was, and no new one is created."""
    upload(client, A)
    refused = upload(client, f"{B}\nhalf a hash\n")
    assert refused.status_code == 422
    assert [error["detail"] for error in refused.json()["errors"]] == [
        "line 2: 'half a hash' is not a PDQ hash, which has 64 hexadecimal digits"
    ]
    assert upload(client, "half a hash", name="another").status_code == 422
    (listed,) = client.get(LISTS).json()["hash_lists"]
    assert listed["hashes"] == 1
    with database.transaction() as session:
        assert len(session.scalars(select(AuditEntry)).all()) == 1


@pytest.mark.parametrize(("kept", "sent"), [(1_000, A + "\n"), (1_000, "x" * 10_000), (64, A + "\n"), (65, A + "\n")])
def test_a_file_that_is_too_large_is_refused(start: Callable[..., TestClient], kept: int, sent: str) -> None:
    """Exactly the limit is accepted; a byte more is refused."""
    client = start(screening={"max_list_bytes": kept})
    refused = upload(client, sent)
    assert refused.status_code == (413 if len(sent) > kept else 201)
    if refused.status_code == 413:
        assert refused.json()["max_bytes"] == kept


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ({"name": "x"}, {"Content-Type": "application/json"}, 415),
        ({"name": "x"}, {}, 415),
        ({}, CSV, 422),
        ({"name": ""}, CSV, 422),
        ({"name": "x" * 101}, CSV, 422),
        ({"name": "a\nb"}, CSV, 422),
        ({"name": "a\0b"}, CSV, 422),
        ({"name": "x", "max_distance": "65"}, CSV, 422),
        ({"name": "x", "max_distance": "-1"}, CSV, 422),
    ],
)
def test_invalid_requests_for_a_list(
    client: TestClient, query: dict[str, str], headers: dict[str, str], status: int
) -> None:
    """Wrong names, distances and media types are refused as problems."""
    refused = client.post(LISTS, params=query, content=A, headers=headers)
    assert refused.status_code == status
    assert refused.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "regex", "pattern": "("},
        {"kind": "poem"},
        {"pattern": ""},
        {"pattern": "!"},
        {"pattern": "a\0b"},
        {"pattern": "x" * 4_001},
        {"name": "a\0b"},
        {"color": "red"},
    ],
)
def test_invalid_requests_for_a_rule(client: TestClient, change: dict[str, str]) -> None:
    """An invalid rule is refused with the reason, and not stored."""
    refused = client.post(RULES, json=RULE | change)
    assert refused.status_code == 422
    assert refused.json()["type"] == "/problems/invalid-request"
    assert refused.json()["errors"]
    assert client.get(RULES).json() == {"text_rules": []}


def test_the_number_of_lists_and_rules_is_limited(client: TestClient) -> None:
    """A rule costs time in each job of the tenant, so their number is limited; existing ones can still be changed."""
    for k in range(200):
        assert client.post(RULES, json=RULE | {"name": str(k)}).status_code == 201
    assert client.post(RULES, json=RULE | {"name": "one more"}).status_code == 422
    assert client.post(RULES, json=RULE | {"name": "7"}).status_code == 200
    assert len(client.get(RULES).json()["text_rules"]) == 200
