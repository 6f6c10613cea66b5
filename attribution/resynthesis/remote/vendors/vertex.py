"""The same Gemini models through a project in Google Cloud: other addresses, and tokens instead of keys."""

from urllib.parse import quote

from attribution.resynthesis.remote.tokens import ServiceAccount
from attribution.resynthesis.remote.vendors.gemini import Gemini


class Vertex(Gemini):
    """`POST /publishers/google/models/{model}:generateContent`, below the project and the place in the base URL."""

    name = "Vertex AI"
    base_url = None
    scheme = ServiceAccount(name, "https://www.googleapis.com/auth/cloud-platform")
    key = "vertex"
    key_holds = "a service account's JSON file, or an access token"

    def path(self) -> str:
        """See Gemini."""
        return f"publishers/google/models/{quote(self.model, safe='')}:generateContent"


VENDOR = Vertex
