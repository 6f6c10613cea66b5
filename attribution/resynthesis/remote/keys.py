"""Keys to vendors: what they are called, how they are read, and the headers they travel in.

A catalog entry names a key; the value comes through a port when it is needed and is kept nowhere.
"""

import os
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from attribution.errors import KeyRefused
from attribution.resynthesis.remote.web import HttpResponse, Request

SETTING = "VENDOR_KEYS__{name}"

# The name of a key to its value, None where the operator has given none.
Secrets: TypeAlias = Callable[[str], str | None]


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
    """The key. Raises KeyRefused with a sentence that names the setting, and never the key."""
    key = secrets(name)
    if not key:
        raise KeyRefused(f"{source} needs a key, and there is none: set {setting_of(name)}.")
    if key.startswith("{"):
        key = " ".join(key.splitlines())  # a document, as consoles let it be downloaded: its line breaks mean nothing
    # What no header can carry would be quoted in the HTTP library's error.
    if not key.isascii() or not key.isprintable() or key != key.strip():
        raise KeyRefused(f"The key in {setting_of(name)} holds characters that no key has.")
    return key


class Scheme(Protocol):
    """How a key goes along with a request."""

    def headers(self, key: str, call: Callable[[Request], HttpResponse]) -> Mapping[str, str]:
        """The headers. `call` asks a whole address without them, for schemes that first trade the key for a token."""
        ...


@dataclass(frozen=True, slots=True)
class Header:
    """A header that holds the key, in some form of words."""

    name: str
    form: str = "{key}"

    def headers(self, key: str, call: Callable[[Request], HttpResponse]) -> Mapping[str, str]:
        """The one header."""
        return {self.name: self.form.format(key=key)}


class Headers:
    """Several headers that hold the key, for an API that changes its name."""

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
