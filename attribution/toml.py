"""A strict view of one TOML table, so that every mistake in a file is an error naming the file and the key.

`catalog/reading.py` takes keys out of it one by one; whatever is left at `done()` was a typing error.
"""

import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar, overload

from attribution.errors import ConfigurationError

T = TypeVar("T")
N = TypeVar("N", int, float)
D = TypeVar("D")
E = TypeVar("E", bound=StrEnum)

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_NEEDED: Final = object()


class Table:
    """One table of a file; `prefix` is its path in there, for messages."""

    def __init__(self, path: Path, values: Mapping[str, Any], prefix: str = "") -> None:
        self._path = path
        self._left = dict(values)
        self._prefix = prefix

    @classmethod
    def read(cls, path: Path) -> "Table":
        """The top table of a file."""
        try:
            return cls(path, tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(f"{path}: not readable as TOML: {error}") from error

    def error(self, key: str, what: str) -> ConfigurationError:
        """The mistake at `key`, to be raised."""
        return ConfigurationError(f"{self._path}: {self._prefix}{key} {what}")

    def take(self, key: str, kind: type[T]) -> T:
        """The value at `key`, which must be there and be of that type; an empty string does not count."""
        if key not in self._left:
            raise self.error(key, "is missing")
        value = self._left.pop(key)
        if kind is float and type(value) is int:
            value = float(value)
        # type(), not isinstance(): True is an int, and a date with a time is a date
        if type(value) is not kind or value == "":
            raise self.error(key, f"must be a {kind.__name__}, not {value!r}")
        return value

    def optional(self, key: str, kind: type[T]) -> T | None:
        """The value at `key`, or None where there is none."""
        return self.take(key, kind) if key in self._left else None

    @overload
    def positive(self, key: str, kind: type[N]) -> N: ...
    @overload
    def positive(self, key: str, kind: type[N], default: D) -> N | D: ...
    def positive(self, key: str, kind: type[N], default: object = _NEEDED) -> object:
        """A number above zero."""
        if default is not _NEEDED and key not in self._left:
            return default
        value = self.take(key, kind)
        if not 0 < value < float("inf"):
            raise self.error(key, f"must be above zero, not {value}")
        return value

    def price(self, key: str) -> float | None:
        """A finite amount that may be zero."""
        value = self.optional(key, float)
        if value is not None and not 0 <= value < float("inf"):
            raise self.error(key, f"must not be negative, but is {value}")
        return value

    def slug(self, key: str) -> str:
        """An id: it becomes a queue name and part of a blob's key."""
        value = self.take(key, str)
        if not _SLUG.fullmatch(value):
            raise self.error(key, f"must be lower-case letters, digits, dots, dashes or underscores, not {value!r}")
        return value

    def choice(self, key: str, kind: type[E], default: E) -> E:
        """One of an enumeration's values."""
        value = self.optional(key, str)
        if value is None:
            return default
        if value not in list(kind):
            raise self.error(key, f"must be one of {', '.join(kind)}, not {value!r}")
        return kind(value)

    def table(self, key: str) -> "Table":
        """The sub-table at `key`, empty where there is none."""
        value = self._left.pop(key, {})
        if not isinstance(value, dict):
            raise self.error(key, "must be a table")
        return Table(self._path, value, f"{self._prefix}{key}.")

    def strings(self, key: str) -> tuple[str, ...]:
        """The list of strings at `key`, empty where there is none."""
        values = self.optional(key, list) or []
        for value in values:
            if type(value) is not str or value == "":
                raise self.error(key, f"must be a list of strings, but holds {value!r}")
        return tuple(values)

    def scalars(self) -> dict[str, str | int | float | bool]:
        """All that is left, which must be plain values."""
        for key, value in self._left.items():
            if type(value) not in (str, int, float, bool):
                raise self.error(key, f"must be a string, a number or true/false, not {value!r}")
        left, self._left = self._left, {}
        return left

    def done(self) -> None:
        """Raises if anything was not taken."""
        for key in self._left:
            raise self.error(key, "is not a key this version knows")
