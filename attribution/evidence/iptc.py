"""IPTC's older binary block (IIM): program, credit and by-line. Its digital source type lives in XMP."""

from collections.abc import Mapping

from attribution.evidence.finding import SELF_DECLARED, Finding, Kind, Trust, pairs
from attribution.evidence.vocabulary import known_generator, sentence

_RECORDS = {"program": (2, 65), "version": (2, 70), "byline": (2, 80), "credit": (2, 110), "source": (2, 115)}


def iptc_findings(iptc: Mapping[tuple[int, int], object]) -> tuple[Finding, ...]:
    """At most one finding; none where nothing names a maker."""
    texts = {name: _text(iptc.get(record)) for name, record in _RECORDS.items()}
    details = pairs(**texts)
    if not details:
        return ()
    known = known_generator(texts.values())
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


def _text(value: object) -> str:
    if isinstance(value, list):  # a record that is repeated, as by-lines are
        value = value[0] if value else b""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
