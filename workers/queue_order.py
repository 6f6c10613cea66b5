"""In which order a process with models takes messages from its queues, for kombu's `queue_order_strategy`.

What ends jobs comes first, then what begins them, then generating: a batch can only be filled by jobs that have been
captioned. So that generating goes on however many jobs arrive, it is its turn after every few that were begun.
"""

from collections.abc import Iterable

from kombu.utils.scheduling import round_robin_cycle

from app.db.models import Stage
from app.queue.steps import REFERENCE_QUEUE, STAGE_QUEUES

_ENDING = STAGE_QUEUES[Stage.EMBEDDING]
_BEGINNING = {STAGE_QUEUES[Stage.SCREENING], STAGE_QUEUES[Stage.CAPTIONING], REFERENCE_QUEUE}
# Jobs that are begun between two batches while both wait. A batch of 8 images with γ = 4 is half a job of four sources,
# so that batches are full soon; with more, jobs that arrive would slow down those that are being worked on.
_BEGUN_PER_BATCH = 2


class QueueOrder(round_robin_cycle):
    """The queues of a process; kombu asks for their order before each message."""

    def __init__(self, it: Iterable[str] | None = None) -> None:
        super().__init__(it)  # type: ignore[no-untyped-call]
        self._begun = 0

    def consume(self, n: int) -> list[str]:
        """All queues, in the order in which they are looked into; equals take turns."""
        return sorted(self.items[:n], key=self._rank)

    def rotate(self, last_used: str) -> str:
        """A message was taken from a queue."""
        if last_used in _BEGINNING:
            self._begun += 1
        elif last_used != _ENDING:
            self._begun = 0
        super().rotate(last_used)  # type: ignore[no-untyped-call]
        return last_used

    def _rank(self, queue: str) -> int:
        if queue == _ENDING:
            return 0
        if queue in _BEGINNING:
            return 1 if self._begun < _BEGUN_PER_BATCH else 3
        return 2


NAME = f"{QueueOrder.__module__}:{QueueOrder.__qualname__}"
