"""Gemini's Developer API."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="gemini",
    title="Gemini (Developer API)",
    path="/v1beta",
    model="gemini-3.1-flash-image",
    parameters={"aspectRatio": "1:1", "imageSize": "1K"},
    not_applicable={
        Case.EXPIRED_URL: "the image is in the response itself",
        Case.FOREIGN_URL: "the response contains no address",
    },
)
