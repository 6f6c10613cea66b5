"""Real Postgres and Valkey from wheels, and the service on top: what `make demo` and the tests stand on."""

from devstack.servers import Servers, servers

__all__ = ["Servers", "servers"]
