"""What evidence is made of: one finding per statement that the file makes, and how far that can be believed.

Only the standard library is imported here, because the API's own process knows these words.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

# What all findings of one file may take as JSON, in UTF-8 bytes, and what one text of a file may take of it.
MAX_BYTES = 8_000
MAX_TEXT = 120
_MAX_FINDINGS = 16


class Kind(StrEnum):
    """Where a statement is written."""

    C2PA = "c2pa"
    EXIF = "exif"
    XMP = "xmp"
    IPTC = "iptc"
    TEXT = "text"
    WATERMARK = "watermark"
    FILE = "file"


class Trust(StrEnum):
    """How far a statement can be believed, the firmest first."""

    VERIFIED = "verified"
    UNTRUSTED_ISSUER = "untrusted_issuer"
    UNVERIFIED_SIGNATURE = "unverified_signature"
    TAMPERED = "tampered"
    SELF_DECLARED = "self_declared"
    WEAK = "weak"
    UNREADABLE = "unreadable"


SELF_DECLARED = "Anybody can write, change or remove this; nothing protects it."


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement. `claim` is what it says, `caveat` why it may be believed only so far; both are sentences.

    `source_type` is IPTC's code for the digital source type. Prompts are never copied: `prompt_present` says that
    there is one. `details` are (name, value), e.g. ("seed", "42").
    """

    kind: Kind
    where: str
    claim: str
    trust: Trust
    caveat: str
    generator: str | None = None
    model: str | None = None
    source_type: str | None = None
    says_ai: bool = False
    prompt_present: bool = False
    details: tuple[tuple[str, str], ...] = ()


def unreadable(kind: Kind, where: str) -> Finding:
    """The finding that something is there, or may be, which could not be read."""
    return Finding(
        kind, where, "Nothing could be read here.", Trust.UNREADABLE, "It is broken, or larger than we read."
    )


def clean(value: object) -> str:
    """One printable line of at most MAX_TEXT characters; empty for what is neither text nor a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = value[: 4 * MAX_TEXT] if isinstance(value, str) else repr(value)
    # Control characters, lone surrogates, changes of writing direction: neither JSONB nor a terminal takes them well.
    text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def pairs(**values: object) -> tuple[tuple[str, str], ...]:
    """Details of those values that say something."""
    return tuple((name, text) for name, value in values.items() if (text := clean(value)))


def documents(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The findings as JSON-able data of at most MAX_BYTES: where it would be more, the last ones are left out."""
    kept: list[dict[str, Any]] = []
    left = MAX_BYTES - 2
    for finding in list(findings)[:_MAX_FINDINGS]:
        document = asdict(replace(finding, details=())) | {"details": dict(finding.details)}
        left -= len(json.dumps(document, ensure_ascii=False).encode()) + 2
        if left < 0:
            break
        kept.append(document)
    return kept
