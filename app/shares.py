"""A limited number of places, shared fairly: an owner gets another one while it holds fewer than are free.

One owner alone gets half of the places. Of n owners that want all of them each gets one of n + 1 parts, and one part
stays free, so that the next owner finds a place however long the others hold theirs (Choudhury and Hahne, "Dynamic
Queue Length Thresholds for Shared-Memory Packet Switches", 1998).
"""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from threading import Lock


class Shares:
    """The places; all methods may be called by any thread, and none waits."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._held: Counter[Hashable] = Counter()
        self._lock = Lock()

    def take(self, owner: Hashable) -> bool:
        """Takes a place for an owner, if its share allows; it is to be released."""
        with self._lock:
            allowed = may_take(self._total, self._held.total(), self._held[owner])
            self._held[owner] += allowed
            self._held += Counter()  # owners without a place are not kept
        return allowed

    def release(self, owner: Hashable) -> None:
        """Releases one of the owner's places."""
        with self._lock:
            self._held -= Counter([owner])

    @contextmanager
    def held(self, owner: Hashable) -> Iterator[bool]:
        """Whether there was a place for the owner; it is held until the block is left."""
        taken = self.take(owner)
        try:
            yield taken
        finally:
            if taken:
                self.release(owner)


def may_take(total: int, held: int, own: int) -> bool:
    """Whether an owner that holds `own` of the `held` places may take one more of `total`."""
    return own < total - held
