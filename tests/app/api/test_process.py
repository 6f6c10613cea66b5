"""The API as a process of its own, as it runs in earnest: what it weighs, and what clients see through a socket."""

import base64
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.settings import Settings
from tests.app.images import encoded, noise
from tests.waiting import wait_until
from tests.workers.processes import answers

REPOSITORY = Path(__file__).parents[3]
CLIENTS = 50
LIMIT_MB = 150


@dataclass(frozen=True, slots=True)
class Api:
    """A running server, and what opens it."""

    url: str
    pid: int
    headers: dict[str, str]

    def peak_mb(self) -> float:
        """The most memory that the process itself, without its children, ever had resident."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        raise AssertionError("the kernel does not say")


@pytest.fixture
def api(settings: Settings, key: str, tmp_path: Path) -> Iterator[Api]:
    """Uvicorn on a free port, configured by its environment only."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "DATABASE__URL": settings.database.url.get_secret_value(),
        "REDIS__URL": settings.redis.url.get_secret_value(),
        "BLOBS__URL": settings.blobs.url,
        "CATALOG__DIRECTORIES": f'["{settings.catalog.directories[0]}"]',
        # On a busy host fifty large uploads are slow, and wait long for a decoder.
        "INTAKE__DECODE_WAIT": "5m",
        "INTAKE__MIN_UPLOAD_RATE": "1",
    }
    command = [sys.executable, "-m", "uvicorn", "--factory", "app.api:create_app", "--port", str(port)]
    command += ["--http", "app.api.http_protocol:LimitedProtocol", "--ws", "none"]
    with (
        (tmp_path / "api.log").open("wb") as log,
        subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: answers(url) or process.poll() is not None)
            assert process.poll() is None, (tmp_path / "api.log").read_text()
            yield Api(url, process.pid, {"Authorization": f"Bearer {key}"})
        finally:
            process.terminate()


def test_fifty_of_the_largest_uploads_at_once_stay_small(api: Api, settings: Settings):
    """All are accepted, and the process that took a gigabyte in never held more than a seventh."""
    small = encoded()  # decodes at once, which is the children's memory; what follows it is this process's
    data = small + bytes(settings.intake.max_bytes - len(small))

    def upload(_: int) -> int:
        image = {"image": io.BytesIO(data)}
        return httpx.post(f"{api.url}/attribute", headers=api.headers, files=image, timeout=300).status_code

    with ThreadPoolExecutor(CLIENTS) as clients:
        assert list(clients.map(upload, range(CLIENTS))) == [202] * CLIENTS
    assert api.peak_mb() < LIMIT_MB


def test_fifty_of_the_largest_uploads_in_base64_stay_small_too(api: Api, settings: Settings):
    """The text of an image is never in this process: it goes to a file, and a child makes the image of it."""
    small = encoded()
    image = base64.b64encode(small + bytes(settings.intake.max_bytes - len(small))).decode()
    body = json.dumps({"image": image, "images_per_source": 1}).encode()
    headers = api.headers | {"Content-Type": "application/json"}

    def upload(_: int) -> int:
        return httpx.post(f"{api.url}/attribute", headers=headers, content=body, timeout=300).status_code

    with ThreadPoolExecutor(CLIENTS) as clients:
        assert list(clients.map(upload, range(CLIENTS))) == [202] * CLIENTS
    assert api.peak_mb() < LIMIT_MB


def test_a_refusal_reaches_a_client_that_is_still_sending(api: Api, settings: Settings):
    """Far too many bytes, announced or not, end in a 413 and not in a broken connection; the connection can go on."""
    boundary = "b"
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'.encode()

    def body() -> Iterator[bytes]:
        yield head
        for _ in range(2 * settings.intake.max_bytes // 100_000):
            yield bytes(100_000)

    with httpx.Client(base_url=api.url, headers=api.headers, timeout=60) as client:
        unannounced = client.post("/attribute", content=body(), headers=headers)
        announced = client.post("/attribute", content=b"".join(body()), headers=headers)
        good = client.post("/attribute", files={"image": encoded(noise())})
    assert [answer.status_code for answer in (unannounced, announced, good)] == [413, 413, 202]


def test_a_client_that_disconnects_leaves_nothing_behind(api: Api):
    """Half an upload is forgotten, and its place is free again."""
    for _ in range(80):
        with closing(socket.create_connection(("127.0.0.1", int(api.url.rsplit(":", 1)[1])))) as connection:
            connection.sendall(
                b"POST /attribute HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
                b"Content-Length: 1000000\r\n\r\n--b\r\nContent-Disposition: form-data; name=image\r\n\r\nhalf"
            )
    image = {"image": encoded(noise())}
    answer = httpx.post(f"{api.url}/attribute", headers=api.headers, files=image, timeout=60)
    assert answer.status_code == 202
