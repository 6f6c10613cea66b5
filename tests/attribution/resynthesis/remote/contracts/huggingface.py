"""Hugging Face's router, with hf-inference behind it; the other providers are in vendors/test_huggingface.py."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="huggingface",
    title="Hugging Face Inference Providers",
    path="",
    model="stabilityai/stable-diffusion-xl-base-1.0",
    parameters={"provider": "hf-inference", "width": 1024, "height": 1024, "num_inference_steps": 30},
    not_applicable={
        Case.REFUSED_PROMPT: "it does not check prompts; a provider's filter blackens the image",
        Case.EXPIRED_URL: "the response of hf-inference is the image itself",
        Case.FOREIGN_URL: "the response of hf-inference is the image itself",
    },
)
