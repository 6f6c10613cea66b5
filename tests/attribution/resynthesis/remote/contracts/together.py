"""Together."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="together",
    title="Together",
    path="/v1",
    model="black-forest-labs/FLUX.2-dev",
    parameters={"width": 1024, "height": 1024, "steps": 28},
    not_applicable={
        Case.EXPIRED_URL: "base64 is requested: the image is in the response itself",
        Case.FOREIGN_URL: "base64 is requested: the response contains no address",
    },
)
