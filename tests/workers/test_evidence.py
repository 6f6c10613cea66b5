"""An image's evidence as callers see it after screening: with its caveat, from Postgres."""

from collections.abc import Callable
from typing import Any

import pytest

from app.db.models import JobStatus
from tests.app.images import encoded, noise
from tests.attribution.evidence.files import chunk, png_texts, png_with
from tests.attribution.evidence.signing import Authority
from tests.attribution.evidence.test_parameters import A1111
from tests.workers.harness import Bench

ReadEvidence = Callable[[bytes], list[dict[str, Any]]]


@pytest.fixture
def evidence(bench: Callable[..., Bench]) -> ReadEvidence:
    """What the job of a file ends with."""
    here = bench({"a": ""})

    def read(data: bytes) -> list[dict[str, Any]]:
        job_id = here.submit(file=data)
        here.run()
        document = here.document(job_id).model_dump(mode="json")
        assert document["status"] == JobStatus.SUCCEEDED
        return document["evidence"]

    return read


def test_a_plain_image_has_no_evidence(evidence: ReadEvidence):
    """An empty list: nothing was said."""
    assert evidence(encoded()) == []


def test_a_generators_text_is_shown_with_its_caveat(evidence: ReadEvidence):
    """Model and numbers, not the prompt, and that nothing protects them."""
    assert evidence(png_texts({"parameters": A1111})) == [
        {
            "kind": "text",
            "where": "PNG text parameters",
            "claim": "Names AUTOMATIC1111 or a compatible tool, model dreamshaper_8.",
            "trust": "self_declared",
            "caveat": "Anyone can write, change or remove this; it is not protected.",
            "generator": "AUTOMATIC1111 or a compatible tool",
            "model": "dreamshaper_8",
            "source_type": None,
            "says_ai": True,
            "prompt_present": True,
            "details": {
                "model_hash": "4199bcdd14",
                "sampler": "DPM++ 2M Karras",
                "steps": "20",
                "cfg_scale": "7",
                "seed": "965400086",
                "size": "512x768",
                "version": "v1.10.1",
            },
        }
    ]


def test_credentials_are_shown_with_their_trust(evidence: ReadEvidence):
    """Without a list of issuers nothing is verified."""
    (finding,) = evidence(Authority().sign(encoded(noise(), "JPEG"), "image/jpeg"))
    assert (finding["kind"], finding["trust"]) == ("c2pa", "untrusted_issuer")


def test_broken_evidence_does_not_cost_the_job(evidence: ReadEvidence):
    """The job ends, and its evidence says that something could not be read."""
    broken = png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<broken"))
    (finding,) = evidence(broken)
    assert (finding["kind"], finding["trust"]) == ("xmp", "unreadable")


def test_what_postgres_does_not_take_is_not_in_it(evidence: ReadEvidence):
    """NUL and lone surrogates, which JSONB refuses."""
    text = '{"model": {"name": "a\\u0000b\\ud800"}, "positive_prompt": "x"}'
    (finding,) = evidence(png_texts({"invokeai_metadata": text}))
    assert finding["model"] == "a b"
