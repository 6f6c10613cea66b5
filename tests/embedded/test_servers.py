"""The servers as a whole: what they promise to whoever uses them."""

from __future__ import annotations

import psycopg
import redis

from embedded import Servers


def test_both_servers_answer(servers: Servers) -> None:
    """The addresses work as they are, and the durability that the design counts on is switched on."""
    with psycopg.connect(servers.database_url) as connection:
        row = connection.execute(
            "SELECT current_setting('fsync'), current_setting('server_version_num')::int / 10000"
        ).fetchone()
    assert row == ("on", 18)
    with redis.Redis.from_url(servers.redis_url) as client:
        assert client.config_get("append*")["appendonly"] == "yes"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
