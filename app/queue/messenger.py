"""Sends messages from a thread of its own: whoever accepts a job waits neither for the broker nor for a thread.

What is lost when this process dies, or with a broker that is unavailable, the sweep hands on.
"""

import queue
from collections.abc import Iterable
from threading import Thread

from app.queue.broker import Broker
from app.queue.steps import QueuedStep

# Sent over one connection before anybody looks whether it is time to stop.
_AT_ONCE = 100


class Messenger:
    """Messages go in the order they came, those that wait together go together."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: queue.SimpleQueue[tuple[QueuedStep, ...] | None] = queue.SimpleQueue()
        self._thread = Thread(target=self._send, name="messenger", daemon=True)
        self._thread.start()

    def soon(self, steps: Iterable[QueuedStep]) -> None:
        """Returns at once. To be called after the commit that made the messages true."""
        self._waiting.put(tuple(steps))

    def close(self, patience: float) -> None:
        """Sends what is there, but for no longer than so many seconds."""
        self._waiting.put(None)
        self._thread.join(patience)

    def _send(self) -> None:
        while (steps := self._waiting.get()) is not None:
            together = list(steps)
            last = False
            while len(together) < _AT_ONCE and not self._waiting.empty():
                more = self._waiting.get()
                if more is None:
                    last = True
                    break
                together += more
            self._broker.enqueue(together)
            if last:
                return
