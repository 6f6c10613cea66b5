"""What remote sources need from the world around the method; the service brings its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from attribution.resynthesis.remote.keys import Secrets, from_environment
from attribution.resynthesis.remote.web import Fetch, Web


@dataclass(frozen=True, slots=True)
class Connections:
    """Ports: calls with a key, fetching what answers point to, the values of keys, and the passing of time."""

    web: Web
    fetch: Fetch
    secrets: Secrets
    sleep: Callable[[float], None] = time.sleep


@lru_cache(maxsize=1)
def default_connections() -> Connections:
    """For use without a service: one client per process, keys from the environment."""
    from attribution.resynthesis.remote.http_client import HttpClient

    client = HttpClient()
    return Connections(client, client.fetch, from_environment)
