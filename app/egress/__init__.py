"""The egress client: all requests to URLs from callers or vendors, and none to those that the operator configured."""

from app.egress.client import EgressClient, EgressResponse, Fetched
from app.egress.connect import check_url

__all__ = ["EgressClient", "EgressResponse", "Fetched", "check_url"]
