"""The operator's moderation service gets every image and text, and nothing passes without its consent."""

import base64
import io
import json
import socket
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from app.db.models import DEFAULT_TENANT, Job, JobStatus
from app.errors import AddressRefused
from app.settings import ScreeningSettings
from tests.app.egress.site import Site, reply
from tests.workers.screening.conftest import Screened, noise_image

MakeScreened = Callable[..., Screened]
FINE = reply(b'{"flagged": false}', connection="close")


def moderated(make_screened: MakeScreened, site: Site, **screening: object) -> Screened:
    """A worker that calls the site, and attempts a stage twice."""
    endpoint = {"endpoint": site.url("/moderate"), "endpoint_token": "opensesame", "endpoint_timeout": 0.5}
    return make_screened(screening=endpoint | screening, job={"attempts": 2})


def ended_in_the_end(screened: Screened, **options: Any) -> Job:
    """Submits, and lets the sweep requeue failed stages until the attempts are used up."""
    job = screened.ended(noise_image(1), **options)
    while job.status == JobStatus.PROCESSING:
        screened.bench.pass_time(60)
        screened.bench.sweep()
        screened.bench.run()
        job = screened.job(job.id)
    return job


def test_the_service_sees_the_image_and_the_caption(make_screened: MakeScreened, site: Site) -> None:
    """Whose job it is, the canonical image as PNG, then the caption, each with the token."""
    site.answers["/moderate"] = FINE
    job = moderated(make_screened, site).ended(noise_image(1))
    assert job.status == JobStatus.SUCCEEDED
    first, second = (json.loads(request.body) for request in site.requests)
    whose = {"tenant_id": str(DEFAULT_TENANT), "job_id": str(job.id)}
    image = Image.open(io.BytesIO(base64.b64decode(first.pop("image"))))
    assert (image.format, image.tobytes()) == ("PNG", noise_image(1).tobytes())
    assert first == whose
    assert second == whose | {"caption": job.caption}
    assert {request.headers["authorization"] for request in site.requests} == {"Bearer opensesame"}


def test_a_prompt_is_screened_once(make_screened: MakeScreened, site: Site) -> None:
    """The caller's words go before the image, and not a second time in the captioner's place."""
    site.answers["/moderate"] = FINE
    assert moderated(make_screened, site).ended(noise_image(1), prompt="a boat").status == JobStatus.SUCCEEDED
    assert ["caption" in json.loads(request.body) for request in site.requests] == [True, False]


@pytest.mark.parametrize(("reason", "said"), [("", "refused the image."), ("gore", "refused the image: gore")])
def test_what_it_flags_is_refused(make_screened: MakeScreened, site: Site, reason: str, said: str) -> None:
    """A flagged image ends the job as one on a list does, with the service's reason."""
    site.answers["/moderate"] = reply(json.dumps({"flagged": True, "reason": reason}).encode(), connection="close")
    screened = moderated(make_screened, site)
    job = screened.ended(noise_image(1))
    screened.assert_refused(job, "endpoint", "moderation")
    assert job.error is not None
    assert said in job.error["detail"]
    assert screened.files() == []


@pytest.mark.parametrize(
    "answer",
    [
        reply(b'{"flagged": false}', status=500, connection="close"),
        reply(b'{"flagged": false}', status=204, connection="close"),
        reply(b"", status=302, location="/elsewhere", connection="close"),
        reply(b"fine", connection="close"),
        reply(b"{}", connection="close"),
        reply(b"[]", connection="close"),
        reply(b'{"flagged": null}', connection="close"),
        reply(b'{"flagged": "false"}', connection="close"),
        reply(b'{"flagged": 0}', connection="close"),
        reply(b'{"flagged": false', connection="close"),
        reply(b'{"flagged": false, "reason": "' + b"x" * 2_000 + b'"}', connection="close"),
        b"HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n",  # and then nothing
        lambda channel: None,  # hangs up
        lambda channel: channel.recv(1),  # silent until the worker hangs up
    ],
)
def test_anything_else_lets_nothing_pass(make_screened: MakeScreened, site: Site, answer: bytes) -> None:
    """Any other response is retried, and then the job fails; nothing is generated."""
    site.answers["/moderate"] = answer
    site.answers["/elsewhere"] = FINE
    screened = moderated(make_screened, site)
    job = ended_in_the_end(screened)
    assert len(site.requests) == 2
    assert job.status == JobStatus.FAILED
    assert job.error is not None
    assert job.error["type"] == "/problems/step-failed"
    screened.assert_never_generated(job)


def test_a_service_that_is_down_lets_nothing_pass(make_screened: MakeScreened) -> None:
    """Nothing listens at the address: the same."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    screened = make_screened(screening={"endpoint": f"http://127.0.0.1:{port}/moderate"}, job={"attempts": 2})
    job = ended_in_the_end(screened)
    assert (job.status, job.attempt) == (JobStatus.FAILED, 0)
    screened.assert_never_generated(job)


def test_a_service_that_recovers_is_used_again(make_screened: MakeScreened, site: Site) -> None:
    """An outage costs time, not the job."""
    site.answers["/moderate"] = reply(b"", status=503, connection="close")
    screened = moderated(make_screened, site)
    job_id = screened.ended(noise_image(1)).id
    assert screened.job(job_id).status == JobStatus.PROCESSING
    site.answers["/moderate"] = FINE
    screened.bench.pass_time(60)
    screened.bench.sweep()
    screened.bench.run()
    assert screened.job(job_id).status == JobStatus.SUCCEEDED


def test_a_host_is_moderated_by_its_name(make_screened: MakeScreened, site: Site) -> None:
    """An operator's host may be inside: its name, here `localhost`, resolves to what no caller may name."""
    site.answers["/moderate"] = FINE
    screened = moderated(make_screened, site, endpoint=site.url("/moderate", host="localhost"))
    assert screened.ended(noise_image(1)).status == JobStatus.SUCCEEDED
    assert len(site.requests) == 2


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9/x", "http://user:pass@127.0.0.1/x", "http://0x7f.1/x"])
def test_an_address_that_cannot_be_called_stops_the_start(make_screened: MakeScreened, endpoint: str) -> None:
    """It is found out before the first image, not by it."""
    with pytest.raises(AddressRefused):
        make_screened(screening={"endpoint": endpoint})


@pytest.mark.parametrize("endpoint", ["moderation", "ftp://127.0.0.1/x", "http://", "http://[::1/x"])
def test_what_is_no_address_is_no_setting(endpoint: str) -> None:
    """So is a value that is no address at all."""
    with pytest.raises(ValidationError):
        ScreeningSettings(endpoint=endpoint)
