"""Leonardo."""

from tests.attribution.resynthesis.remote.contract import Contract

CONTRACT = Contract(
    adapter="leonardo",
    title="Leonardo.Ai",
    path="/api/rest/v1",
    model="de7d3faf-762f-48e0-b3b7-9d0ac3a3fcf3",
    parameters={"width": 1024, "height": 1024, "contrast": 3.5, "alchemy": True},
    retry_after=None,  # how long is not documented
)
