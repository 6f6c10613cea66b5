"""HTTP client of the measurements: submits an image and polls until its job has ended."""

import io
import time
from typing import Any

import httpx
from PIL import Image

from devstack.stack import Stack

ENDED = {"succeeded", "failed", "canceled"}
Job = dict[str, Any]


def solid_image(color: tuple[int, int, int] = (200, 40, 40), side: int = 64) -> bytes:
    """A PNG of one color with a small mark: a blank one would end before anything is generated."""
    buffer = io.BytesIO()
    image = Image.new("RGB", (side, side), color)
    mark = "white" if sum(color) < 384 else "black"
    image.paste(mark, (side // 2, side // 2, side // 2 + side // 8, side // 2 + side // 8))
    image.save(buffer, "PNG")
    return buffer.getvalue()


def authorization(service: Stack) -> dict[str, str]:
    """The header of a key without an effective rate limit."""
    key = service.create_key("bench", "--requests-per-minute", "100000000")
    return {"Authorization": f"Bearer {key}"}


def connect(service: Stack, timeout: float = 5) -> httpx.Client:
    """A client with such a key."""
    return httpx.Client(base_url=service.base_url, timeout=timeout, headers=authorization(service))


def submit(http: httpx.Client, image: bytes, **options: str) -> str:
    """Posts an image; returns the location of its job."""
    answer = http.post("/attribute", files={"image": ("image.png", image)}, data=options)
    answer.raise_for_status()
    return answer.headers["Location"]


def attribute(http: httpx.Client, image: bytes, **options: str) -> Job:
    """Posts an image and waits for the end of its job in the same request. Raises TimeoutError."""
    answer = http.post(
        "/attribute", files={"image": ("image.png", image)}, data=options, headers={"Prefer": "wait=60"}, timeout=70
    )
    if answer.raise_for_status().status_code != httpx.codes.OK:
        raise TimeoutError("the job did not end within a minute")
    job: Job = answer.json()
    return job


def wait(http: httpx.Client, location: str, every: float = 0.01, patience: float = 120) -> Job:
    """Polls until the job has ended. Raises TimeoutError."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        job: Job = http.get(location).raise_for_status().json()
        if job["status"] in ENDED:
            return job
        time.sleep(every)
    raise TimeoutError(f"{location} did not end within {patience} s")


def states(job: Job) -> dict[str, str]:
    """Each source's state."""
    return {source["source"]: source["state"] for source in job["sources"]}
