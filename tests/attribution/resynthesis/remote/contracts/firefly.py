"""Adobe Firefly, by the route that answers later; the one that answers at once is in test_firefly.py."""

from tests.attribution.resynthesis.remote.contract import Case, Contract

CONTRACT = Contract(
    adapter="firefly",
    title="Adobe Firefly (v3)",
    path="/v3",
    model="image4_standard",
    parameters={"width": 2048, "height": 2048, "token_url": "{stub}/firefly/ims/token/v3"},
    not_applicable={Case.QUOTA: "no such response is documented; status 402 would count as quota"},
    unbilled=frozenset({Case.REFUSED_OUTPUT}),
    key="client-of-ours:{key}",
    trades_key=True,
)
