"""Which local source a process generates with next, given what waits, for how long, and what loading costs.

1. Tenants take turns (`workers.turns`). The source that comes first is the one where the tenant whose turn it is waits,
   and of these the one where a job has waited longest; of those that one job waits for, the costliest.
2. Among loaded sources, the first is next.
3. A source that is not loaded is next if no loaded one has anything to do; or if it comes first, and generating since
   the last load has taken as long as loading it will. So loading takes at most half of the time, and no source waits
   for more than one turn of each other: neither does a model that is in demand keep others out, nor do two that do not
   fit together change at every batch.
"""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from workers.turns import Share, Turns

# Of loading a source that this process has not loaded yet, per MB: weights from a local disk.
_LOAD_SECONDS_PER_MB = 1 / 500


@dataclass(slots=True)
class SourceCosts:
    """What this process measured: seconds to load each source, seconds per image, and work since the last load."""

    load_seconds: dict[str, float] = field(default_factory=dict)
    image_seconds: dict[str, float] = field(default_factory=dict)
    seconds_since_load: float = 0.0

    def add_load(self, source: str, seconds: float) -> None:
        """A source was loaded."""
        self.load_seconds[source] = seconds
        self.seconds_since_load = 0.0

    def add_batch(self, source: str, images: int, seconds: float) -> None:
        """Images were generated."""
        self.image_seconds[source] = seconds / max(1, images)
        self.seconds_since_load += seconds

    def to_load(self, source: str, memory_mb: int) -> float:
        """What loading a source will take."""
        return self.load_seconds.get(source, memory_mb * _LOAD_SECONDS_PER_MB)


def next_source(
    waiting: Mapping[str, Mapping[uuid.UUID, Share]],
    turns: Turns,
    loaded: Collection[str],
    memory_mb: Mapping[str, int],
    costs: SourceCosts,
) -> str:
    """The source to generate with.

    Args:
        waiting: What waits, by source and tenant; not empty.
        turns: Whose turn it is.
        loaded: The loaded sources.
        memory_mb: The memory of each source.
        costs: What loading and generating have cost.
    """
    order = _in_order(waiting, turns, costs)
    here = [source for source in order if source in loaded]
    first = order[0]
    if here and (first in here or costs.seconds_since_load < costs.to_load(first, memory_mb.get(first, 0))):
        return here[0]
    return first


def _in_order(waiting: Mapping[str, Mapping[uuid.UUID, Share]], turns: Turns, costs: SourceCosts) -> Sequence[str]:
    def place(source: str) -> tuple[float, float, float]:
        clock, seconds = min((turns.clock(tenant_id), -share.seconds) for tenant_id, share in waiting[source].items())
        return clock, seconds, -costs.image_seconds.get(source, 0.0)

    return sorted(waiting, key=place)
