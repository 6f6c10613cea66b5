"""HTTP client of the measurements: submits an image and polls until its job has ended; and the images."""

import io
import random
import time
from typing import Any

import httpx
from PIL import Image, ImageDraw

from devstack.stack import Stack

SKINS = ("#ffdbb4", "#d08b5b", "#ae5d29", "#614335")
HAIRS = ("#2c1b18", "#f0c850", "#c93305", "#724133", "#4a7bd0", "#e8e1e1")
GROUNDS = ("#b6e3f4", "#ffd5dc", "#d1d4f9", "#c8f2c2", "#fff3b0", "#d9d9d9")


def face(number: int, side: int = 128) -> bytes:
    """A PNG of face number `number`."""
    dice = random.Random(number)
    image = Image.new("RGB", (side, side), dice.choice(GROUNDS))
    draw = ImageDraw.Draw(image)
    hair, wide = dice.choice(HAIRS), dice.uniform(0.22, 0.3)
    draw.rectangle(_box(side, 0.5, 1.0, wide * 1.3, 0.22), fill=dice.choice(HAIRS))
    draw.ellipse(_box(side, 0.5, 0.42, wide * 1.2, 0.34), fill=hair)
    draw.ellipse(_box(side, 0.5, 0.52, wide, 0.3), fill=dice.choice(SKINS))
    for at in (0.4, 0.6):
        draw.ellipse(_box(side, at, 0.5, 0.03, 0.03), fill="black")
    draw.arc(_box(side, 0.5, 0.62, 0.1, 0.06), 10, 170, fill="black", width=2)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _box(side: int, x: float, y: float, rx: float, ry: float) -> tuple[float, float, float, float]:
    return (side * (x - rx), side * (y - ry), side * (x + rx), side * (y + ry))


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
