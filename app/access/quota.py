"""The limits on how much may be asked, as answers say them: `RateLimit` fields, and the problems of who passed one.

The fields are those of draft-ietf-httpapi-ratelimit-headers-11; so are the problems' types.
"""

from functools import lru_cache

from app.access.rates import WINDOW, Allowance
from app.errors import QuotaExceeded, ReducedCapacity

POLICY, LIMIT = "RateLimit-Policy", "RateLimit"
# Seconds after which it is worth asking again whether a place is free.
_PLACE_WAIT = 1
_QUEUE_WAIT = 5


@lru_cache
def policies(requests_per_minute: int, concurrent_jobs: int) -> str:
    """What a key is held to."""
    return f'"requests";q={requests_per_minute};w={WINDOW}, "jobs";q={concurrent_jobs};qu="concurrent-requests"'


def left(allowance: Allowance) -> str:
    """What is left of the requests."""
    return f'"requests";r={allowance.remaining};t={allowance.reset}'


def too_many_requests(allowance: Allowance) -> QuotaExceeded:
    """For a key that has made its requests."""
    return QuotaExceeded(
        f"The key has made its {allowance.limit:,} requests of this minute; try again when the next one begins.",
        headers={"Retry-After": str(allowance.reset)},
        **{"violated-policies": ["requests"]},
    )


def too_many_jobs() -> QuotaExceeded:
    """For a tenant that has its number of open jobs."""
    return QuotaExceeded(
        "As many jobs as are allowed at once have not ended; hand in the next one when one of them has.",
        headers={"Retry-After": str(_PLACE_WAIT), LIMIT: f'"jobs";r=0;t={_PLACE_WAIT}'},
        **{"violated-policies": ["jobs"]},
    )


def queues_too_long(max_open: int) -> ReducedCapacity:
    """For everybody, when more waits than can be done."""
    return ReducedCapacity(
        "More jobs are waiting than can be done soon; try again later.",
        headers={
            "Retry-After": str(_QUEUE_WAIT),
            POLICY: f'"queue";q={max_open};qu="concurrent-requests"',
            LIMIT: f'"queue";r=0;t={_QUEUE_WAIT}',
        },
        **{"violated-policies": ["queue"]},
    )
