"""The one door out: every request to an address that a caller or a vendor handed us, and none that we configured."""

from app.egress.address import check_url
from app.egress.client import EgressResponse, Fetched, Outbound

__all__ = ["EgressResponse", "Fetched", "Outbound", "check_url"]
