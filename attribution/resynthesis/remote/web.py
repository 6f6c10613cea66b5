"""What a call over HTTP is made of, and the two ports through which the method reaches the world.

`Web` calls addresses that the operator configured, or that were found to be the vendor's own: keys go here. `Fetch`
gets what a vendor's answer only points to: no key, and the service puts its guarded client behind it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import httpx

from attribution.errors import SourceError
from attribution.ports import Deadline

MAX_ANSWER_BYTES = 64_000_000  # an image of 4096² as PNG in base64
MAX_IMAGE_BYTES = 48_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """One call; `to` is a path below the vendor's base URL, or a whole address that a vendor handed us.

    Keys are no part of it, so that it may be shown.
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
        """A POST of JSON; members that are None are left out."""
        text = json.dumps({name: value for name, value in body.items() if value is not None})
        return cls("POST", to, {"content-type": "application/json", **(headers or {})}, text.encode())

    @classmethod
    def form(cls, to: str, fields: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> "Request":
        """A POST of multipart/form-data; fields that are None are left out."""
        parts = {name: (None, _form_text(value)) for name, value in fields.items() if value is not None}
        built = httpx.Request("POST", "http://form", files=parts)
        return cls("POST", to, {"content-type": built.headers["content-type"], **(headers or {})}, built.read())


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back, whatever its status; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def good(self) -> bool:
        """Whether the status is one of success."""
        return 200 <= self.status < 300

    def document(self) -> Any:
        """The body as JSON. Raises SourceError."""
        try:
            return json.loads(self.body)
        except ValueError:
            kind = self.headers.get("content-type", "no type").partition(";")[0][:60]
            raise SourceError(f"The source answered with something that is not JSON ({kind}).") from None

    def document_or_none(self) -> Any:
        """The body as JSON, None where it is none: error pages are written by whatever stands in between."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Web(Protocol):
    """Calls an address and returns the answer, whatever its status. Redirects are answers."""

    def send(
        self, request: Request, url: str, headers: Mapping[str, str], deadline: Deadline, max_bytes: int
    ) -> HttpResponse:
        """Sends `request` to `url`, with `headers` (which hold the key) beside its own.

        Raises NotReached, AnswerLost, SourceTimeout once the deadline has passed, or SourceError where the answer
        has more than `max_bytes`.
        """
        ...


# (address, most bytes, deadline) to what it holds. Raises SourceError, of which SourceUnavailable may be tried again.
Fetch: TypeAlias = Callable[[str, int, Deadline], bytes]


def _form_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
