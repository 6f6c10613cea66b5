"""Reads values from a vendor's JSON response, which may have any shape."""

import base64
import binascii
from typing import Any

from attribution.errors import SourceError


def find(document: Any, path: str) -> Any:
    """The value at a path such as "data.0.url"; None if there is none."""
    for step in path.split("."):
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document


def text(document: Any, path: str) -> str | None:
    """The non-empty text at the path, otherwise None."""
    value = find(document, path)
    return value if isinstance(value, str) and value else None


def number(document: Any, path: str) -> int | None:
    """The whole number at the path, also if it is written as text; otherwise None."""
    value = find(document, path)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def items(document: Any, path: str) -> list[Any]:
    """The list at the path, empty if there is none."""
    value = find(document, path)
    return value if isinstance(value, list) else []


def required_text(document: Any, path: str) -> str:
    """The text at the path. Raises SourceError if there is none."""
    value = text(document, path)
    if value is None:
        raise SourceError(f"The source's response lacks {path}.")
    return value


def from_base64(value: str) -> bytes:
    """The bytes, also from a data: URL. Raises SourceError."""
    if value.startswith("data:"):
        value = value.partition(",")[2]
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise SourceError("The source's image is not valid base64.") from None
