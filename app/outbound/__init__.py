"""The one door out: every request to an address that a caller or a vendor handed us, and none that we configured."""

from app.outbound.address import check_url
from app.outbound.client import Answer, Fetched, Outbound

__all__ = ["Answer", "Fetched", "Outbound", "check_url"]
