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
        Case.REFUSED_OUTPUT: "it has no filter of its own",
        Case.RATE_LIMITED: "it queues everything and limits nobody",
        Case.QUOTA: "a server of one's own has no account",
        Case.FOREIGN_URL: "its answers name files of its own, and no addresses",
    },
)
