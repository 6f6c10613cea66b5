"""starryai."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="starryai",
    title="starryai (known from clients' code alone)",
    path="",
    model="lyra",
    parameters={"aspectRatio": "square"},
    not_applicable={
        Case.REFUSED_PROMPT: "the refusal of a prompt is not documented; such a response counts as an error",
        Case.REFUSED_OUTPUT: "a withheld image is not documented; a blank or missing image counts as refused",
        Case.QUOTA: "the response to an empty account is not documented; status 402 would count as quota",
    },
)
