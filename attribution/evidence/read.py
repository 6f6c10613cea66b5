"""Reads the evidence in the bytes of an upload. Whatever the bytes are, reading them raises nothing."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping

from attribution.evidence.blocks import find_blocks
from attribution.evidence.credentials import MARKER, credential_findings
from attribution.evidence.exif import exif_findings, exif_makers, exif_tags
from attribution.evidence.finding import Finding, Kind, unreadable
from attribution.evidence.generators import interpretations, named_maker
from attribution.evidence.iptc import iptc_findings, iptc_makers, iptc_records, iptc_texts
from attribution.evidence.stealth import stealth_findings
from attribution.evidence.texts import Texts
from attribution.evidence.trailer import trailer_findings
from attribution.evidence.xmp import parse_xmp, xmp_findings


def read(data: bytes, trust_lists: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
    """The statements of a file about its origin, signed ones first. An unreadable block is a finding, too.

    `trust_lists` holds, by name, PEM certificates of issuers whose content credentials are trusted.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about broken files
        return tuple(_read(data, trust_lists or {}))


def _read(data: bytes, trust_lists: Mapping[str, str]) -> list[Finding]:
    try:
        blocks = find_blocks(data)
    except Exception:  # the bytes may be hostile, and evidence must never fail a job
        return [unreadable(Kind.FILE, "file")]
    found: list[Finding] = []
    if MARKER in data:
        found += _guarded(Kind.C2PA, "C2PA manifest", lambda: credential_findings(data, blocks.media_type, trust_lists))
    for kind, where, parts, reader in (
        (Kind.XMP, "XMP", blocks.xmp, _xmp),
        (Kind.IPTC, "IPTC-IIM", blocks.iptc, _iptc),
        (Kind.EXIF, "EXIF", blocks.exif, _exif),
    ):
        for part in parts:
            found += _guarded(kind, where, lambda reader=reader, part=part: reader(part))  # type: ignore[misc]
    texts = Texts(f"{blocks.format} text", blocks.texts)
    found += _guarded(Kind.TEXT, "text", lambda: interpretations(texts) or named_maker(texts))
    found += _guarded(Kind.TEXT, "pixels", lambda: stealth_findings(data, blocks.format), quiet=True)
    found += _guarded(Kind.TEXT, "after the image", lambda: trailer_findings(data, blocks.format), quiet=True)
    found += [unreadable(kind, f"{blocks.format} {kind}") for kind in blocks.unread]
    return list(dict.fromkeys(found))


def _xmp(packet: bytes) -> list[Finding]:
    parsed = parse_xmp(packet)
    return _with_statements(xmp_findings(parsed), Texts("XMP", parsed.texts, parsed.makers))


def _iptc(data: bytes) -> list[Finding]:
    records = iptc_records(data)
    return _with_statements(iptc_findings(records), Texts("IPTC-IIM", iptc_texts(records), iptc_makers(records)))


def _exif(data: bytes) -> list[Finding]:
    tags = exif_tags(data)
    texts = [(name, text) for name, text in tags.items() if "Software" not in name]
    return _with_statements(exif_findings(tags), Texts("EXIF", texts, exif_makers(tags)))


def _with_statements(block: Iterable[Finding], texts: Texts) -> list[Finding]:
    """The findings of a block and those of its texts; a block's finding that says no more than these is left out."""
    statements = interpretations(texts)
    said = {finding.generator for finding in statements}
    return [
        *(each for each in block if each.generator not in said or each.details or each.source_type),
        *statements,
    ]


def _guarded(
    kind: Kind, where: str, reader: Callable[[], Iterable[Finding]], *, quiet: bool = False
) -> Iterator[Finding]:
    """What is read; one broken block must not hide the others. `quiet`: where nothing may be, nothing is broken."""
    try:
        yield from reader()
    except Exception:
        if not quiet:
            yield unreadable(kind, where)
