"""Reads the evidence in the bytes of an upload. Whatever the bytes are, reading them raises nothing."""

import warnings
from collections.abc import Callable, Iterator

from attribution.evidence.blocks import find_blocks
from attribution.evidence.credentials import MARKER, credential_findings
from attribution.evidence.finding import Finding, Kind, unreadable
from attribution.evidence.metadata import exif_findings, exif_texts, iptc_findings, xmp_findings
from attribution.evidence.parameters import parameter_findings


def read(data: bytes, trust_list: str | None = None) -> tuple[Finding, ...]:
    """The statements of a file about its origin, signed ones first. An unreadable block is a finding, too.

    `trust_list` holds the PEM certificates of issuers whose content credentials are trusted.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about broken files
        return tuple(_read(data, trust_list))


def _read(data: bytes, trust_list: str | None) -> list[Finding]:
    try:
        blocks = find_blocks(data)
    except Exception:  # the bytes may be hostile, and evidence must never fail a job
        return [unreadable(Kind.FILE, "file")]
    found: list[Finding] = []
    if MARKER in data:
        media_type = f"image/{blocks.format.lower()}"
        found += _guarded(Kind.C2PA, "C2PA manifest", lambda: credential_findings(data, media_type, trust_list))
    if blocks.xmp is not None:
        xmp = blocks.xmp
        found += _guarded(Kind.XMP, "XMP", lambda: xmp_findings(xmp))
    found += _guarded(Kind.IPTC, "IPTC-IIM", lambda: iptc_findings(blocks.iptc))
    found += _guarded(Kind.EXIF, "EXIF", lambda: exif_findings(blocks.exif))
    found += _guarded(Kind.TEXT, "EXIF", lambda: parameter_findings("EXIF", dict(exif_texts(blocks.exif))))
    found += _guarded(Kind.TEXT, "text", lambda: parameter_findings(f"{blocks.format} text", dict(blocks.texts)))
    found += [unreadable(kind, f"{blocks.format} {kind}") for kind in blocks.unread]
    return found


def _guarded(kind: Kind, where: str, reader: Callable[[], tuple[Finding, ...]]) -> Iterator[Finding]:
    try:
        yield from reader()
    except Exception:  # one broken block must not hide the others
        yield unreadable(kind, where)
