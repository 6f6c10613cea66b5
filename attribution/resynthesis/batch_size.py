"""How many images of a source are generated at once: a fixed number, or what measuring shows to be worth it.

What a larger batch gains depends on the model and the device: a small model on one core gains until its overhead is
shared, a large one on a GPU until the GPU is full. So the size doubles as long as that makes an image cheaper.
"""

from collections import defaultdict
from math import inf

_FIRST = 4
# Full batches of a size that are timed before it is judged by the fastest: the first one of a size allocates memory.
_RUNS = 3
# A size is worth it if an image then costs at most this share of what it costs in batches of half the size.
_WORTH = 0.95


class BatchSize:
    """The size of a source's batches. Not thread-safe: one process, one device."""

    def __init__(self, most: int, measure: bool = False) -> None:
        """`most` images at once; or, if it is to be measured, at most so many."""
        self.most = most
        self.size = min(_FIRST, most) if measure else most
        self._settled = not measure or self.size == most
        self._seconds: dict[int, list[float]] = defaultdict(list)  # per image, by size

    def add_measurement(self, images: int, seconds: float) -> None:
        """Takes the time of a batch; those that were not full say nothing."""
        if self._settled or images != self.size:
            return
        self._seconds[images].append(seconds / images)
        if len(self._seconds[images]) < _RUNS:
            return
        half = min(self._seconds.get(images // 2, [inf]))
        if min(self._seconds[images]) > _WORTH * half:
            self.size, self._settled = images // 2, True
        elif 2 * images > self.most:
            self._settled = True
        else:
            self.size = 2 * images

    def reduce(self, images: int) -> None:
        """The device had no memory for so many images at once."""
        self.most = self.size = max(1, images // 2)
        self._settled = True
