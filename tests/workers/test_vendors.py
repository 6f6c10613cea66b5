"""The connections of remote sources: keys come from settings, images through the guarded client."""

from socket import socket
from threading import Event
from typing import Any

import pytest

from app.settings import Settings
from attribution.errors import SourceError, SourceTimeout, SourceUnavailable
from attribution.ports import Deadline
from tests.app.egress.site import Site, reply, serve
from workers.decoder_processes import DecoderProcesses
from workers.vendors import VendorConnections


def world(**groups: Any) -> VendorConnections:
    """One that connects to nothing yet."""
    urls: dict[str, Any] = {"database": {"url": "postgresql://x"}, "redis": {"url": "redis://x"}}
    settings = Settings(**urls | groups)
    return VendorConnections(settings, DecoderProcesses(settings.intake))


@pytest.fixture
def site():
    """A server on loopback, which the guarded client does not call unless it is allowed."""
    with serve() as site:
        yield site


def test_keys_come_from_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """From a variable or from a file, by any name; what is not there is None, and none is shown."""
    (tmp_path / "key").write_text("of-bfl\n")
    monkeypatch.setenv("VENDOR_KEYS__OPENAI", "of-openai")
    monkeypatch.setenv("VENDOR_KEYS__BFL_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("VENDOR_KEYS__OUR_RACK_7", "of-rack")
    settings = Settings(database={"url": "postgresql://x"}, redis={"url": "redis://x"})
    opened = VendorConnections(settings, DecoderProcesses(settings.intake))
    found = [opened.ports.secrets(name) for name in ("openai", "bfl", "our_rack_7", "unknown")]
    opened.close()
    assert found == ["of-openai", "of-bfl", "of-rack", None]
    assert "of-" not in repr(settings)


def test_a_generated_image_is_fetched_by_the_guarded_client(site: Site) -> None:
    """A vendor's response may contain any address; one that is not public is not called."""
    opened = world()
    with pytest.raises(SourceError, match="public"):
        opened.ports.fetch(site.url("/x.png"), 1_000, Deadline.after(9))
    opened.close()
    assert site.requests == []


def test_what_is_allowed_is_fetched(site: Site) -> None:
    """Bytes; or the reason why there are none, and whether it is worth another try."""
    site.answers |= {"/x": reply(b"bytes"), "/gone": reply(b"", 403), "/busy": reply(b"", 503)}
    opened = world(egress={"allow": ["127.0.0.1"]})
    fetch = opened.ports.fetch
    assert fetch(site.url("/x"), 1_000, Deadline.after(9)) == b"bytes"
    with pytest.raises(SourceError, match="403") as gone:
        fetch(site.url("/gone"), 1_000, Deadline.after(9))
    assert gone.value.permanent
    with pytest.raises(SourceUnavailable, match="503"):
        fetch(site.url("/busy"), 1_000, Deadline.after(9))
    with pytest.raises(SourceError, match="at most 3 bytes"):
        fetch(site.url("/x"), 3, Deadline.after(9))
    opened.close()


def test_fetching_ends_with_the_deadline(site: Site) -> None:
    """Not with the longer time that callers' images are given."""
    over = Event()

    def hang(channel: socket) -> None:
        over.wait(60)

    site.answers["/x"] = hang
    opened = world(egress={"allow": ["127.0.0.1"]})
    with pytest.raises(SourceTimeout):
        opened.ports.fetch(site.url("/x"), 1_000, Deadline.after(0.3))
    over.set()
    opened.close()
