"""The values of evidence: one finding per statement in the file, and how trustworthy it is.

Only the standard library is imported, because the API process uses these types.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

# The largest size of all findings of a file as JSON, in UTF-8 bytes, and of one text, in characters.
MAX_BYTES = 8_000
MAX_TEXT = 120
_MAX_FINDINGS = 16


class Kind(StrEnum):
    """The block of the file that contains a statement."""

    C2PA = "c2pa"
    EXIF = "exif"
    XMP = "xmp"
    IPTC = "iptc"
    TEXT = "text"
    WATERMARK = "watermark"
    FILE = "file"


class Trust(StrEnum):
    """How trustworthy a statement is, the most trustworthy first."""

    VERIFIED = "verified"
    UNTRUSTED_ISSUER = "untrusted_issuer"
    UNVERIFIED_SIGNATURE = "unverified_signature"
    TAMPERED = "tampered"
    SELF_DECLARED = "self_declared"
    WEAK = "weak"
    UNREADABLE = "unreadable"


SELF_DECLARED = "Anyone can write, change or remove this; it is not protected."


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement. `claim` is its content, `caveat` the limits of its trustworthiness; both are sentences.

    `source_type` is IPTC's code of the digital source type. Prompts are never copied; `prompt_present` marks that there
    is one. `details` are (name, value), e.g. ("seed", "42").
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
    """The finding that a block exists, or may exist, and could not be read."""
    return Finding(kind, where, "Nothing could be read here.", Trust.UNREADABLE, "It is broken, or too large.")


def clean(value: object) -> str:
    """One printable line of at most MAX_TEXT characters; empty for values that are neither text nor numbers."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = value[: 4 * MAX_TEXT] if isinstance(value, str) else repr(value)
    # Control characters, lone surrogates and direction marks break JSONB or terminals.
    text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def pairs(**values: object) -> tuple[tuple[str, str], ...]:
    """The details with a value."""
    return tuple((name, text) for name, value in values.items() if (text := clean(value)))


def documents(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The findings as data for JSON of at most MAX_BYTES; if there are more, the last ones are omitted."""
    kept: list[dict[str, Any]] = []
    left = MAX_BYTES - 2
    for finding in list(findings)[:_MAX_FINDINGS]:
        document = asdict(replace(finding, details=())) | {"details": dict(finding.details)}
        left -= len(json.dumps(document, ensure_ascii=False).encode()) + 2
        if left < 0:
            break
        kept.append(document)
    return kept
