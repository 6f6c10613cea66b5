"""Learning early that the process is to stop. The server waits for open requests before it tells the app, so those
that wait for a job would hold it up for as long as they wait.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_requested(do: Callable[[], None]) -> Iterator[None]:
    """Within the block the signals to stop also run `do` in the event loop, before what else they do."""
    if threading.current_thread() is not threading.main_thread():  # as in tests: signals are not ours to catch
        yield
        return
    loop = asyncio.get_running_loop()
    former = {number: signal.getsignal(number) for number in _SIGNALS}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(do)
        then = former[signal.Signals(number)]
        if callable(then):
            then(number, frame)

    for number in _SIGNALS:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
