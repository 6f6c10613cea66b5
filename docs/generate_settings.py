"""Writes docs/settings.md from the Settings class: `python docs/generate_settings.py`, from anywhere.

With `--check` it writes nothing and fails when the file is not what it would write; a test does the same.
"""

import sys
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from app.settings import Settings  # noqa: E402 - found only now, wherever this is started

TARGET = REPOSITORY / "docs" / "settings.md"
HEAD = """\
# Settings

Written by `docs/generate_settings.py` from `app/settings/`; change that, not this file.

Every process reads its settings once, at start, from environment variables named `GROUP__NAME`. A missing or wrong
value, or a misspelt name within a group, ends the process with a message.

- `GROUP__NAME_FILE=/path` reads the value from a file instead, as containers mount secrets. This works for every
  setting that is neither a list nor an object. Give one of the two, not both.
- A duration is a number of seconds such as `0.5`, or has units: `90s`, `5m`, `1h30m`, `30d`.
- A list is JSON: `["sources", "/etc/whodrew/sources"]`. So is an object: `{"name": "text"}`.
- Relative paths start at the directory the process was started in: the repository's root, or `/srv/whodrew` in the
  images.
- There is no secret with a default that works.
"""


def document() -> str:
    """The whole file."""
    parts = [HEAD]
    for group, field in Settings.model_fields.items():
        kind = field.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        parts.append(f"## {group}\n\n{(kind.__doc__ or '').strip()}\n")
        parts.append("| variable | value | default | meaning |\n|---|---|---|---|")
        parts += [row(f"{group}__{name}".upper(), each) for name, each in kind.model_fields.items()]
        if kind.model_config.get("extra") == "allow":
            parts.append(f"| `{group.upper()}__*` | secret text | none | the one of that name |")
        parts.append("")
    return "\n".join(parts)


def row(variable: str, field: FieldInfo) -> str:
    """One line of a table."""
    cells = (f"`{variable}`", value(field), default(field), field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def value(field: FieldInfo) -> str:
    """What may be given, in words."""
    words = kind(field.annotation)
    limits = ", ".join(bounds(field.metadata))
    return f"{words}, {limits}" if limits else words


def kind(annotation: Any) -> str:
    """A type's name for people who do not read Python."""
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return " or ".join(f"`{choice}`" for choice in annotation)
    if get_origin(annotation) is tuple:
        return f"list of {kind(get_args(annotation)[0])}s"
    if get_origin(annotation) is dict:
        return f"object of {kind(get_args(annotation)[1])}s by name"
    members = [each for each in get_args(annotation) if each is not type(None)]
    if members and get_origin(annotation) is not None:
        return kind(members[0])
    return {
        str: "text",
        bool: "`true` or `false`",
        int: "whole number",
        float: "number",
        Path: "path",
        SecretStr: "secret text",
        timedelta: "duration",
        Decimal: "number",
    }[annotation]


def bounds(metadata: list[Any]) -> Iterator[str]:
    """The limits of a number."""
    for limit in metadata:
        for name, words in (("gt", "more than"), ("ge", "at least"), ("lt", "less than"), ("le", "at most")):
            if (bound := getattr(limit, name, None)) is not None:
                yield f"{words} {duration(bound) if isinstance(bound, timedelta) else bound}"


def duration(length: timedelta) -> str:
    """In the largest unit of which it is a whole number, as a setting takes it."""
    for unit, name in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if length.total_seconds() % unit == 0:
            return f"{length.total_seconds() // unit:g}{name}"
    return f"{length.total_seconds():g}s"


def default(field: FieldInfo) -> str:
    """The default as one would write it into the environment."""
    found = field.get_default(call_default_factory=True)
    if found is PydanticUndefined:
        return "needed"
    if found is None:
        return "none"
    if isinstance(found, bool):
        return f"`{str(found).lower()}`"
    if isinstance(found, timedelta):
        return f"`{duration(found)}`"
    if isinstance(found, tuple):
        return "`[" + ", ".join(f'"{each}"' for each in found) + "]`"
    return f"`{found}`"


def main(arguments: list[str]) -> int:
    """Writes or checks; the exit code is 1 where a check fails."""
    text = document()
    if "--check" not in arguments:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") == text:
        return 0
    print("docs/settings.md is out of date; run: python docs/generate_settings.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
