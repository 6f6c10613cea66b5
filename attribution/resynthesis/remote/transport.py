"""The two ways to a vendor: with its key to its own addresses, without one to what its answers point to."""

from attribution.errors import SourceError, SourceUnavailable
from attribution.ports import Deadline
from attribution.resynthesis.remote.connections import Connections
from attribution.resynthesis.remote.failure import failure
from attribution.resynthesis.remote.http_client import fetch_failure
from attribution.resynthesis.remote.key_scope import may_see_key, same_origin
from attribution.resynthesis.remote.keys import read_key, setting_of
from attribution.resynthesis.remote.vendor import Vendor
from attribution.resynthesis.remote.web import MAX_ANSWER_BYTES, MAX_IMAGE_BYTES, HttpResponse, Request

_FETCHES = 3
_FETCH_PAUSE = 0.5
_SHORTEST_SECRET = 6  # of the parts of a key such as id:secret


class Transport:
    """One source's; `key` is the name of its key in the settings, None where it is called without."""

    def __init__(self, vendor: Vendor, base_url: str, key: str | None, outside: Connections) -> None:
        self._vendor = vendor
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._outside = outside

    def check_key(self) -> None:
        """Raises KeyRefused where there is no usable key; nobody is called."""
        if self._key is not None:
            read_key(self._key, self._outside.secrets, self._vendor.name)

    def take_key(self, deadline: Deadline) -> None:
        """Reads the key, and trades it where it must be: before anything is ordered. Raises SourceError."""
        self._headers(deadline)

    def call(self, request: Request, deadline: Deadline, max_bytes: int = MAX_ANSWER_BYTES) -> HttpResponse:
        """Calls the vendor with its key, if it has one. Raises SourceError; an address of others is not called."""
        url = request.to
        if "://" not in url:
            url = f"{self._base_url}/{url.lstrip('/')}"
        elif not may_see_key(url, self._base_url, self._vendor.hosts):
            raise SourceError(f"{self._vendor.name} answered with an address that is not its own; it was not called.")
        return self._outside.web.send(request, url, self._headers(deadline), deadline, max_bytes)

    def failure(self, answer: HttpResponse) -> SourceError:
        """The error that an answer stands for; a key that a vendor repeats to us does not get into it."""
        setting = None if self._key is None else setting_of(self._key)
        error = failure(self._vendor, answer, setting)
        key = None if self._key is None else self._outside.secrets(self._key)
        if key and any(part in str(error) for part in (key, *key.split(":")) if len(part) >= _SHORTEST_SECRET):
            return type(error)(f"{self._vendor.name} answered with status {answer.status}.")
        return error

    def image(self, image: bytes | str | Request, deadline: Deadline) -> bytes:
        """The bytes of an image, wherever they are. Raises SourceError."""
        if isinstance(image, bytes):
            return image
        for _ in range(_FETCHES - 1):
            try:
                return self._fetched(image, deadline)
            except SourceUnavailable as error:
                if error.permanent or deadline.remaining() <= _FETCH_PAUSE:
                    raise
                self._outside.sleep(_FETCH_PAUSE)
        return self._fetched(image, deadline)

    def _fetched(self, image: str | Request, deadline: Deadline) -> bytes:
        if isinstance(image, Request):
            answer = self.call(image, deadline, MAX_IMAGE_BYTES)
        elif same_origin(image, self._base_url):
            # The operator chose that origin, so it need not be public; the address itself is the permission.
            answer = self._outside.web.send(Request.get(image), image, {}, deadline, MAX_IMAGE_BYTES)
        else:
            return self._outside.fetch(image, MAX_IMAGE_BYTES, deadline)
        if answer.status != 200:
            raise fetch_failure(answer.status)
        return answer.body

    def _headers(self, deadline: Deadline) -> dict[str, str]:
        if self._key is None:
            return {}
        key = read_key(self._key, self._outside.secrets, self._vendor.name)
        web = self._outside.web
        return dict(
            self._vendor.scheme.headers(key, lambda asked: web.send(asked, asked.to, {}, deadline, MAX_ANSWER_BYTES))
        )
