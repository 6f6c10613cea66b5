"""Headers for browsers, and what no response contains."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

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


def test_the_documentation_page_may_run_its_own_script_only(client: TestClient):
    """Each script of the page is allowed by its hash or its origin; an injected script is not."""
    page = client.get("/docs")
    policy = page.headers["content-security-policy"]
    (rules,) = [rule for rule in policy.split("; ") if rule.startswith("script-src")]
    assert rules.count("'sha256-") == page.text.count("<script>") == 1
    assert "unsafe" not in rules
    assert client.get("/redoc").status_code == 404


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
