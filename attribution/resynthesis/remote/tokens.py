"""Schemes that exchange a key for a token first (OAuth 2.0): client credentials, and Google service accounts.

Tokens are kept in memory until shortly before they expire, under a hash of the key, and shared by threads.
"""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from threading import Lock
from urllib.parse import urlencode

from attribution.errors import ConnectionFailed, KeyRefused, RateLimited, SourceTimeout, SourceUnavailable
from attribution.resynthesis.remote.response_fields import number, required_text, text
from attribution.resynthesis.remote.web import HttpResponse, Request

Call = Callable[[Request], HttpResponse]

_EARLY = 60  # a token is renewed this many seconds before it expires
_DEFAULT = 300  # lifetime in seconds of a token whose response does not state one
_AUDIENCE = "https://oauth2.googleapis.com/token"  # whatever token_uri the key file names, as in Google's own library
_FORM = {"content-type": "application/x-www-form-urlencoded"}


class Tokens:
    """The tokens of one vendor."""

    def __init__(self, vendor: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._vendor = vendor
        self._clock = clock
        self._lock = Lock()
        self._kept: dict[bytes, tuple[str, float]] = {}

    def token(self, key: str, request: Callable[[], Request], call: Call) -> str:
        """The key's token, requested again if it has expired. Raises SourceError; nothing was submitted then."""
        name = sha256(key.encode()).digest()
        with self._lock:
            token, until = self._kept.get(name, ("", 0.0))
            if self._clock() < until:
                return token
            token, lasts = self._requested(request(), call)
            self._kept[name] = (token, self._clock() + max(0, lasts - _EARLY))
            return token

    def _requested(self, request: Request, call: Call) -> tuple[str, int]:
        try:
            response = call(request)
        except SourceTimeout:
            raise
        except SourceUnavailable as error:
            raise ConnectionFailed(f"{self._vendor} issued no token for the key: {error}") from error
        if response.status == 429:
            raise RateLimited(f"{self._vendor} issues no more tokens for now.")
        if response.status >= 500:
            raise ConnectionFailed(f"{self._vendor} issues no tokens at the moment (status {response.status}).")
        if not response.good:
            code = text(response.document_or_none(), "error")
            known = f", {code}" if code in _KNOWN_ERRORS else ""
            raise KeyRefused(f"{self._vendor} issues no token for the key (status {response.status}{known}).")
        document = response.document()
        return required_text(document, "access_token"), number(document, "expires_in") or _DEFAULT


# RFC 6749, section 5.2; any other text could repeat the secret.
_KNOWN_ERRORS = ("invalid_client", "invalid_grant", "invalid_request", "invalid_scope", "unauthorized_client")


class ClientCredentials:
    """The key is `id:secret`; the id is sent with the token, in the header `id_header`."""

    def __init__(self, vendor: str, url: str, scope: str, id_header: str) -> None:
        self._vendor = vendor
        self._url = url
        self._scope = scope
        self._id_header = id_header
        self._tokens = Tokens(vendor)

    def headers(self, key: str, call: Call) -> Mapping[str, str]:
        """See `Scheme`."""
        client, colon, secret = key.partition(":")
        if not (client and colon and secret):
            raise KeyRefused(f"The key to {self._vendor} must be the client's id and its secret, separated by a colon.")
        form = {
            "grant_type": "client_credentials",
            "client_id": client,
            "client_secret": secret,
            "scope": self._scope,
        }
        request = Request("POST", self._url, _FORM, urlencode(form).encode())
        token = self._tokens.token(key, lambda: request, call)
        return {"authorization": f"Bearer {token}", self._id_header: client}


class ServiceAccount:
    """The key is a service account's JSON file, with which an assertion is signed (RFC 7523), or a token."""

    def __init__(self, vendor: str, scope: str) -> None:
        self._vendor = vendor
        self._scope = scope
        self._tokens = Tokens(vendor)

    def headers(self, key: str, call: Call) -> Mapping[str, str]:
        """See `Scheme`."""
        token = self._tokens.token(key, lambda: self._assertion(key), call) if key.startswith("{") else key
        return {"authorization": f"Bearer {token}"}

    def _assertion(self, key: str) -> Request:
        from cryptography.hazmat.primitives.asymmetric import padding
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            account = json.loads(key)
            email, url, pem = account["client_email"], account["token_uri"], account["private_key"]
            private = load_pem_private_key(pem.encode(), password=None)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._unusable() from None  # the cause could quote the key
        if not isinstance(private, RSAPrivateKey):
            raise self._unusable()
        now = int(time.time())
        head = {"alg": "RS256", "typ": "JWT", "kid": account.get("private_key_id")}
        claims = {"iss": email, "scope": self._scope, "aud": _AUDIENCE, "iat": now, "exp": now + 3600}
        signed = f"{_encoded(json.dumps(head).encode())}.{_encoded(json.dumps(claims).encode())}"
        signature = _encoded(private.sign(signed.encode(), padding.PKCS1v15(), SHA256()))
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": f"{signed}.{signature}"}
        return Request("POST", url, _FORM, urlencode(form).encode())

    def _unusable(self) -> KeyRefused:
        return KeyRefused(f"The key to {self._vendor} must be a service account's JSON file, or an access token.")


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
