"""The egress client: all requests to URLs from callers or vendors, and none to those that the operator configured."""

from app.egress.address import check_url
from app.egress.client import EgressClient, EgressResponse, Fetched

__all__ = ["EgressClient", "EgressResponse", "Fetched", "check_url"]
