"""Which addresses of a vendor's response may see its key."""

import pytest

from attribution.resynthesis.remote.keys import may_see_key

BASE = "https://api.bfl.ai/v1"
HOSTS = ("bfl.ai",)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.bfl.ai/v1/get_result?id=1",
        "https://api.eu2.bfl.ai/v1/get_result?id=1",
        "https://bfl.ai/x",
        "https://api.bfl.ai:443/x",
        "HTTPS://API.BFL.AI/x",
    ],
)
def test_its_own(url: str) -> None:
    """The key may be sent over https to the vendor's host and its subdomains."""
    assert may_see_key(url, BASE, HOSTS)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.bfl.ai/v1/get_result",
        "https://evilbfl.ai/",
        "https://bfl.ai.evil.example/",
        "https://evil.example/bfl.ai",
        "https://evil.example#.bfl.ai",
        "https://evil.example\\.bfl.ai/",
        "https://api.bfl.ai@evil.example/",
        "https://user:word@api.bfl.ai/",
        "https://api.bfl.ai:8443/",
        "https://api.bfl.ai.:443.evil.example/",
        "https://api.bfl.ai /",
        "https://api.bfl.ai\n/",
        "//api.bfl.ai/x",
        "file:///etc/passwd",
        "https:///x",
        "https://[::1",
        "",
    ],
)
def test_anybody_elses(url: str) -> None:
    """The key is not sent to other addresses, nor to ambiguous ones."""
    assert not may_see_key(url, BASE, HOSTS)


def test_the_origin_that_is_called_anyway() -> None:
    """The key may be sent to the same scheme, host and port as the base URL."""
    own = "http://127.0.0.1:9900/bfl/v1"
    assert may_see_key("http://127.0.0.1:9900/elsewhere", own, HOSTS)
    assert not may_see_key("http://127.0.0.1:9901/bfl/v1", own, HOSTS)
    assert not may_see_key("https://127.0.0.1:9900/bfl/v1", own, HOSTS)
    assert not may_see_key("http://localhost:9900/bfl/v1", own, HOSTS)
