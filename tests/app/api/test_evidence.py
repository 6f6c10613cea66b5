"""What an image says of itself, as callers see it: with its caveat, and the same from Postgres."""

from fastapi.testclient import TestClient

from tests.app.images import encoded, noise
from tests.attribution.evidence.files import chunk, png_texts, png_with
from tests.attribution.evidence.signing import Authority
from tests.attribution.evidence.test_parameters import A1111


def post(client: TestClient, data: bytes) -> dict[str, object]:
    """The job that the image became, as polling gives it."""
    accepted = client.post("/attribute", files={"image": ("x", data)})
    assert accepted.status_code == 202, accepted.text
    answer = client.get(f"/attribute/{accepted.json()['id']}").json()
    assert answer["evidence"] == accepted.json()["evidence"]
    return answer


def test_a_plain_image_has_no_evidence(client: TestClient):
    """An empty list: nothing was said."""
    assert post(client, encoded())["evidence"] == []


def test_a_generators_text_is_shown_with_its_caveat(client: TestClient):
    """Model and numbers, not the prompt, and that nothing protects them."""
    assert post(client, png_texts({"parameters": A1111}))["evidence"] == [
        {
            "kind": "text",
            "where": "PNG text parameters",
            "claim": "Names AUTOMATIC1111 or a compatible tool, model dreamshaper_8.",
            "trust": "self_declared",
            "caveat": "Anybody can write, change or remove this; nothing protects it.",
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


def test_credentials_are_shown_with_their_trust(client: TestClient):
    """Without a list of issuers nothing is verified."""
    (finding,) = post(client, Authority().sign(encoded(noise(), "JPEG"), "image/jpeg"))["evidence"]
    assert (finding["kind"], finding["trust"]) == ("c2pa", "untrusted_issuer")


def test_broken_evidence_does_not_cost_the_job(client: TestClient):
    """The job is accepted, and says that something could not be read."""
    broken = png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<broken"))
    (finding,) = post(client, broken)["evidence"]
    assert (finding["kind"], finding["trust"]) == ("xmp", "unreadable")


def test_what_postgres_does_not_take_is_not_in_it(client: TestClient):
    """NUL and lone surrogates, which JSONB refuses."""
    text = '{"model": {"name": "a\\u0000b\\ud800"}, "positive_prompt": "x"}'
    (finding,) = post(client, png_texts({"invokeai_metadata": text}))["evidence"]
    assert finding["model"] == "a b"
