"""Vertex AI, called with a token; service accounts are in test_vertex.py."""

from tests.attribution.resynthesise.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="vertex",
    title="Gemini (Vertex AI)",
    path="/v1",
    model="gemini-3.1-flash-image",
    parameters={"project": "our-project", "location": "us-central1", "aspect_ratio": "1:1", "image_size": "1K"},
    not_applicable={
        Case.EXPIRED_URL: "the image is in the answer itself",
        Case.FOREIGN_URL: "the answer names no address",
    },
)
