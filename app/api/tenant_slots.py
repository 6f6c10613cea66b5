"""Slots for requests that last: uploads, streams, waits. No tenant can have all of them."""

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class TenantSlots:
    """A number of slots of one process, of which each tenant has a share."""

    def __init__(self, total: int, per_tenant: int) -> None:
        self._free = total
        self._per_tenant = per_tenant
        self._held: Counter[uuid.UUID] = Counter()

    @contextmanager
    def take(self, tenant_id: uuid.UUID) -> Iterator[bool]:
        """Whether a slot was free for this tenant; it is held until the block is left."""
        taken = self._free > 0 and self._held[tenant_id] < self._per_tenant
        if taken:
            self._free -= 1
            self._held[tenant_id] += 1
        try:
            yield taken
        finally:
            if taken:
                self._free += 1
                self._held[tenant_id] -= 1
            if not self._held[tenant_id]:
                del self._held[tenant_id]
