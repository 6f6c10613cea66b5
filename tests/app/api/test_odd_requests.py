"""How programs send images in practice: a table of odd requests, each with its answer."""

import base64
import gzip
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.app.images import encoded, noise

FILE = encoded(noise(8, 8))
LARGE = encoded(noise(300, 200))
TEXT = base64.b64encode(FILE).decode()
URL_SAFE = base64.urlsafe_b64encode(FILE).decode()
DATA_URL = f"data:image/png;base64,{TEXT}"
FORM = {"content-type": "multipart/form-data; boundary=cut"}
JSON = {"content-type": "application/json"}
PART = b'--cut\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n'
END = b"\r\n--cut--\r\n"


def in_lines(data: bytes) -> str:
    """Base64 as MIME writes it."""
    return base64.encodebytes(data).decode()


@pytest.mark.parametrize(
    "image",
    [
        in_lines(FILE),
        in_lines(FILE).replace("\n", "\r\n"),
        in_lines(LARGE),
        f" {TEXT} ",
        URL_SAFE,
        URL_SAFE.rstrip("="),
        TEXT.rstrip("="),
        DATA_URL,
        f" {DATA_URL}",
        DATA_URL.replace("base64,", "base64, "),
        DATA_URL.replace("data:image/png", "DATA:image/png;charset=utf-8"),
        f"data:;base64,{URL_SAFE}",
    ],
)
def test_base64_as_it_is_written(client: TestClient, image: str) -> None:
    """Line breaks, blanks, the alphabet of URLs, missing padding, and data: URLs."""
    answer = client.post("/attribute", json={"image": image})
    assert answer.status_code == 202, answer.text
    assert answer.json()["image"]["format"] == "PNG"


@pytest.mark.parametrize("address", [DATA_URL, f"\n{DATA_URL}"])
def test_a_data_url_as_an_address_is_the_image(client: TestClient, address: str) -> None:
    """Nothing is fetched for it; also in a batch."""
    answer = client.post("/attribute", json={"image_url": address})
    assert (answer.status_code, answer.json()["image"]["size"]) == (202, len(FILE)), answer.text
    batch = client.post("/attribute/batch", json={"items": [{"image_url": address}]})
    assert batch.json()["items"][0]["status"] == 202


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"image": "https://images.example/cat.png"}, "give it as `image_url`"),
        ({"image": "data:image/png,%89PNG"}, "must be written in base64"),
        ({"image_url": "data:image/png,%89PNG"}, "must be written in base64"),
        ({"image": "§§§§"}, "is not base64"),
        ({"image": TEXT, "image_url": DATA_URL}, "Give either"),
        ({"image": {"url": "https://images.example/"}}, "must be a text"),
    ],
)
def test_a_mistake_in_json_is_explained(client: TestClient, body: dict[str, Any], detail: str) -> None:
    """The sentence says what to send instead."""
    answer = client.post("/attribute", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid-request")
    assert detail in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    "body",
    [
        PART + b"\r\n" + FILE + END,
        b"\r\n" + PART + b"\r\n" + FILE + END,
        b"This is a message in MIME format.\r\n" + PART + b"\r\n" + FILE + END,
        b"A preamble\nof several lines --cut is not one\r\n\r\n" + PART + b"\r\n" + FILE + END,
        b"x" * 100_000 + b"\r\n" + PART + b"\r\n" + FILE + END,
        PART + b"\r\n" + FILE + END + b"and an epilogue",
        PART + b"Content-Transfer-Encoding: binary\r\n\r\n" + FILE + END,
        PART + b"Content-Transfer-Encoding: 8bit\r\n\r\n" + FILE + END,
        PART + b"Content-Transfer-Encoding: base64\r\n\r\n" + TEXT.encode() + END,
        PART + b"Content-Transfer-Encoding: BASE64\r\n\r\n" + in_lines(FILE).encode() + END,
    ],
)
def test_forms_as_programs_write_them(client: TestClient, body: bytes) -> None:
    """Preambles and epilogues of RFC 2046, and encodings of parts."""
    answer = client.post("/attribute", content=body, headers=FORM)
    assert (answer.status_code, answer.json()["image"]["size"]) == (202, len(FILE)), answer.text


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"x" * 300_000, 400, "does not contain the boundary"),
        (PART + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"***" + END, 422, "not in base64"),
        (PART + b"Content-Transfer-Encoding: x-uuencode\r\n\r\n" + FILE + END, 422, "send binary, or base64"),
        (PART + b"\r\n" + TEXT.encode() + END, 415, "base64 text"),
        (PART + b"\r\n" + DATA_URL.encode() + END, 415, "data: URL as text"),
        (PART + b"\r\n" + b"<html><body>login</body></html>" + END, 415, "web page"),
        (PART + b"\r\n" + b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + END, 415, "HEIC"),
        (
            b'--cut\r\nContent-Disposition: form-data; name="image_url"\r\n\r\nhttps://images.example/' + END,
            422,
            "as JSON",
        ),
    ],
)
def test_a_mistake_in_a_form_is_explained(client: TestClient, body: bytes, status: int, words: str) -> None:
    """The problem says what came, and what to send."""
    answer = client.post("/attribute", content=body, headers=FORM)
    assert answer.status_code == status, answer.text
    assert words in answer.text


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n "])
def test_json_may_begin_with_a_byte_order_mark(client: TestClient, mark: bytes) -> None:
    """As editors and some libraries write it."""
    answer = client.post("/attribute", content=mark + f'{{"image": "{TEXT}"}}'.encode(), headers=JSON)
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("path", ["/attribute", "/attribute/batch", "/webhooks"])
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
def test_a_compressed_body_is_refused_with_a_reason(client: TestClient, path: str, encoding: str) -> None:
    """A small one may become gigabytes."""
    body = gzip.compress(f'{{"image": "{TEXT}"}}'.encode())
    answer = client.post(path, content=body, headers={**JSON, "content-encoding": encoding})
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type"), answer.text
    assert f"compressed (Content-Encoding: {encoding})" in answer.json()["detail"]


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
def test_an_encoding_that_is_none_is_ignored(client: TestClient, encoding: str) -> None:
    """The body is what it is."""
    headers = {**JSON, "content-encoding": encoding}
    answer = client.post("/attribute", content=f'{{"image": "{TEXT}"}}'.encode(), headers=headers)
    assert answer.status_code == 202, answer.text
