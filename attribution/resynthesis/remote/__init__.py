"""Sources served by third parties over HTTP: the shared code; `vendors/` has one module per vendor.

Docs: docs/vendors.md.
"""
