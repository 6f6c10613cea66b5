"""IPTC-IIM, the older binary block: program, by-line, credit, and the texts that may be a tool's parameters."""

from collections.abc import Mapping

from attribution.evidence.exif import decoded
from attribution.evidence.finding import SELF_DECLARED, Finding, Kind, Trust, pairs
from attribution.evidence.products import known_generator
from attribution.evidence.vocabulary import sentence

_NAMES = {
    (2, 5): "title",
    (2, 40): "instructions",
    (2, 65): "program",
    (2, 70): "version",
    (2, 80): "byline",
    (2, 105): "headline",
    (2, 110): "credit",
    (2, 115): "source",
    (2, 116): "copyright",
    (2, 120): "caption",
}
_MAKERS = ("program", "version", "byline", "credit", "source")
_TEXTS = ("caption", "instructions", "title", "headline")
_RESOURCE = b"8BIM"
_IIM = 0x0404

Records = Mapping[str, str]


def iptc_records(data: bytes) -> dict[str, str]:
    """The first text of each known record, from IIM data or from Photoshop's resources around it.

    Raises ValueError for other data.
    """
    if data.startswith(b"Photoshop 3.0\0"):
        data = data[14:]
    if data.startswith(_RESOURCE):
        data = _resource(data)
    found: dict[str, str] = {}
    at = 0
    while at + 5 <= len(data) and data[at] == 0x1C:
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        if size & 0x8000:  # an extended length: no text is that long
            break
        name = _NAMES.get((data[at + 1], data[at + 2]))
        text = decoded(data[at + 5 : at + 5 + size]).strip("\0 ")
        if name is not None and text:
            found.setdefault(name, text)
        at += 5 + size
    if data and not at:
        raise ValueError
    return found


def iptc_findings(records: Records) -> tuple[Finding, ...]:
    """At most one finding; none if no program or person is named."""
    details = pairs(**{name: records.get(name) for name in _MAKERS})
    known = known_generator(iptc_makers(records), [records.get(name) for name in _TEXTS])
    if not details and known is None:
        return ()
    generator = known or dict(details).get("program")
    return (
        Finding(
            Kind.IPTC,
            "IPTC-IIM",
            sentence(generator),
            Trust.SELF_DECLARED,
            SELF_DECLARED,
            generator=generator,
            says_ai=known is not None,
            details=details,
        ),
    )


def iptc_makers(records: Records) -> list[str]:
    """The texts that name a program or a person."""
    return [records[name] for name in (*_MAKERS, "copyright") if name in records]


def iptc_texts(records: Records) -> list[tuple[str, str]]:
    """(keyword, text) for interpreters."""
    return [(name, records[name]) for name in _TEXTS if name in records]


def _resource(data: bytes) -> bytes:
    """The IIM data among Photoshop's resources; empty if there is none."""
    at = 0
    while data[at : at + 4] == _RESOURCE:
        kind = int.from_bytes(data[at + 4 : at + 6], "big")
        start = at + 7 + data[at + 6 : at + 7][0] if at + 6 < len(data) else len(data)
        start += (start - at) % 2  # the name is padded
        size = int.from_bytes(data[start : start + 4], "big")
        if kind == _IIM:
            return data[start + 4 : start + 4 + size]
        at = start + 4 + size + size % 2
    return b""
