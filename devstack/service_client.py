"""A small client of the service's HTTP interface, for the demo: what a caller would write, and nothing from `app`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

ENDED = {"succeeded", "failed", "canceled"}
POLL_SECONDS = 0.2  # shorter than Retry-After: the service is local, and a person is watching

Job = dict[str, Any]


class RequestRefused(Exception):
    """The service answered with a problem instead of a job."""


class ServiceClient:
    """Uploads an image and follows its job."""

    def __init__(self, base_url: str, key: str) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=30, headers={"Authorization": f"Bearer {key}"})

    def __enter__(self) -> ServiceClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, image: Path, options: Mapping[str, str] | None = None) -> tuple[str, Job]:
        """Upload; returns the job's path and its first document."""
        with image.open("rb") as file:
            answer = self._http.post("/attribute", data=dict(options or {}), files={"image": (image.name, file)})
        if answer.status_code != httpx.codes.ACCEPTED:
            raise RequestRefused(f"{answer.status_code}: {answer.text}")
        return answer.headers["Location"], answer.json()

    def upload_references(self, path: str, images: Sequence[bytes]) -> None:
        """Upload reference images of a source that the job awaits."""
        files = [("reference", (f"{number}.png", image)) for number, image in enumerate(images)]
        answer = self._http.post(path, files=files)
        if answer.status_code != httpx.codes.OK:
            raise RequestRefused(f"{answer.status_code}: {answer.text}")

    def follow(self, location: str, patience: float) -> Iterator[Job]:
        """The job's document again and again, until it has ended."""
        deadline = time.monotonic() + patience
        while True:
            answer = self._http.get(location)
            if answer.status_code != httpx.codes.OK:
                raise RequestRefused(f"{answer.status_code}: {answer.text}")
            job: Job = answer.json()
            yield job
            if job["status"] in ENDED:
                return
            if time.monotonic() > deadline:
                raise RequestRefused(f"no end after {patience:.0f} s, it is {job['status']} in stage {job['stage']}")
            time.sleep(POLL_SECONDS)
