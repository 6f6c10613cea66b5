"""HTTP requests and responses as values, and the ports through which the method reaches the network.

`Web` sends requests to addresses that the operator configured or that belong to the vendor: keys are sent only here.
`Fetch` downloads other addresses that responses name, without a key; the service implements it with its egress client.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import httpx
from PIL.Image import Image

from attribution.errors import SourceError
from attribution.image import decode_image
from attribution.ports import Deadline

MAX_ANSWER_BYTES = 64_000_000  # an image of 4096² as PNG in base64
MAX_IMAGE_BYTES = 48_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `to` is a path below the vendor's base URL, or a whole address from a response.

    It contains no key, so it may be logged.
    """

    method: str
    to: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    @classmethod
    def get(cls, to: str, headers: Mapping[str, str] | None = None) -> "Request":
        """A GET."""
        return cls("GET", to, dict(headers or {}))

    @classmethod
    def json(cls, to: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> "Request":
        """A POST of JSON; members that are None are omitted."""
        text = json.dumps({name: value for name, value in body.items() if value is not None})
        return cls("POST", to, {"content-type": "application/json", **(headers or {})}, text.encode())

    @classmethod
    def form(cls, to: str, fields: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> "Request":
        """A POST of multipart/form-data; fields that are None are omitted."""
        parts = {name: (None, _form_text(value)) for name, value in fields.items() if value is not None}
        built = httpx.Request("POST", "http://form", files=parts)
        return cls("POST", to, {"content-type": built.headers["content-type"], **(headers or {})}, built.read())


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response of any status; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def good(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def document(self) -> Any:
        """The body as JSON. Raises SourceError."""
        try:
            return json.loads(self.body)
        except ValueError:
            kind = self.headers.get("content-type", "no type").partition(";")[0][:60]
            raise SourceError(f"The source responded with something that is not JSON ({kind}).") from None

    def document_or_none(self) -> Any:
        """The body as JSON, None if it is not JSON: a proxy may have sent an HTML page."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Web(Protocol):
    """Sends requests. A response of any status is returned; redirects are not followed."""

    def send(
        self, request: Request, url: str, headers: Mapping[str, str], deadline: Deadline, max_bytes: int
    ) -> HttpResponse:
        """Send `request` to `url`.

        Args:
            request: Method, headers and body.
            url: The whole address.
            headers: Additional headers: the key.
            deadline: When to give up.
            max_bytes: The largest response.

        Raises:
            ConnectionFailed: Nothing was sent.
            ResponseLost: The request was sent, and no whole response came.
            SourceTimeout: The deadline passed.
            SourceError: The response has more than `max_bytes`.
        """
        ...


# (address, most bytes, deadline) to its content. Raises SourceError, of which SourceUnavailable may be retried.
Fetch: TypeAlias = Callable[[str, int, Deadline], bytes]
# From the bytes of an image to its pixels, RGB in canonical size. Raises ImageError.
Decode: TypeAlias = Callable[[bytes], Image]
# From the name of a key to its value, None where the operator has set none.
Secrets: TypeAlias = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Connections:
    """The ports that remote sources need: calls with a key, downloads without one, the values of keys, time, decoding.

    A service decodes in a process that has no keys; by default it is done here.
    """

    web: Web
    fetch: Fetch
    secrets: Secrets
    sleep: Callable[[float], None] = time.sleep
    decode: Decode = decode_image


def _form_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
