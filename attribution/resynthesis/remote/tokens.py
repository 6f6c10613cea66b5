"""Keys that are traded for tokens before anything can be asked (OAuth 2.0): a client's secret, a service account.

Tokens are kept in memory until shortly before they end, under a hash of the key, and shared by threads.
"""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from threading import Lock
from urllib.parse import urlencode

from attribution.errors import KeyRefused, NotReached, RateLimited, SourceTimeout, SourceUnavailable
from attribution.resynthesis.remote.response_fields import needed, number, text
from attribution.resynthesis.remote.web import HttpResponse, Request

Call = Callable[[Request], HttpResponse]

_EARLY = 60  # seconds before a token's end from which on it is no longer used
_DEFAULT = 300  # seconds that a token lasts whose end is not told
_AUDIENCE = "https://oauth2.googleapis.com/token"  # whatever address a key file names, as Google's library has it
_FORM = {"content-type": "application/x-www-form-urlencoded"}


class Tokens:
    """The tokens of one vendor."""

    def __init__(self, vendor: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._vendor = vendor
        self._clock = clock
        self._lock = Lock()
        self._kept: dict[bytes, tuple[str, float]] = {}

    def token(self, key: str, trade: Callable[[], Request], call: Call) -> str:
        """The key's token, traded anew where there is none that lasts. Raises SourceError; nothing was ordered then."""
        name = sha256(key.encode()).digest()
        with self._lock:
            token, until = self._kept.get(name, ("", 0.0))
            if self._clock() < until:
                return token
            token, lasts = self._traded(trade(), call)
            self._kept[name] = (token, self._clock() + max(0, lasts - _EARLY))
            return token

    def _traded(self, request: Request, call: Call) -> tuple[str, int]:
        try:
            answer = call(request)
        except SourceTimeout:
            raise
        except SourceUnavailable as error:
            raise NotReached(f"{self._vendor} gave no token for the key: {error}") from error
        if answer.status == 429:
            raise RateLimited(f"{self._vendor} gives no more tokens for now.")
        if answer.status >= 500:
            raise NotReached(f"{self._vendor} gives no tokens just now (status {answer.status}).")
        if not answer.good:
            said = text(answer.document_or_none(), "error")
            known = f", {said}" if said in _KNOWN_ERRORS else ""
            raise KeyRefused(f"{self._vendor} gives no token for the key (status {answer.status}{known}).")
        document = answer.document()
        return needed(document, "access_token"), number(document, "expires_in") or _DEFAULT


# Of RFC 6749, section 5.2; any other word might repeat what we sent.
_KNOWN_ERRORS = ("invalid_client", "invalid_grant", "invalid_request", "invalid_scope", "unauthorized_client")


class ClientCredentials:
    """The key is `id:secret`; the id goes along with the token."""

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
            raise KeyRefused(f"The key to {self._vendor} must be the client's id and its secret, with a colon between.")
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
    """The key is a service account's JSON file (RFC 7523: an assertion is signed, the key stays here), or a token."""

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
            raise self._unusable() from None  # the reason could quote the key
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
