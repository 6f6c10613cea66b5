"""The pauses between restarts."""

from devstack.process import Backoff


def test_pauses_double_up_to_the_ceiling() -> None:
    """A process that dies at once is started less and less often, but never given up."""
    backoff = Backoff(first=1, factor=2, ceiling=10, calm=60)
    assert [backoff.after(lived=0) for _ in range(6)] == [1, 2, 4, 8, 10, 10]


def test_a_calm_life_is_forgiven() -> None:
    """Who lived for a while starts over with the shortest pause."""
    backoff = Backoff(first=1, factor=2, ceiling=10, calm=60)
    assert [backoff.after(lived) for lived in (0, 0, 60, 0)] == [1, 2, 1, 2]


def test_it_never_overflows() -> None:
    """A process that dies for weeks still gets a pause."""
    backoff = Backoff()
    assert {backoff.after(0) for _ in range(5000)} <= {0.1 * 2**n for n in range(9)} | {30.0}
