"""The workers' health check: did the worker in this container say lately that it is warm?

Exits 0 if so, 1 if not. Exits 0 as well while Redis is away: the worker cannot say anything then, and starting it
again would not mend Redis.
"""

import socket
import sys
import time

from redis import Redis
from redis.exceptions import RedisError

from app.queue.heartbeats import FRESH_SECONDS
from app.queue.steps import Role
from app.settings import load_settings
from app.store.snapshots import connect_redis


def warm_roles(redis: Redis, host: str, now: float) -> list[str]:
    """The roles for which a worker on this host beat within the last seconds. Raises RedisError."""
    return [
        role.value
        for role in Role
        if any(
            name.decode().startswith(f"{host}:")
            # The keys of app.queue.heartbeats; a test beats there and looks here.
            for name in redis.zrangebyscore(f"workers:{role.value}", now - FRESH_SECONDS, "+inf")
        )
    ]


def main() -> int:
    """Prints what it found; the exit code is the verdict."""
    try:
        warm = warm_roles(connect_redis(load_settings().redis), socket.gethostname(), time.time())
    except RedisError as error:
        print(f"Redis does not answer ({type(error).__name__}); nothing is known of this worker.")
        return 0
    print(f"warm: {', '.join(warm)}" if warm else f"no worker on {socket.gethostname()} said that it is warm")
    return 0 if warm else 1


if __name__ == "__main__":
    sys.exit(main())
