"""docs/moderation.md and its example: the receiver takes what the service signs, and the shell commands work."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

import pytest

from app.api import create_app
from app.errors import DeadlineExceeded
from app.settings import Settings
from app.store.models import Job, JobSource, JobStatus
from app.webhook import events
from app.webhook.schedule import SCHEDULE
from app.webhook.signing import new_secret, signed_headers
from attribution.ports import Origin, SourceState
from tests.app.webhook.test_events import make_job, result
from tests.deploy.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "moderation.md").read_text()
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """docs/examples/moderate.py, as it is."""
    specification = importlib.util.spec_from_file_location("moderate", REPOSITORY / "docs/examples/moderate.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def receiver(example: ModuleType, tmp_path: Any) -> Iterator[Any]:
    """The example, listening; it has two secrets, as during a rotation."""
    decisions = example.Decisions(tmp_path / "decisions.sqlite3")
    secrets = [new_secret(), new_secret()]
    with example.Receiver(0, secrets, decisions) as running:
        running.secrets = secrets
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def url(receiver: Any) -> str:
    """Where it listens."""
    return f"http://127.0.0.1:{receiver.server_address[1]}/"


def send(receiver: Any, payload: str, headers: dict[str, str]) -> int:
    """The status that a message is answered with."""
    request = urllib.request.Request(url(receiver), payload.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code


def tell(receiver: Any, event: events.Event[Any], secret: int = 0, delivery: uuid.UUID | None = None) -> int:
    """Sends an event as the couriers do."""
    payload = event.payload(1)
    keys = [receiver.secrets[secret]]
    return send(receiver, payload, signed_headers(delivery or uuid.uuid4(), datetime.now(UTC), payload, keys))


def completed(**verdict: Any) -> Job:
    """A job that succeeded with a verdict."""
    found = result()
    found["verdict"] |= verdict
    return make_job(JobStatus.SUCCEEDED, result=found)


def test_the_example_decides_once_on_every_end(receiver: Any) -> None:
    """A label, a review, a review; and nothing on what decides nothing."""
    row = JobSource(
        source="a", family="f", origin=Origin.GENERATOR, state=SourceState.DONE, reason=None, completed_at=AT
    )
    named = events.ended(completed())
    delivery = uuid.uuid4()
    for _ in range(2):
        assert tell(receiver, named, delivery=delivery) == 204
    assert tell(receiver, events.ended(completed(kind="inconclusive", source=None, reason="tie")), secret=1) == 204
    late = make_job(JobStatus.FAILED, error=DeadlineExceeded("Too late.").document())
    assert tell(receiver, events.ended(late)) == 204
    assert tell(receiver, events.started(make_job(JobStatus.PROCESSING))) == 204
    assert tell(receiver, events.source_finished(make_job(JobStatus.PROCESSING), row)) == 204
    assert tell(receiver, events.ended(make_job(JobStatus.CANCELED))) == 204
    assert [row[2:] for row in receiver.decisions.all()] == [
        ("post-7", "label", "drawn by zoo-unet0"),
        ("post-7", "review", "tie; nearest: zoo-unet0, zoo-unet1"),
        ("post-7", "review", "The job took too long"),
    ]


def test_the_example_takes_nothing_that_was_not_signed(receiver: Any) -> None:
    """Touched, signed by somebody else, unsigned, or too long."""
    payload = events.ended(completed()).payload(1)
    now = datetime.now(UTC)
    signed = signed_headers(uuid.uuid4(), now, payload, [receiver.secrets[0]])
    assert send(receiver, payload.replace("post-7", "post-9"), signed) == 400
    assert send(receiver, payload, signed_headers(uuid.uuid4(), now, payload, [new_secret()])) == 400
    assert send(receiver, payload, {}) == 400
    assert send(receiver, " " * 30_000, signed) == 413
    assert receiver.decisions.all() == []


def test_a_ping_is_taken(receiver: Any) -> None:
    """It has no job, and decides nothing."""
    assert tell(receiver, events.ping(uuid.uuid4(), AT)) == 204
    assert receiver.decisions.all() == []


@pytest.mark.parametrize("touch", [False, True])
def test_the_shell_commands_sign(receiver: Any, touch: bool) -> None:
    """The page's script is run as it stands; and refused when the body changes after signing."""
    (script,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    if touch:
        script = script.replace('--data-raw "$BODY"', '--data-raw "$BODY "')
    environment = os.environ | {"WEBHOOK_SECRET": receiver.secrets[0], "RECEIVER": url(receiver)}
    ran = subprocess.run(["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True)
    assert ran.stdout.strip() == ("400" if touch else "204"), ran.stderr
    assert [row[2:] for row in receiver.decisions.all()] == (
        [] if touch else [("post-8", "review", "The job took too long")]
    )


def test_the_page_says_when_attempts_are_made() -> None:
    """The schedule in words is the schedule."""
    words = "after 5 seconds, 5 minutes, 30 minutes, 2, 5, 10, 14, 20 and 24 hours"
    assert words in " ".join(PAGE.split())
    minute, hour = 60, 3_600
    expected = [0, 5, 5 * minute, 30 * minute, *(hours * hour for hours in (2, 5, 10, 14, 20, 24))]
    assert [delay.total_seconds() for delay in SCHEDULE] == expected


def test_the_commands_of_the_page_are_the_apis() -> None:
    """Every path that the page names is one of the API's, with that method."""
    settings = Settings(database={"url": "postgresql://nobody@127.0.0.1/none"}, redis={"url": "redis://127.0.0.1/0"})
    paths = create_app(settings).openapi()["paths"]
    known = {(method.upper(), re.sub(r"{\w+}", "ID", path)) for path in paths for method in paths[path]}
    named = set(re.findall(r"`(GET|POST|PATCH|DELETE) (/[\w/]+)`", PAGE))
    curls = re.findall(r"curl (.*?)\"?\$API(/[\w/]+)", PAGE.replace("\\\n", ""))
    named |= {("POST" if re.search(r"-X POST| -d | -F ", options) else "GET", path) for options, path in curls}
    assert len(named) >= 9
    assert named <= known, named - known
