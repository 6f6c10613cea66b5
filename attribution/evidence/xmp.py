"""XMP: IPTC's digital source type, the tool that made the file, and its pointer to credentials kept elsewhere."""

from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from attribution.evidence.finding import SELF_DECLARED, Finding, Kind, Trust, clean, pairs
from attribution.evidence.vocabulary import is_ai, known_generator, sentence, source_type

_MAX_BYTES = 1_000_000
_IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
_RESOURCE = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource"
_PROPERTIES = {
    _IPTC + "DigitalSourceType": "source_type",
    _IPTC + "AISystemUsed": "ai_system",
    _IPTC + "AISystemVersionUsed": "ai_version",
    _IPTC + "AIPromptInformation": "prompt",
    "{http://ns.adobe.com/xap/1.0/}CreatorTool": "tool",
    "{http://ns.adobe.com/photoshop/1.0/}Credit": "credit",
    "{http://purl.org/dc/elements/1.1/}creator": "creator",
    "{http://purl.org/dc/elements/1.1/}description": "description",
    "{http://purl.org/dc/terms/}provenance": "provenance",
}


def xmp_findings(xmp: bytes) -> tuple[Finding, ...]:
    """What the packet says. Raises ValueError, or what defusedxml raises, for one that must not be read."""
    if len(xmp) > _MAX_BYTES:
        raise ValueError
    texts = _texts(ElementTree.fromstring(xmp.strip(b"\0 \r\n\t")))
    code = source_type(texts.get("source_type", ""))
    known = known_generator(map(texts.get, ("ai_system", "tool", "credit", "creator")), [texts.get("description")])
    generator = clean(texts.get("ai_system")) or known or clean(texts.get("tool")) or None
    details = pairs(**{name: texts.get(name) for name in ("tool", "credit", "creator", "ai_version")})
    if "source_type" in texts and code is None:
        details += pairs(source_type=texts["source_type"])
    findings = []
    if generator or code or details or "prompt" in texts:
        findings.append(
            Finding(
                Kind.XMP,
                "XMP",
                sentence(generator, code),
                Trust.SELF_DECLARED,
                SELF_DECLARED,
                generator=generator,
                source_type=code,
                says_ai=is_ai(code) or known is not None or "ai_system" in texts,
                prompt_present="prompt" in texts,
                details=details,
            )
        )
    if "provenance" in texts and "://" in texts["provenance"]:
        findings.append(
            Finding(
                Kind.C2PA,
                "XMP dcterms:provenance",
                "Says that its content credentials are kept elsewhere.",
                Trust.WEAK,
                "They are not fetched, so nothing is known of them.",
                details=pairs(address=texts["provenance"]),
            )
        )
    return tuple(findings)


def _texts(root: Element) -> dict[str, str]:
    """The first text of each property we know, be it an attribute, an element, a resource or a list in one."""
    found: dict[str, str] = {}
    for element in root.iter():
        for tag, value in element.items():
            if tag in _PROPERTIES and value.strip():
                found.setdefault(_PROPERTIES[tag], value.strip())
        name = _PROPERTIES.get(element.tag)
        if name is not None and name not in found:
            value = element.get(_RESOURCE) or " ".join(" ".join(element.itertext()).split())
            if value:
                found[name] = value
    return found
