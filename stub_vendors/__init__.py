"""Vendors that are not there: one HTTP server that speaks each one's contract, counts what it bills, and misbehaves.

For tests, for measuring, and for `python -m stub_vendors`. What it says is checked by the vendors' own SDKs, in
tests/stub_vendors; it imports nothing of the adapters that are tested against it.
"""

from stub_vendors.application import make_application
from stub_vendors.server import Stub, serve

__all__ = ["Stub", "make_application", "serve"]
