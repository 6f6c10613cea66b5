"""Content credentials: an intact signature, a trusted one, a changed file, and no network whatever the file says."""

import io
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import c2pa
import pytest

from attribution.evidence.credentials import MARKER, credential_findings
from attribution.evidence.finding import Finding, Kind, Trust
from attribution.evidence.read import read
from tests.app.images import encoded, noise
from tests.attribution.evidence.signing import Authority

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF")


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Who signs in these tests."""
    return Authority()


@pytest.fixture(scope="module")
def signed(authority: Authority) -> bytes:
    """A JPEG that its credentials say was generated."""
    return authority.sign(encoded(noise(), "JPEG"), "image/jpeg")


def only(data: bytes, trust_list: str | None = None) -> Finding:
    """The one finding about the credentials."""
    (finding,) = [finding for finding in read(data, trust_list) if finding.kind is Kind.C2PA]
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
