"""Replicate."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="replicate",
    title="Replicate",
    path="/v1",
    model="black-forest-labs/flux-dev",
    parameters={"aspect_ratio": "1:1", "num_inference_steps": 28, "guidance": 3.5, "output_format": "png"},
    not_applicable={
        Case.REFUSED_PROMPT: "models do not report whether prompt or image was flagged; a refused output",
    },
)
