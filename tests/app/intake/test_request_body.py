"""The pace at which a body must arrive."""

import time

import anyio
import pytest
from starlette.types import Message

from app.errors import UploadTimeout
from app.intake.request_body import Pace
from app.settings import IntakeSettings


def test_a_body_has_a_least_rate():
    """A few bytes now and then end long before the time limit of a whole body; a steady one arrives."""

    async def run(size: int) -> int:
        async def receive() -> Message:
            await anyio.sleep(0.02)
            return {"type": "http.request", "body": bytes(size), "more_body": True}

        pace, received = Pace(IntakeSettings(min_upload_rate=10_000), grace=0.1), 0
        while received < 30 * size:
            received += len((await pace.next(receive))["body"])
        return received

    began = time.monotonic()
    with pytest.raises(UploadTimeout, match="10,000 bytes a second"):
        anyio.run(run, 4)
    assert time.monotonic() - began < 5
    assert anyio.run(run, 100_000) == 3_000_000
