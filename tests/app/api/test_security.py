"""Headers for browsers, and what no response contains."""

import hashlib
import re
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from app.api.documentation import Asset
from tests.conftest import REPOSITORY

ASSETS = (Asset.STYLE, Asset.PROGRAM, Asset.START)
PAGE = "https://console.example"


@pytest.mark.parametrize("path", ["/sources", "/livez", "/openapi.json", "/nowhere", "/problems/not-found"])
def test_every_response_restricts_browsers(client: TestClient, path: str):
    """Not sniffed, not framed, not stored, and it loads nothing; HSTS only where it is configured."""
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors 'none'")
    assert "strict-transport-security" not in headers
    assert "access-control-allow-origin" not in headers


def test_hsts_is_sent_where_configured(start: Callable[..., TestClient]):
    """For a year."""
    headers = start(api={"https": True}).get("/livez").headers
    assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"


def test_the_documentation_page_is_served_whole(client: TestClient):
    """It names its own files only, which are served without a key, and its policy allows no others."""
    page = client.get("/docs")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert [name for name in named if name != "data:,"] == [f"/docs/{asset.value}" for asset in ASSETS]
    assert "<script>" not in page.text
    policy = dict(rule.split(" ", 1) for rule in page.headers["content-security-policy"].split("; "))
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert policy["default-src"] == "'none'"
    assert not re.search(r"https?:", page.headers["content-security-policy"])
    assert client.get("/redoc").status_code == 404
    del client.headers["authorization"]
    types = [client.get(f"/docs/{asset.value}").headers["content-type"].partition(";")[0] for asset in ASSETS]
    assert types == ["text/css", "text/javascript", "text/javascript"]
    assert client.get("/docs/..%2fdocumentation.py").status_code in (404, 422)


def test_the_files_of_others_are_the_recorded_ones():
    """The README beside them has the version and the hashes."""
    folder = REPOSITORY / "app/api/swagger_ui"
    recorded = dict(
        re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", (folder / "README.md").read_text(), re.MULTILINE)
    )
    assert recorded.keys() == {Asset.PROGRAM, Asset.STYLE}
    for name, digest in recorded.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("path", ["/livez", "/sources", "/docs"])
def test_no_other_page_can_embed_a_response(client: TestClient, path: str):
    """Not as an image or a script, and not by a window of its own."""
    headers = client.get(path).headers
    assert headers["cross-origin-resource-policy"] == headers["cross-origin-opener-policy"] == "same-origin"


def test_metrics_are_closed_unless_they_are_opened(start: Callable[..., TestClient]):
    """Neither without a token nor with an API key, unless a setting says so."""
    closed = start(metrics={"open": False})
    assert closed.get("/metrics").status_code == 401
    del closed.headers["authorization"]
    assert closed.get("/metrics", headers={"Authorization": "Bearer None"}).status_code == 401
    assert start(metrics={"open": True}).get("/metrics").status_code == 200


def test_other_origins_must_be_configured(start: Callable[..., TestClient]):
    """Without the setting a preflight is a 405; with it, that origin may call the API and read its headers."""
    asking = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    closed = start().options("/attribute", headers=asking)
    assert closed.status_code == 405
    assert "access-control-allow-origin" not in closed.headers
    client = start(api={"cors_origins": (PAGE,)})
    del client.headers["authorization"]  # a preflight never has one
    allowed = client.options("/attribute", headers=asking)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == PAGE
    assert client.options("/attribute", headers=asking | {"Origin": "https://evil.example"}).status_code == 400
    shown = client.get("/sources", headers={"Origin": PAGE}).headers
    assert shown["access-control-allow-origin"] == PAGE
    assert {"RateLimit", "Retry-After", "Location"} <= set(shown["access-control-expose-headers"].split(", "))
