"""Ideogram 3.0, which takes a seed; 4.0 is in test_ideogram.py."""

from tests.attribution.resynthesis.remote.contract import Contract

CONTRACT = Contract(
    adapter="ideogram",
    title="Ideogram 3.0 (4.0 takes no seed)",
    path="/v1",
    model="ideogram-v3",
    parameters={"aspect_ratio": "1x1", "rendering_speed": "DEFAULT"},
    retry_after=None,  # how long is not documented
)
