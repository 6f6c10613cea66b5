"""What remote sources need from the world around the method; the service brings its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from attribution.resynthesise.remote.keys import Secrets, from_environment
from attribution.resynthesise.remote.web import Fetch, Web


@dataclass(frozen=True, slots=True)
class Outside:
    """Ports: calls with a key, fetching what answers point to, the values of keys, and the passing of time."""

    web: Web
    fetch: Fetch
    secrets: Secrets
    sleep: Callable[[float], None] = time.sleep


@lru_cache(maxsize=1)
def everyday() -> Outside:
    """For use without a service: one client per process, keys from the environment."""
    from attribution.resynthesise.remote.client import Client

    client = Client()
    return Outside(client, client.fetch, from_environment)
