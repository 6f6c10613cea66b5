"""Stability AI."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="stability",
    title="Stability AI (v2beta)",
    path="/v2beta",
    model="sd3.5-large",
    parameters={"aspect_ratio": "1:1", "output_format": "png"},
    not_applicable={
        Case.EXPIRED_URL: "the image is in the response itself",
        Case.FOREIGN_URL: "the response contains no address",
    },
    retry_after=60.0,  # its response does not say; its documents do
)
