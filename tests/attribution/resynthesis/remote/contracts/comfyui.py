"""ComfyUI."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="comfyui",
    title="ComfyUI",
    path="",
    model="sd_xl_base_1.0.safetensors",
    parameters={"steps": 30, "cfg": 5.0, "width": 1024, "height": 1024},
    not_applicable={
        Case.REFUSED_PROMPT: "it generates every prompt",
        Case.REFUSED_OUTPUT: "it has no safety filter",
        Case.RATE_LIMITED: "it queues all requests and has no limit",
        Case.QUOTA: "a self-hosted server has no account",
        Case.FOREIGN_URL: "its responses contain file names, not addresses",
    },
)
