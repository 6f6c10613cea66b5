"""GET /sources: the catalog as data."""

from fastapi.testclient import TestClient


def test_all_sources_are_listed_in_catalog_order(client: TestClient):
    """Disabled and retired ones included."""
    listed = client.get("/sources").json()["sources"]
    assert [source["id"] for source in listed] == ["ant", "bee", "cat", "dog", "elk", "fox"]
    assert [source["id"] for source in listed if not source["enabled"]] == ["dog"]
    assert {key: listed[4][key] for key in ("name", "family", "platform", "model", "revision", "license")} == {
        "name": "Source elk",
        "family": "fake",
        "platform": "local",
        "model": "fake",
        "revision": "1",
        "license": "none",
    }
    assert listed[4]["lifecycle"] == {
        "state": "retired",
        "until": None,
        "since": "2024-01-01",
        "note": "Elk was switched off.",
        "successor": None,
    }
    assert {
        key: listed[0][key]
        for key in ("external", "seed", "sizes", "images_per_source", "price_usd", "terms", "warning")
    } == {
        "external": False,
        "seed": "yes",
        "sizes": [],
        "images_per_source": None,
        "price_usd": None,
        "terms": None,
        "warning": None,
    }
    assert listed[0]["limits"]["timeout_seconds"] > 0


def test_one_source_is_shown_as_it_is_listed(client: TestClient):
    """An unknown id is a 404."""
    assert client.get("/sources/bee").json() == client.get("/sources").json()["sources"][1]
    missing = client.get("/sources/gnu")
    assert (missing.status_code, missing.json()["type"]) == (404, "/problems/not-found")
