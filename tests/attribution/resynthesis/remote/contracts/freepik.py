"""Freepik."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="freepik",
    title="Freepik (Magnific)",
    path="/v1",
    model="mystic",
    parameters={"resolution": "1k", "aspect_ratio": "square_1_1"},
    not_applicable={
        Case.SEED: "no seed is documented for Mystic; other models take one with `send_seed`",
        Case.REFUSED_PROMPT: "the cause of a failed task is not documented; it counts as an error",
        Case.QUOTA: "the response to an empty account is not documented; status 402 would count as quota",
    },
    retry_after=5.0,  # its response does not say
)
