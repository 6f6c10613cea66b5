"""POST /attribute: options, caps, and everything the caller can get wrong about the form."""

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import REGISTRY
from sqlalchemy import func, select, update

from app.db.database import Database
from app.db.models import Job, Tenant
from attribution.ports import Aggregate, DistanceName, Method, Policy
from attribution.race import Budget
from tests.app.images import encoded, noise

IMAGE = ("x.png", encoded(), "image/png")


def post(client: TestClient, **data: Any) -> Any:
    """Uploads a good image with these options."""
    return client.post("/attribute", files={"image": IMAGE}, data=data)


def states(answer: Any) -> dict[str, str]:
    """The sources of an accepted job by their state."""
    assert answer.status_code == 202, answer.text
    return {source["source"]: source["state"] for source in answer.json()["sources"]}


def test_without_options_every_enabled_source_is_used(client: TestClient):
    """A source without an API is listed with its state and a sentence, a disabled one not at all."""
    answer = post(client)
    assert states(answer) == {"ant": "pending", "bee": "pending", "cat": "pending", "elk": "retired", "fox": "no_api"}
    reasons = {source["source"]: source["reason"] for source in answer.json()["sources"]}
    assert reasons["elk"] == "Elk was switched off."
    assert reasons["fox"].endswith(".")
    assert reasons["ant"] is None
    assert answer.json()["images_per_source"] == 4


@pytest.mark.parametrize("given", [["cat", "ant"], "cat,ant", ["cat", " ant ,"], "cat, ant,cat"])
def test_sources_are_repeated_or_separated_by_commas(client: TestClient, given: Any):
    """However they are written, they come in catalog order, once."""
    assert list(states(post(client, sources=given))) == ["ant", "cat"]


def test_excluded_sources_are_left_out(client: TestClient):
    """`exclude` removes sources from `sources`, or from all."""
    assert list(states(post(client, exclude="elk,fox"))) == ["ant", "bee", "cat"]
    assert list(states(post(client, sources="ant,bee", exclude="bee"))) == ["ant"]


def test_an_unknown_source_is_named_beside_the_known_ones(client: TestClient):
    """The problem lists the known sources."""
    answer = post(client, sources="ant,gnu")
    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/unknown-source"
    assert "gnu" in answer.json()["detail"]
    assert answer.json()["known"] == ["ant", "bee", "cat", "dog", "elk", "fox"]


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"sources": "dog"}, "#/sources"),
        ({"sources": " , "}, "#/sources"),
        ({"sources": "ant", "exclude": "ant"}, "#/exclude"),
        ({"images_per_source": "0"}, "#/images_per_source"),
        ({"images_per_source": "17"}, "#/images_per_source"),
        ({"images_per_source": "4.0"}, "#/images_per_source"),
        ({"images_per_source": ""}, "#/images_per_source"),
        ({"images_per_source": ["3", "4"]}, "#/images_per_source"),
        ({"seed": "-1"}, "#/seed"),
        ({"seed": str(2**32)}, "#/seed"),
        ({"seed": "9" * 5_000}, "#/seed"),
        ({"seed": "٣"}, "#/seed"),
        ({"prompt": ""}, "#/prompt"),
        ({"prompt": "   "}, "#/prompt"),
        ({"prompt": "a\nb"}, "#/prompt"),
        ({"prompt": "a\0b"}, "#/prompt"),
        ({"prompt": "x" * 2_001}, "#/prompt"),
        ({"prompt": "x" * 20_000}, "#/prompt"),
        ({"prompt": b"\xff\xfe"}, "#/prompt"),
        ({"distance": "manhatan"}, "#/distance"),
        ({"aggregate": "min"}, "#/aggregate"),
        ({"method": "euclidean"}, "#/method"),
        ({"policy": "half-open"}, "#/policy"),
        ({"budget": "small"}, "#/budget"),
        ({"external_scores": "0.5"}, "#/external_scores"),
        ({"external_scores": "{}"}, "#/external_scores"),
        ({"external_scores": '{"ant": "likely"}'}, "#/external_scores/ant"),
        ({"external_scores": '{"ant": 1e999}'}, "#/external_scores"),
        ({"external_scores": '{"ant": true}'}, "#/external_scores/ant"),
        ({"external_scores": '{"ant": 1}', "fusion_weight": "1.5"}, "#/fusion_weight"),
        ({"external_scores": '{"ant": 1}', "fusion_weight": "5e-1"}, "#/fusion_weight"),
        ({"fusion_weight": "0.5"}, "#/fusion_weight"),
        ({"color": "red"}, "#/color"),
        ({"a/b~c d": "red"}, "#/a~1b~0c%20d"),
    ],
)
def test_an_invalid_option_is_named(client: TestClient, database: Database, options: Any, pointer: str):
    """Each error is a 422 with a pointer to the member; nothing is accepted."""
    answer = client.post("/attribute", files={"image": IMAGE}, data=options)
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"] == "/problems/invalid-request"
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0


@pytest.mark.parametrize(
    ("name", "values"),
    [("distance", DistanceName), ("aggregate", Aggregate), ("method", Method), ("policy", Policy), ("budget", Budget)],
)
def test_an_unknown_name_lists_the_known_ones(client: TestClient, name: str, values: type[StrEnum]):
    """The error is enough to fix the request."""
    (error,) = post(client, **{name: "nearest"}).json()["errors"]
    assert all(f"'{value}'" in error["detail"] for value in values)


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({}, "residual"),
        ({"method": "cosine"}, "cosine"),
        ({"distance": "ssim"}, "cosine"),
        ({"aggregate": "max"}, "cosine"),
        ({"distance": "ssim", "method": "residual"}, "residual"),
    ],
    ids=str,
)
def test_a_distance_means_the_method_that_ranks_by_it(client: TestClient, options: dict[str, str], method: str):
    """By default sources are ranked by residuals; who chooses a distance or an aggregate is ranked by that."""
    document = post(client, **options).json()
    assert (document["method"], document["policy"]) == (method, "open")
    assert document["distance"] == options.get("distance", "cosine")


def test_a_caller_may_exclude_other_sources(client: TestClient):
    """The job says so."""
    assert post(client, policy="closed").json()["policy"] == "closed"


@pytest.mark.parametrize(("options", "budget"), [({}, "auto"), ({"budget": "racing"}, "racing")], ids=str)
def test_a_caller_may_ask_for_a_race(client: TestClient, options: dict[str, str], budget: str):
    """By default as the installation is set; no round has begun."""
    document = post(client, **options).json()
    assert (document["budget"], document["race"]) == (budget, None)


def test_scores_of_unknown_sources_are_named(client: TestClient):
    """All unknown ones, with the list of known sources; a known source that the job does not use is no error."""
    external_scores = json.dumps({"gnu": 1, "ant": 2, "a/b": 3})
    answer = post(client, external_scores=external_scores, sources="ant")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/unknown-source")
    assert [error["pointer"] for error in answer.json()["errors"]] == [
        "#/external_scores/gnu",
        "#/external_scores/a~1b",
    ]
    assert "elk" in answer.json()["known"]
    assert post(client, external_scores=json.dumps({"bee": 1, "ant": 2}), sources="ant").status_code == 202


def test_all_errors_are_listed_at_once(client: TestClient):
    """All errors of a request are listed at once."""
    answer = post(client, images_per_source="99", seed="-4", prompt=" ")
    assert {error["pointer"] for error in answer.json()["errors"]} == {"#/images_per_source", "#/seed", "#/prompt"}


@pytest.mark.parametrize("value", ["0", str(2**32 - 1)])
def test_the_whole_range_of_seeds_is_accepted(client: TestClient, value: str):
    """Both ends come back as they were given."""
    assert post(client, seed=value).json()["seed"] == int(value)


def test_a_prompt_may_be_in_any_language(client: TestClient):
    """Two thousand characters, not bytes."""
    prompt = "山の上の灯台🗼" * 200
    assert post(client, prompt=prompt).json()["prompt"] == prompt


def test_two_images_are_refused(client: TestClient):
    """One job has one image."""
    answer = client.post("/attribute", files=[("image", IMAGE), ("image", IMAGE)])
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/image")


def test_an_image_is_required(client: TestClient):
    """The form was fine, but the field is missing."""
    answer = client.post("/attribute", files={"prompt": (None, "a goat")})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/image")


@pytest.mark.parametrize(
    ("content_type", "body", "status", "slug"),
    [
        ("text/json", b"{}", 415, "unsupported-media-type"),
        ("application/x-www-form-urlencoded", b"image=x", 415, "unsupported-media-type"),
        ("image/png", encoded(), 415, "unsupported-media-type"),
        ("", b"", 415, "unsupported-media-type"),
        ("multipart/form-data", b"x", 400, "malformed-request"),
        ("multipart/form-data; boundary=", b"x", 400, "malformed-request"),
        ("multipart/form-data; boundary=" + "x" * 300, b"x", 400, "malformed-request"),
        ("multipart/form-data; boundary=b", b"", 400, "malformed-request"),
        ("multipart/form-data; boundary=b", b"no boundary here", 400, "malformed-request"),
        ("multipart/form-data; boundary=b", b"--b\r\n", 400, "malformed-request"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n", 400, "malformed-request"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nhalf an ima',
            400,
            "malformed-request",
        ),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
            400,
            "malformed-request",
        ),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nX: " + b"y" * 10_000 + b"\r\n\r\nx\r\n--b--\r\n",
            400,
            "malformed-request",
        ),
    ],
)
def test_a_body_that_is_no_form_is_refused(client: TestClient, content_type: str, body: bytes, status: int, slug: str):
    """The wrong kind of body is a 415, a broken one a 400."""
    answer = client.post("/attribute", content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}"), answer.text


def test_an_upload_may_be_exactly_as_large_as_the_cap(start: Callable[..., TestClient]):
    """One byte more is a 413 with the limit, whether or not the length was announced."""
    data = encoded()
    fits = start(intake={"max_bytes": len(data)})
    assert fits.post("/attribute", files={"image": data}).status_code == 202
    cap = start(intake={"max_bytes": len(data) - 1})
    answer = cap.post("/attribute", files={"image": data})
    assert (answer.status_code, answer.json()["max_bytes"]) == (413, len(data) - 1)
    assert f"{len(data) - 1:,}" in answer.json()["detail"]


def test_a_body_far_above_the_limit_is_not_read(start: Callable[..., TestClient]):
    """The announced length is enough to refuse it, and an unannounced body is read up to the limit."""
    client = start(intake={"max_bytes": 1_000})
    headers = {"content-type": "multipart/form-data; boundary=b", "content-length": "99999999999"}
    assert client.post("/attribute", content=b"", headers=headers).status_code == 413
    read = 0

    def endless() -> Any:
        nonlocal read
        yield b"--b\r\n" + b"X: y\r\n" * 3
        while read < 10_000_000:
            read += 1_000
            yield b"\r\n" + b"z" * 998

    answer = client.post("/attribute", content=endless(), headers={"content-type": headers["content-type"]})
    assert answer.status_code in {400, 413}


def test_too_many_pixels_are_refused_before_they_are_decoded(start: Callable[..., TestClient]):
    """The limits on pixels are settings, and the problem has them."""
    client = start(intake={"max_pixels": 1_000})
    answer = client.post("/attribute", files={"image": encoded(noise(50, 50))})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/image-too-large")
    assert "1,000" in answer.json()["detail"]


@pytest.mark.parametrize("asked", ["0.5", "0", "50", "0.000001"])
def test_a_budget_is_accepted_and_shown(client: TestClient, asked: str):
    """As requested, to a millionth of a dollar; nothing of it is spent yet."""
    assert post(client, budget_usd=asked).json()["spend"] == {"budget_usd": float(asked), "usd": 0.0, "calls": []}


@pytest.mark.parametrize("asked", ["-1", "1e1", "a lot", "", "NaN", "100001", "0.5,1"])
def test_an_invalid_budget_is_refused(client: TestClient, asked: str):
    """Only plain amounts are accepted; the error has a pointer."""
    answer = post(client, budget_usd=asked)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/budget_usd"]


def test_the_default_budget_is_the_tenants_or_the_installations(client: TestClient, database: Database):
    """For a job without a budget; a budget above the maximum is refused with the maximum."""
    assert post(client).json()["spend"]["budget_usd"] == 5
    answer = post(client, budget_usd="50.01")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "A job may spend 50 US dollars at most; ask for less."
    with database.transaction() as session:
        session.execute(update(Tenant).values(budget_usd=3, max_budget_usd=2))
    assert post(client).json()["spend"]["budget_usd"] == 2
    assert post(client, budget_usd="2.01").status_code == 422
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 2


def test_a_job_may_contribute_to_the_bank_or_not(start: Callable[..., TestClient], database: Database):
    """By default it may; not with `contribute=false`, nor where the installation keeps no bank."""

    def contributes(answer: Any) -> bool | None:
        with database.transaction() as session:
            return session.get_one(Job, answer.json()["id"]).contributes

    client = start()
    assert contributes(post(client)) is True
    assert contributes(post(client, contribute="false")) is None
    assert post(client, contribute="no").status_code == 422
    assert contributes(post(start(bank={"enabled": False}))) is None


def test_a_job_can_be_local_only(client: TestClient, database: Database):
    """If the job or its tenant is local_only; the tenant's setting overrides the job's."""
    assert not post(client).json()["local_only"]
    assert post(client, local_only="true").json()["local_only"]
    assert post(client, local_only="yes").status_code == 422
    with database.transaction() as session:
        session.execute(update(Tenant).values(local_only=True))
    assert post(client, local_only="false").json()["local_only"]


def test_the_same_file_is_decoded_once(client: TestClient):
    """A file that the tenant has submitted before becomes another job without a decoder."""
    image = ("x.png", encoded(noise(33, 21)), "image/png")

    def decoded() -> float:
        return REGISTRY.get_sample_value("image_decode_duration_seconds_count") or 0.0

    before = decoded()
    first, second = (client.post("/attribute", files={"image": image}).json() for _ in range(2))
    assert decoded() == before + 1
    assert first["id"] != second["id"]
    assert first["image"] == second["image"]
