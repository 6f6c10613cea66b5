"""Limits in responses: the `RateLimit` headers, and the errors of a request that exceeds a limit.

Headers and problem types are those of draft-ietf-httpapi-ratelimit-headers-11.
"""

from functools import lru_cache

from app.access.rates import WINDOW, Allowance
from app.errors import QuotaExceeded, ReducedCapacity

POLICY, LIMIT = "RateLimit-Policy", "RateLimit"
# Seconds after which to try again.
_JOBS_WAIT = 1
_QUEUE_WAIT = 5


@lru_cache
def policies(requests_per_minute: int, concurrent_jobs: int) -> str:
    """The limits of a key."""
    return f'"requests";q={requests_per_minute};w={WINDOW}, "jobs";q={concurrent_jobs};qu="concurrent-requests"'


def remaining(allowance: Allowance) -> str:
    """The remaining requests of a key."""
    return f'"requests";r={allowance.remaining};t={allowance.reset}'


def too_many_requests(allowance: Allowance) -> QuotaExceeded:
    """The error of a key that has used up its requests."""
    return QuotaExceeded(
        f"The key has used its {allowance.limit:,} requests of this minute; try again in the next one.",
        headers={"Retry-After": str(allowance.reset)},
        **{"violated-policies": ["requests"]},
    )


def too_many_jobs() -> QuotaExceeded:
    """The error of a tenant that has as many open jobs as it may have."""
    return QuotaExceeded(
        "The tenant has as many open jobs as it may have; submit the next one when one of them has ended.",
        headers={"Retry-After": str(_JOBS_WAIT), LIMIT: f'"jobs";r=0;t={_JOBS_WAIT}'},
        **{"violated-policies": ["jobs"]},
    )


def queues_too_long(max_open: int) -> ReducedCapacity:
    """The error of every caller while the queues are too long."""
    return ReducedCapacity(
        "Too many jobs are queued; try again later.",
        headers={
            "Retry-After": str(_QUEUE_WAIT),
            POLICY: f'"queue";q={max_open};qu="concurrent-requests"',
            LIMIT: f'"queue";r=0;t={_QUEUE_WAIT}',
        },
        **{"violated-policies": ["queue"]},
    )
