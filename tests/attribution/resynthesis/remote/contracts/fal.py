"""fal."""

from tests.attribution.resynthesis.remote.contract import Contract

CONTRACT = Contract(
    adapter="fal",
    title="fal (queue)",
    path="",
    model="fal-ai/flux/dev",
    parameters={"image_size": "square_hd", "num_inference_steps": 28, "guidance_scale": 3.5},
    retry_after=5.0,  # its response does not say
)
