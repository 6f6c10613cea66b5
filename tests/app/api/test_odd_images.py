"""Whatever is uploaded, the answer is a job or a problem that says what was wrong, and the next upload is served."""

import pytest
from fastapi.testclient import TestClient

from tests.app.images import FORMATS, encoded, noise
from tests.app.odd import odd_files

EXPECTED = {
    "empty": 422, "text": 415, "BM-text": 415, "svg": 415, "html": 415, "pdf": 415, "zip": 415, "heic": 415,
    "postscript": 415, "nuls": 415, "png-huge-header": 422, "png-bomb": 422, "gif-bomb": 422, "tiff-bomb": 422,
    "webp-bomb": 422, "gif-1001-frames": 422, "tiff-30-pages": 202, "webp-30-frames": 202, "apng": 202,
    "one-pixel": 202, "one-pixel-high": 202, "one-pixel-wide": 202, "png-just-below-the-cap": 202,
    "jpeg-odd-orientation": 202, "jpeg-broken-exif": 202, "jpeg-broken-profile": 202, "tiff-directory-nowhere": 422,
    **{f"{kind}-head-only": 422 for kind in FORMATS if kind not in ("AVIF", "BMP")},
}  # fmt: skip


def test_no_odd_file_causes_a_server_error(client: TestClient):
    """Of more than a hundred odd files each is taken or refused with a problem document; none is a 5xx."""
    seen: dict[str, int] = {}
    for name, data in odd_files():
        answer = client.post("/attribute", files={"image": (f"{name}.png", data)})
        seen[name] = answer.status_code
        assert answer.status_code in {202, 415, 422}, (name, answer.text)
        if answer.status_code != 202:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"].endswith("."), answer.text
    assert len(seen) >= 150
    assert {name: seen[name] for name in EXPECTED} == EXPECTED
    assert client.post("/attribute", files={"image": ("good.png", encoded())}).status_code == 202


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_accepted_under_any_name(client: TestClient, kind: str):
    """The content decides: each format is accepted under another format's name and type."""
    answer = client.post("/attribute", files={"image": ("picture.txt", encoded(noise(), kind), "text/plain")})
    assert answer.status_code == 202, answer.text
    assert answer.json()["image"]["format"] == kind


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("I;16", "PNG"), ("CMYK", "JPEG"),
        ("L", "JPEG"), ("RGBA", "WEBP"), ("P", "GIF"), ("L", "BMP"), ("1", "TIFF"), ("CMYK", "TIFF"), ("F", "TIFF"),
        ("I;16", "TIFF"), ("LAB", "TIFF"), ("RGBA", "TIFF"), ("RGBA", "AVIF"), ("L", "AVIF"),
    ],
)  # fmt: skip
def test_every_pixel_layout_is_accepted(client: TestClient, mode: str, kind: str):
    """Gray, palette, alpha, sixteen bits, CMYK, LAB and floats all become a job."""
    image = noise().convert("L").convert(mode) if mode in ("F", "I;16") else noise().convert(mode)
    answer = client.post("/attribute", files={"image": ("x", encoded(image, kind))})
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize(
    "filename",
    [
        "",
        "x" * 3_000,
        "голова.png",
        "🖼️.jpg",
        "../../etc/passwd",
        "a\\b.png",
        'quo"te.png',
        "C:\\images\\x.png",
        "nul\0.png",
    ],
)
def test_a_files_name_does_not_matter(client: TestClient, filename: str):
    """Names that are empty, long, foreign or hostile change nothing: they are never used."""
    boundary = "b0undary"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="'.encode()
    body = head + filename.encode() + b'"\r\n\r\n' + encoded() + f"\r\n--{boundary}--\r\n".encode()
    answer = client.post(
        "/attribute", content=body, headers={"content-type": f"multipart/form-data; boundary={boundary}"}
    )
    assert answer.status_code == 202, answer.text
