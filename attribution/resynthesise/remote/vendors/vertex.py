"""The same Gemini models through a project in Google Cloud: other addresses, and tokens instead of keys."""

from collections.abc import Mapping
from urllib.parse import quote

from attribution.errors import ConfigurationError
from attribution.resynthesise.remote.tokens import ServiceAccount
from attribution.resynthesise.remote.vendor import Option, taking
from attribution.resynthesise.remote.vendors.gemini import Gemini

_GLOBAL = "global"


class Vertex(Gemini):
    """`POST /projects/{project}/locations/{location}/publishers/google/models/{model}:generateContent`."""

    name = "Vertex AI"
    key = "vertex"
    key_holds = "a service account's JSON file, or an access token"
    options = taking(project=str, location=str, aspect_ratio=str, image_size=str, temperature=float)

    def __init__(self, model: str, options: Mapping[str, Option] | None = None) -> None:
        super().__init__(model, options)
        self._project = str(self.given.get("project", ""))
        self._location = str(self.given.get("location", _GLOBAL))
        if not self._project:
            raise ConfigurationError(f"{self.name} needs the parameter project: the id of a project in Google Cloud.")
        if not self._location.replace("-", "").isalnum():
            raise ConfigurationError(f"{self.name}: parameter location must be a region's name, or global.")
        host = "" if self._location == _GLOBAL else f"{self._location}-"
        self.base_url = f"https://{host}aiplatform.googleapis.com/v1"
        self.scheme = ServiceAccount(self.name, "https://www.googleapis.com/auth/cloud-platform")

    def path(self) -> str:
        """See Gemini."""
        project, model = quote(self._project, safe=""), quote(self.model, safe="")
        return f"projects/{project}/locations/{self._location}/publishers/google/models/{model}:generateContent"


VENDOR = Vertex
