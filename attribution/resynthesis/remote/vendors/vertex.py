"""The Gemini models in a Google Cloud project: other addresses, and tokens instead of keys."""

from urllib.parse import quote

from attribution.resynthesis.remote.tokens import ServiceAccount
from attribution.resynthesis.remote.vendors.gemini import Gemini


class Vertex(Gemini):
    """`POST /publishers/google/models/{model}:generateContent`; the base URL contains project and location."""

    name = "Vertex AI"
    base_url = None
    scheme = ServiceAccount(name, "https://www.googleapis.com/auth/cloud-platform")
    key = "vertex"
    key_format = "a service account's JSON file, or an access token"

    def path(self) -> str:
        """See Gemini."""
        return f"publishers/google/models/{quote(self.model, safe='')}:generateContent"
