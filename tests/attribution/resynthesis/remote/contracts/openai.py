"""OpenAI images."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="openai",
    title="OpenAI images",
    path="/v1",
    model="gpt-image-2",
    parameters={"size": "1024x1024", "quality": "medium", "moderation": "low"},
    not_applicable={
        Case.SEED: "GPT image models take no seed",
        Case.EXPIRED_URL: "the image is in the response itself",
        Case.FOREIGN_URL: "the response contains no address",
    },
    unbilled=frozenset({Case.REFUSED_OUTPUT}),
)
