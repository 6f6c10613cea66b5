"""Vendor keys: their names, how they are read, the headers they are sent in, and the addresses they may be sent to.

A catalog entry names a key; its value is read through a port when it is needed and is never stored.
"""

import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import httpx

from attribution.errors import KeyRefused
from attribution.resynthesis.remote.web import HttpResponse, Request, Secrets

SETTING = "VENDOR_KEYS__{name}"


def setting_of(name: str) -> str:
    """The environment variable that holds a key."""
    return SETTING.format(name=name.upper())


def from_environment(name: str) -> str | None:
    """`VENDOR_KEYS__NAME`, or the content of the file that `VENDOR_KEYS__NAME_FILE` names."""
    setting = setting_of(name)
    if value := os.environ.get(setting):
        return value
    file = os.environ.get(f"{setting}_FILE")
    return Path(file).read_text().strip() if file else None


def read_key(name: str, secrets: Secrets, source: str) -> str:
    """The key. Raises KeyRefused with a sentence that names the setting but never the key."""
    key = secrets(name)
    if not key:
        raise KeyRefused(f"{source} needs a key, and none is set: set {setting_of(name)}.")
    if key.startswith("{"):
        key = " ".join(key.splitlines())  # a JSON key file: its line breaks have no meaning
    # Characters that no header can carry: the HTTP library would quote the key in its error.
    if not key.isascii() or not key.isprintable() or key != key.strip():
        raise KeyRefused(f"The key in {setting_of(name)} holds characters that a key cannot have.")
    return key


class Scheme(Protocol):
    """How a key is sent with a request."""

    def headers(self, key: str, call: Callable[[Request], HttpResponse]) -> Mapping[str, str]:
        """The headers. `call` sends a request without them, for schemes that first exchange the key for a token."""
        ...


@dataclass(frozen=True, slots=True)
class Header:
    """One header; `form` is its value, in which {key} stands for the key."""

    name: str
    form: str = "{key}"

    def headers(self, key: str, call: Callable[[Request], HttpResponse]) -> Mapping[str, str]:
        """The one header."""
        return {self.name: self.form.format(key=key)}


class Headers:
    """Several headers with the same key, for an API that is being renamed."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def headers(self, key: str, call: Callable[[Request], HttpResponse]) -> Mapping[str, str]:
        """All of them."""
        return dict.fromkeys(self._names, key)


@dataclass(frozen=True, slots=True)
class Basic:
    """HTTP Basic; the key is `user:password`."""

    def headers(self, key: str, call: Callable[[Request], HttpResponse]) -> Mapping[str, str]:
        """The one header."""
        return {"authorization": "Basic " + b64encode(key.encode()).decode()}


BEARER = Header("authorization", "Bearer {key}")


def may_see_key(url: str, base_url: str, hosts: tuple[str, ...]) -> bool:
    """Whether an address from a response belongs to the vendor: https on one of `hosts`, or the origin of `base_url`.

    Responses name addresses to poll. Without this check, a response could direct the key to any host.
    """
    parsed = _parsed(url)
    if parsed is None or parsed.userinfo:
        return False
    if same_origin(url, base_url):
        return True
    own = any(parsed.host == host or parsed.host.endswith(f".{host}") for host in hosts)
    return own and parsed.scheme == "https" and parsed.port is None  # None: httpx drops a scheme's default port


def same_origin(url: str, other: str) -> bool:
    """Whether two addresses share scheme, host and port."""
    one, two = _parsed(url), _parsed(other)
    return one is not None and two is not None and (one.scheme, one.host, one.port) == (two.scheme, two.host, two.port)


def scheme_of(url: str) -> str | None:
    """`https` or `http`, None if the text is no such address."""
    parsed = _parsed(url)
    return parsed.scheme if parsed is not None else None


def _parsed(url: str) -> httpx.URL | None:
    # URL parsers disagree about spaces, line breaks and backslashes.
    if not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return None
    return parsed if parsed.host and parsed.scheme in ("http", "https") else None
