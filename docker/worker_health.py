"""The workers' health check: did the worker in this container say lately that it is warm?

Exits 0 if so, 1 if not. Exits 0 as well while Redis is unavailable: the worker cannot say anything then, and starting it
again would not mend Redis. It imports little, because it runs twice a minute beside every worker.
"""

import socket
import sys
import time
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from app.queue.heartbeats import FRESH_SECONDS
from app.settings import load_settings

# Of app.queue.steps, which would bring SQLAlchemy along; a test compares.
ROLES = ("light", "caption", "embed", "local", "remote")


def warm_roles(redis: Redis, host: str, now: float) -> list[str]:
    """The roles for which a worker on this host beat within the last seconds. Raises RedisError."""
    since = now - FRESH_SECONDS
    # The keys of app.queue.heartbeats; a test beats there and looks here.
    names: dict[str, Any] = {role: redis.zrangebyscore(f"workers:{role}", since, "+inf") for role in ROLES}
    return [role for role in ROLES if any(name.startswith(f"{host}:".encode()) for name in names[role])]


def main() -> int:
    """Prints what it found; the exit code is the verdict."""
    settings = load_settings().redis
    seconds = settings.timeout.total_seconds()
    redis = Redis.from_url(
        settings.url.get_secret_value(), socket_timeout=seconds, socket_connect_timeout=seconds, retry=None
    )
    try:
        warm = warm_roles(redis, socket.gethostname(), time.time())
    except RedisError as error:
        print(f"Redis does not answer ({type(error).__name__}); nothing is known of this worker.")
        return 0
    print(f"warm: {', '.join(warm)}" if warm else f"no worker on {socket.gethostname()} said that it is warm")
    return 0 if warm else 1


if __name__ == "__main__":
    sys.exit(main())
