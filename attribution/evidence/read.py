"""From the bytes of an upload to findings. Whatever the bytes are, reading them raises nothing."""

import warnings
from collections.abc import Callable, Iterator

from attribution.evidence.blocks import find_blocks
from attribution.evidence.credentials import MARKER, credential_findings
from attribution.evidence.exif import exif_findings, exif_texts
from attribution.evidence.finding import Finding, Kind, unreadable
from attribution.evidence.iptc import iptc_findings
from attribution.evidence.parameters import parameter_findings
from attribution.evidence.xmp import xmp_findings


def read(data: bytes, trust_list: str | None = None) -> tuple[Finding, ...]:
    """What the file says about its origin, signed statements first. What cannot be read is a finding that says so.

    `trust_list` holds the PEM certificates of issuers whose content credentials are trusted.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about files that are broken: that is no news here
        return tuple(_read(data, trust_list))


def _read(data: bytes, trust_list: str | None) -> list[Finding]:
    try:
        blocks = find_blocks(data)
    except Exception:  # bytes are hostile, and evidence is never worth a job
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
    except Exception:  # as above: one broken block must not hide the others
        yield unreadable(kind, where)
