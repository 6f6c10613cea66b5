"""Black Forest Labs."""

from tests.attribution.resynthesis.remote.contract import Contract

CONTRACT = Contract(
    adapter="bfl",
    title="Black Forest Labs",
    path="/v1",
    model="flux-2-pro",
    parameters={"width": 1024, "height": 1024, "output_format": "png"},
)
