"""Azure OpenAI, by the v1 route; the other one is in test_azure_openai.py."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="azure_openai",
    title="Azure OpenAI",
    path="/openai/v1",
    model="our-deployment",
    parameters={"size": "1024x1024", "quality": "medium"},
    not_applicable={
        Case.SEED: "GPT image models take no seed",
        Case.EXPIRED_URL: "the image is in the response itself",
        Case.FOREIGN_URL: "the response contains no address",
    },
    unbilled=frozenset({Case.REFUSED_OUTPUT}),
)
