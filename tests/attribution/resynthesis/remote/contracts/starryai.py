"""starryai."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="starryai",
    title="starryai (known from clients' code alone)",
    path="",
    model="lyra",
    parameters={"aspectRatio": "square"},
    not_applicable={
        Case.REFUSED_PROMPT: "how it refuses a prompt is not documented; an error that says so counts as an error",
        Case.REFUSED_OUTPUT: "how it withholds an image is not documented; a blank or no image counts as refused",
        Case.QUOTA: "what an empty account is told is not documented; status 402 would count as quota",
    },
)
