"""Vertex AI, called with a token; service accounts are in test_vertex.py."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="vertex",
    title="Gemini (Vertex AI)",
    path="/v1/projects/our-project/locations/us-central1",
    model="gemini-3.1-flash-image",
    parameters={"aspectRatio": "1:1", "imageSize": "1K"},
    not_applicable={
        Case.EXPIRED_URL: "the image is in the response itself",
        Case.FOREIGN_URL: "the response contains no address",
    },
)
