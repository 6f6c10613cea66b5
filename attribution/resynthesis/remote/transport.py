"""Requests of one source: with the key to the vendor's own addresses, without it to other addresses in responses."""

from attribution.errors import SourceError, SourceUnavailable
from attribution.ports import Deadline
from attribution.resynthesis.remote.failure import failure
from attribution.resynthesis.remote.http_client import fetch_failure
from attribution.resynthesis.remote.keys import may_see_key, read_key, same_origin, setting_of
from attribution.resynthesis.remote.vendor import Vendor
from attribution.resynthesis.remote.web import MAX_ANSWER_BYTES, MAX_IMAGE_BYTES, Connections, HttpResponse, Request

_FETCHES = 3
_FETCH_PAUSE = 0.5
_SHORTEST_SECRET = 6  # characters; shorter parts of a key such as id:secret are not searched for


class Transport:
    """The requests of one source; `key` is the name of its key in the settings, None if it needs none."""

    def __init__(self, vendor: Vendor, base_url: str, key: str | None, connections: Connections) -> None:
        self._vendor = vendor
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._connections = connections
        self.decode = connections.decode

    def check_key(self) -> None:
        """Raises KeyRefused if there is no usable key. Nothing is sent."""
        if self._key is not None:
            read_key(self._key, self._connections.secrets, self._vendor.name)

    def prepare_key(self, deadline: Deadline) -> None:
        """Reads the key and exchanges it for a token if its scheme needs one. Raises SourceError."""
        self._headers(deadline)

    def call(self, request: Request, deadline: Deadline, max_bytes: int = MAX_ANSWER_BYTES) -> HttpResponse:
        """Sends a request to the vendor, with its key. Raises SourceError, also for an address of another host."""
        url = request.to
        if "://" not in url:
            url = f"{self._base_url}/{url.lstrip('/')}"
        elif not may_see_key(url, self._base_url, self._vendor.hosts):
            raise SourceError(f"{self._vendor.name} responded with an address that is not its own; it was not called.")
        return self._connections.web.send(request, url, self._headers(deadline), deadline, max_bytes)

    def failure(self, response: HttpResponse) -> SourceError:
        """The error that a response stands for, without the key, which some vendors repeat in their messages."""
        setting = None if self._key is None else setting_of(self._key)
        error = failure(self._vendor, response, setting)
        key = None if self._key is None else self._connections.secrets(self._key)
        if key and any(part in str(error) for part in (key, *key.split(":")) if len(part) >= _SHORTEST_SECRET):
            return type(error)(f"{self._vendor.name} responded with status {response.status}.")
        return error

    def image(self, image: bytes | str | Request, deadline: Deadline) -> bytes:
        """The bytes of an image, from the response itself or from the address it names. Raises SourceError."""
        if isinstance(image, bytes):
            return image
        for _ in range(_FETCHES - 1):
            try:
                return self._fetched(image, deadline)
            except SourceUnavailable as error:
                if error.permanent or deadline.remaining() <= _FETCH_PAUSE:
                    raise
                self._connections.sleep(_FETCH_PAUSE)
        return self._fetched(image, deadline)

    def _fetched(self, image: str | Request, deadline: Deadline) -> bytes:
        if isinstance(image, Request):
            response = self.call(image, deadline, MAX_IMAGE_BYTES)
        elif same_origin(image, self._base_url):
            # The operator configured this origin, so it may be private; the address grants access without a key.
            response = self._connections.web.send(Request.get(image), image, {}, deadline, MAX_IMAGE_BYTES)
        else:
            return self._connections.fetch(image, MAX_IMAGE_BYTES, deadline)
        if response.status != 200:
            raise fetch_failure(response.status)
        return response.body

    def _headers(self, deadline: Deadline) -> dict[str, str]:
        if self._key is None:
            return {}
        key = read_key(self._key, self._connections.secrets, self._vendor.name)
        web = self._connections.web
        return dict(
            self._vendor.scheme.headers(
                key, lambda request: web.send(request, request.to, {}, deadline, MAX_ANSWER_BYTES)
            )
        )
