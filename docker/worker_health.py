"""The workers' health check: does the worker in this container have a recent heartbeat?

Exits 0 if so, 1 if not. Exits 0 as well while Redis is unavailable: there are no heartbeats then, and restarting the
worker would not fix Redis. It imports little, because it runs twice a minute beside every worker.
"""

import socket
import sys
import time
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from app.queue.heartbeats import FRESH_SECONDS
from app.settings import load_settings

# Those of app.queue.steps, which would import SQLAlchemy; a test compares.
ROLES = ("light", "caption", "embed", "local", "remote")


def warm_roles(redis: Redis, host: str, now: float) -> list[str]:
    """The roles of which a worker on this host has a recent heartbeat. Raises RedisError."""
    since = now - FRESH_SECONDS
    # The keys of app.queue.heartbeats; a test records heartbeats there and reads them here.
    names: dict[str, Any] = {role: redis.zrangebyscore(f"workers:{role}", since, "+inf") for role in ROLES}
    return [role for role in ROLES if any(name.startswith(f"{host}:".encode()) for name in names[role])]


def main() -> int:
    """Prints the warm roles; returns the exit code."""
    settings = load_settings().redis
    seconds = settings.timeout.total_seconds()
    redis = Redis.from_url(
        settings.url.get_secret_value(), socket_timeout=seconds, socket_connect_timeout=seconds, retry=None
    )
    try:
        warm = warm_roles(redis, socket.gethostname(), time.time())
    except RedisError as error:
        print(f"Redis does not respond ({type(error).__name__}); the state of this worker is unknown.")
        return 0
    print(f"warm: {', '.join(warm)}" if warm else f"no worker on {socket.gethostname()} has a recent heartbeat")
    return 0 if warm else 1


if __name__ == "__main__":
    sys.exit(main())
