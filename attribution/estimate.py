"""What past jobs say about a query, and what such statements were worth. Like `ports.py`, it imports nothing heavy."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """What a kind of statement was worth in simulated queries, whose sources were known.

    Attributes:
        queries: How many there were.
        named: The share about which it was made.
        right: The share of those about which it was right; None where it was made about none.
        strangers: How many queries by sources that were left out.
        strangers_named: The share of those about which it was made.
    """

    queries: int
    named: float
    right: float | None
    strangers: int = 0
    strangers_named: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What past jobs say about a query, calibrated on past resyntheses.

    Attributes:
        bank: The bank's state that answered.
        jobs: How many past jobs of each tested source it has at least, as a round number.
        prediction_set: The sources that the image is by with 90 % probability, if it is by a tested one; likeliest
            first.
        coverage: That probability.
        fit: How like the images of the likeliest source the query is, in standard deviations from the mean of that
            source's own images: far below 0, it is probably by none of the sources.
    """

    bank: str
    jobs: Mapping[str, int]
    prediction_set: tuple[str, ...]
    coverage: float
    fit: float
