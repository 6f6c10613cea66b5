"""Real Postgres and Valkey from wheels, and the service on top: used by `make demo` and the tests."""

from devstack.servers import Servers, servers

__all__ = ["Servers", "servers"]
