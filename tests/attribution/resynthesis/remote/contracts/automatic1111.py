"""AUTOMATIC1111."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="automatic1111",
    title="AUTOMATIC1111 (web UI)",
    path="",
    model="v1-5-pruned-emaonly.safetensors",
    parameters={"steps": 30, "cfg_scale": 7.5, "width": 512, "height": 512, "sampler_name": "DDIM"},
    not_applicable={
        Case.REFUSED_PROMPT: "it generates every prompt",
        Case.REFUSED_OUTPUT: "it has no safety filter",
        Case.RATE_LIMITED: "it queues all requests and has no limit",
        Case.QUOTA: "a self-hosted server has no account",
        Case.EXPIRED_URL: "the image is in the response itself",
        Case.FOREIGN_URL: "the response contains no address",
    },
)
