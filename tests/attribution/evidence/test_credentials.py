"""Content credentials: an intact signature, a trusted one, a changed file, and no network whatever the file says."""

import io
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import c2pa
import pytest

from attribution.evidence.credentials import MARKER, credential_findings, read_trust_lists
from attribution.evidence.finding import Finding, Kind, Trust
from attribution.evidence.read import read
from tests.app.images import encoded, noise
from tests.attribution.evidence.signing import GENERATED as SOURCE_TYPE
from tests.attribution.evidence.signing import Authority

EMPTY = "http://c2pa.org/digitalsourcetype/empty"
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF")


def actions(*listed: dict[str, Any]) -> dict[str, Any]:
    """The assertion with these actions."""
    return {"label": "c2pa.actions.v2", "data": {"actions": list(listed)}}


def edited(source_type: str) -> dict[str, Any]:
    """An action that states the source type in its parameters, with a vendor's prefix."""
    said = {"com.example.details": "Flux Kontext", "com.example.digitalSourceType": source_type}
    return {"action": "c2pa.edited", "parameters": said}


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Who signs in these tests."""
    return Authority()


@pytest.fixture(scope="module")
def signed(authority: Authority) -> bytes:
    """A JPEG that its credentials say was generated."""
    return authority.sign(encoded(noise(), "JPEG"), "image/jpeg")


def only(data: bytes, trust_list: str | None = None) -> Finding:
    """The one finding about the credentials, with a trust list named `issuers.pem`."""
    lists = {} if trust_list is None else {"issuers.pem": trust_list}
    (finding,) = [finding for finding in read(data, lists) if finding.kind is Kind.C2PA]
    return finding


def changed(data: bytes, old: bytes, new: bytes) -> bytes:
    """The file with a few bytes of it replaced."""
    assert data.count(old) == 1
    return data.replace(old, new)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_intact_signature_of_an_unknown_issuer_is_called_that(authority: Authority, kind: str):
    """In every format with credentials, the finding has the claim and the caveat of an unknown issuer."""
    finding = only(authority.sign(encoded(noise(), kind), f"image/{kind.lower()}"))
    assert finding.trust is Trust.UNTRUSTED_ISSUER
    assert finding.claim == "Says that the image was created by a generative AI model, and names Generate Machine 3."
    assert finding.caveat.startswith("The signature is intact, but its issuer is not on a trust list")
    assert (finding.generator, finding.source_type, finding.says_ai) == (
        "Generate Machine 3",
        "trainedAlgorithmicMedia",
        True,
    )
    assert dict(finding.details)["claim_generator"] == "Test Claims 1.0"
    assert dict(finding.details)["issuer"] == "Works of Test"
    assert dict(finding.details)["actions"] == "c2pa.created"


def test_an_issuer_on_the_operators_list_is_verified(authority: Authority, signed: bytes):
    """With the root's certificate on the list it is; with that of another root of the same name it is not."""
    assert only(signed, authority.root).trust is Trust.VERIFIED
    assert only(signed, Authority().root).trust is Trust.UNTRUSTED_ISSUER


def test_the_trust_list_that_matched_is_named(authority: Authority, signed: bytes, tmp_path: Path):
    """Of several lists in a folder: in the caveat and in the details; an issuer on none of them gets neither."""
    (tmp_path / "a-others.pem").write_text(Authority().root)
    (tmp_path / "b-ours.pem").write_text(authority.root)
    (finding,) = read(signed, read_trust_lists(tmp_path))
    assert (finding.trust, dict(finding.details)["trust_list"]) == (Trust.VERIFIED, "b-ours.pem")
    assert "the trust list b-ours.pem" in finding.caveat
    (finding,) = read(Authority().sign(encoded(noise(), "JPEG"), "image/jpeg"), read_trust_lists(tmp_path))
    assert (finding.trust, "trust_list" in dict(finding.details)) == (Trust.UNTRUSTED_ISSUER, False)


@pytest.mark.parametrize(
    ("assertions", "generator", "place"),
    [
        (
            [actions({"action": "c2pa.created", "digitalSourceType": EMPTY}, edited(SOURCE_TYPE))],
            "Flux Kontext",
            "c2pa.edited parameters com.example.digitalSourceType",
        ),
        (
            [actions({"action": "c2pa.created", "digitalSourceType": EMPTY, "softwareAgent": {"name": "GPT-4o"}})],
            "GPT-4o",
            "c2pa.created softwareAgent",
        ),
        (
            [
                actions({"action": "c2pa.created", "digitalSourceType": EMPTY}),
                {
                    "label": "cawg.metadata",
                    "kind": "Json",
                    "data": {
                        "@context": {"Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"},
                        "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE,
                        "Iptc4xmpExt:AISystemUsed": "Generate Machine",
                    },
                },
            ],
            "Generate Machine",
            "cawg.metadata Iptc4xmpExt:DigitalSourceType",
        ),
    ],
    ids=["parameters", "agent", "metadata"],
)
def test_generation_is_found_wherever_it_is_stated(
    authority: Authority, assertions: list[dict[str, Any]], generator: str, place: str
):
    """In an action's parameters, by a software agent that only generates, and in metadata; the place is named."""
    finding = only(authority.sign(encoded(noise(), "JPEG"), "image/jpeg", assertions=assertions))
    assert (finding.says_ai, finding.generator, dict(finding.details)["found_in"]) == (True, generator, place)


def test_an_edit_with_an_ordinary_agent_says_nothing_about_ai(authority: Authority):
    """An editor's name in the same places is no generator."""
    said = [
        actions({"action": "c2pa.created", "digitalSourceType": EMPTY, "softwareAgent": {"name": "Adobe Photoshop"}})
    ]
    finding = only(authority.sign(encoded(noise(), "JPEG"), "image/jpeg", assertions=said))
    assert (finding.says_ai, finding.generator) == (False, "Adobe Photoshop")


def test_a_camera_is_no_ai(authority: Authority):
    """The source type decides, not that there are credentials."""
    captured = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    finding = only(authority.sign(encoded(noise(), "JPEG"), "image/jpeg", captured))
    assert finding.claim.startswith("Says that the image was captured by a digital camera")
    assert not finding.says_ai


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"Generate Machine", b"Original Machine", "assertion.hashedURI.mismatch"),
        (b"Test Claims", b"Real Claims", "claimSignature.mismatch"),
    ],
)
def test_a_changed_manifest_is_tampered(authority: Authority, signed: bytes, old: bytes, new: bytes, code: str):
    """Neither what it says nor who says so can be exchanged, even where the issuer is trusted."""
    finding = only(changed(signed, old, new), authority.root)
    assert finding.trust is Trust.TAMPERED
    assert code in dict(finding.details)["failed"]


def test_changed_pixels_are_tampered(authority: Authority, signed: bytes):
    """The credentials are about other pixels than these."""
    at = len(signed) - 200
    finding = only(signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :], authority.root)
    assert finding.trust is Trust.TAMPERED
    assert "assertion.dataHash.mismatch" in dict(finding.details)["failed"]


def test_credentials_moved_to_another_image_are_tampered(authority: Authority, signed: bytes):
    """A segment copied from another file does not have a valid signature."""
    other = encoded(noise(seed=1), "JPEG")
    start = signed.index(b"\xff\xeb")
    end = start + 2 + int.from_bytes(signed[start + 2 : start + 4], "big")
    assert only(other[:2] + signed[start:end] + other[2:], authority.root).trust is Trust.TAMPERED


def test_an_expired_certificate_verifies_nothing():
    """Without a time stamp, an expired certificate cannot be verified."""
    brief = Authority(timedelta(seconds=2))
    data = brief.sign(encoded(noise(), "JPEG"), "image/jpeg")
    time.sleep(3)
    finding = only(data, brief.root)
    assert finding.trust is Trust.UNVERIFIED_SIGNATURE
    assert "signingCredential" in dict(finding.details)["failed"]


def test_broken_credentials_are_reported(signed: bytes):
    """There is something, and it cannot be read."""
    at = signed.index(MARKER)
    broken = signed[: at + 20] + bytes(60) + signed[at + 80 :]
    assert only(broken).trust is Trust.UNREADABLE


def test_the_marker_alone_is_nothing():
    """Bytes that look like a manifest, in a place where none can be, are no credentials."""
    assert read(encoded(noise(), "JPEG") + MARKER) == ()


def test_a_broken_trust_list_is_reported_and_does_not_trust(signed: bytes):
    """The service reads the list at its start; here it must only not be mistaken for trust."""
    assert only(signed, "no certificate").trust is not Trust.VERIFIED


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """The address of a server on this machine, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_nothing_is_fetched(authority: Authority, listener: tuple[str, list[str]]):
    """A file that keeps its manifest elsewhere: the library by itself would ask there, we do not."""
    address, asked = listener
    data = authority.sign(encoded(noise(), "JPEG"), "image/jpeg", remote=f"{address}/manifest.c2pa")
    findings = read(data) + credential_findings(data, "image/jpeg")
    assert asked == []
    assert findings[0].where == "XMP dcterms:provenance"
    assert dict(findings[0].details)["address"].startswith(address)
    assert "not fetched" in findings[0].caveat
    assert [finding.trust for finding in findings[1:]] == [Trust.UNREADABLE]
    with pytest.raises(c2pa.C2paError):
        c2pa.Reader("image/jpeg", io.BytesIO(data))
    assert asked == ["/manifest.c2pa"]
