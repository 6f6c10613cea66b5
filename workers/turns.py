"""Whose turn it is among tenants that wait for the same process: start-time fair queueing.

Each tenant has a clock that advances by the work done for it; the tenant whose clock is earliest is next. Thus a tenant
with a thousand waiting jobs and one with a single job alternate. A tenant that had nothing to do resumes at the present
time: it has neither saved turns nor lost any.

Each process keeps its own clocks. (Goyal, Vin, Cheng: Start-time Fair Queueing, SIGCOMM 1996.)
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """What a tenant waits for at one source: so many jobs with so many images, the first since so many seconds."""

    jobs: int
    images: int
    seconds: float


class Turns:
    """The clocks of tenants. Not thread-safe.

    `now` is the present time, and `ahead` are the clocks of those that have had their turn; all others' are at `now`.
    """

    def __init__(self) -> None:
        self.ahead: Mapping[uuid.UUID, float] = {}
        self.now = 0.0

    def clock(self, tenant_id: uuid.UUID) -> float:
        """The tenant's clock; of two tenants, the one with the earlier clock is next."""
        return max(self.ahead.get(tenant_id, self.now), self.now)

    def advance(self, tenant_id: uuid.UUID, work: float) -> None:
        """Work has been done for a tenant."""
        self.now = now = self.clock(tenant_id)
        clocks = {**self.ahead, tenant_id: now + work}
        self.ahead = {each: clock for each, clock in clocks.items() if clock > now}

    def allot(self, waiting: Mapping[uuid.UUID, Share], images: int) -> dict[uuid.UUID, int]:
        """How many of each tenant's waiting jobs belong into a batch of so many images; at least one job in all.

        Advances no clock: another process may take the jobs first.
        """
        clocks = {tenant_id: self.clock(tenant_id) for tenant_id in waiting}
        allotted = dict.fromkeys(waiting, 0)
        taken = 0.0
        while open_ := [each for each, share in waiting.items() if allotted[each] < share.jobs]:
            tenant_id = min(open_, key=lambda each: (clocks[each], -waiting[each].seconds))
            cost = waiting[tenant_id].images / waiting[tenant_id].jobs
            if taken > 0 and taken + cost > images:
                break
            allotted[tenant_id] += 1
            clocks[tenant_id] += cost
            taken += cost
        return {tenant_id: jobs for tenant_id, jobs in allotted.items() if jobs}
