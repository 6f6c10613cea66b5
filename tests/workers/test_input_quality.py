"""Query images that show nothing, or little, through the service: what a caller sees of them."""

import io
import uuid
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from app.db.models import JobStatus, WebhookDelivery
from attribution.ports import Reason, SourceState, VerdictKind
from tests.app.egress.site import reply, serve
from tests.app.images import encoded, marked, noise
from tests.attribution.test_quality import animation, framed, picture
from tests.workers.harness import Bench
from tests.workers.test_story import Make

TWO = {"a": "", "b": ""}


def ended(here: Bench, job_id: uuid.UUID) -> dict[str, Any]:
    """The document of a job that has succeeded."""
    here.run()
    document = here.document(job_id)
    assert document.status == JobStatus.SUCCEEDED, document.error
    return document.model_dump(mode="json")


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.new("RGB", (300, 200), "white")),
        encoded(Image.new("RGB", (300, 200), "black"), "JPEG"),
        encoded(Image.new("RGBA", (64, 64), (200, 0, 0, 0))),
        animation([Image.new("RGB", (64, 64), "white")] * 3, "GIF"),
    ],
    ids=["white", "black-jpeg", "transparent", "animation"],
)
def test_a_blank_query_ends_before_anything_is_generated(bench: Make, data: bytes) -> None:
    """The verdict says why; nothing is captioned, generated or billed, and every source says that it was skipped."""
    here = bench(TWO)
    document = ended(here, here.submit(file=data))
    result = document["result"]
    assert (result["verdict"]["kind"], result["verdict"]["reason"]) == (VerdictKind.INCONCLUSIVE, Reason.BLANK_QUERY)
    assert (result["ranking"], result["caption"], result["embedder"]) == ([], "", None)
    assert document["input_quality"]["blank"] is True
    assert document["input_quality"]["notes"][0].startswith("The image shows nothing")
    assert {each["state"] for each in document["sources"]} == {SourceState.SKIPPED}
    assert [each["generated_images"] for each in document["sources"]] == [[], []]
    assert all("shows nothing" in each["reason"] for each in document["sources"])
    assert document["spend"]["calls"] == []


def test_a_blank_image_at_an_address_ends_the_same_way(bench: Make) -> None:
    """It is found as soon as it is fetched."""
    here = bench(TWO, egress={"allow": ["127.0.0.1"]})
    with serve() as site:
        site.answers["/white"] = reply(encoded(Image.new("RGB", (90, 90), "white")))
        document = ended(here, here.submit_url(site.url("/white")))
    assert document["result"]["verdict"]["reason"] == Reason.BLANK_QUERY


def test_the_end_of_a_blank_job_is_notified(bench: Make) -> None:
    """As every other end: with the event of a completed job."""
    here = bench(TWO)
    ended(here, here.submit(file=encoded(Image.new("RGB", (90, 90))), webhook_url="https://receiver.example/"))
    with here.process.storage.database.transaction() as session:
        events = list(session.scalars(select(WebhookDelivery.type).order_by(WebhookDelivery.id)))
    assert events[-1] == "attribution.completed"


def test_a_blank_job_ends_once(bench: Make) -> None:
    """Screening delivered twice changes nothing."""
    here = bench(TWO)
    job_id = here.submit(file=encoded(Image.new("RGB", (90, 90))))
    step = here.broker.steps[0]
    first = ended(here, job_id)
    here.deliver(step)
    here.run()
    assert here.document(job_id).model_dump(mode="json") == first


def test_a_framed_query_is_compared_without_its_border(bench: Make) -> None:
    """The job says which border was cut off."""
    here = bench(TWO)
    job_id = here.submit(file=encoded(framed(picture(), 0, 60, 0, 60)))
    quality = ended(here, job_id)["input_quality"]
    assert quality["border"] == {"left": 0, "top": 60, "right": 0, "bottom": 60, "color": "#000000"}
    assert quality["cropped"] is True
    job = here.job(job_id)
    assert job.query_blob is not None
    blob = here.process.storage.blobs.get(job.tenant_id, job.query_blob)
    assert Image.open(io.BytesIO(blob)).size == (320, 240)


def test_an_animation_says_which_frame_is_compared(bench: Make) -> None:
    """The first one that shows something."""
    sheets = [Image.new("RGB", (320, 240), color) for color in ("#ffffff", "#fefefe")]
    here = bench(TWO)
    document = ended(here, here.submit(file=animation([*sheets, picture()], "WEBP", lossless=True)))
    assert (document["input_quality"]["frames"], document["input_quality"]["frame"]) == (3, 3)


def test_a_thumbnail_says_what_to_expect(bench: Make) -> None:
    """Its size and its JPEG quality, with the smaller of the shares that were measured."""
    here = bench(TWO)
    quality = ended(here, here.submit(file=encoded(noise(90, 70), "JPEG", quality=50)))["input_quality"]
    assert (quality["width"], quality["jpeg_quality"], quality["same_answer"]) == (90, 50, 0.81)
    assert len(quality["notes"]) == 2


def test_a_cached_answer_has_the_quality_of_its_file(bench: Make) -> None:
    """Whether the job took the answer at once, or after screening."""
    here = bench(TWO)
    first = ended(here, here.submit(image=marked((200, 40, 40)), result_key="same"))
    again = ended(here, here.submit(image=marked((200, 40, 40)), result_key="same"))
    assert again["input_quality"] == first["input_quality"] is not None
