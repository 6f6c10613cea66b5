"""Stubs of all vendors: one HTTP server that implements each API, counts what it bills, and can fail on demand.

For tests, for measuring, and for `python -m stub_vendors`. The vendors' own SDKs check it in
tests/stub_vendors; it imports nothing of the adapters that are tested against it.
"""

from stub_vendors.server import Stub, make_application, serve

__all__ = ["Stub", "make_application", "serve"]
