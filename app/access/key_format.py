"""The format of an API key: `wd_<prefix>_<secret>`. Only its hash is stored.

The prefix identifies a key to people and is shown again. The secret has 256 random bits, so one round of SHA-256 is as
good as a slow hash: it cannot be guessed. The last six characters are a checksum, by which secret scanners
recognize a key, and which refuses an invalid one without a query.
"""

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PREFIX = 8
_SECRET = 43  # characters of base 62 for 256 bits
_CHECKSUM = 6  # … for 32 bits
_SHAPE = re.compile(rf"wd_[0-9A-Za-z]{{{_PREFIX}}}_[0-9A-Za-z]{{{_SECRET + _CHECKSUM}}}")


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """A new key, while its text still exists."""

    text: str
    prefix: str
    sha256: str


def make_key() -> GeneratedKey:
    """A new random key."""
    prefix = "wd_" + "".join(secrets.choice(_ALPHABET) for _ in range(_PREFIX))
    body = f"{prefix}_{_base62(secrets.randbits(256), _SECRET)}"
    text = body + _checksum(body)
    return GeneratedKey(text, prefix, hashlib.sha256(text.encode()).hexdigest())


def digest_of(text: str) -> str | None:
    """The SHA-256 under which a key is stored, in hexadecimal; None for a text that is no key."""
    if not _SHAPE.fullmatch(text) or _checksum(text[:-_CHECKSUM]) != text[-_CHECKSUM:]:
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
