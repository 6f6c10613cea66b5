"""The newest bank of past jobs, per feature space."""

from attribution.bank import Bank
from workers.storage import Storage


def newest_bank(storage: Storage, space: str) -> Bank | None:
    """The newest state of the bank; None where there is none."""
    return None
