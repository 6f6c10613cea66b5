"""XMP: the digital source type, programs and credits that it names, and the texts that may be a tool's parameters."""

from dataclasses import dataclass
from xml.etree.ElementTree import Element

from defusedxml import ElementTree

from attribution.evidence.finding import SELF_DECLARED, Finding, Kind, Trust, clean, pairs
from attribution.evidence.products import known_generator
from attribution.evidence.vocabulary import is_ai, sentence, source_type

_MAX_BYTES = 1_000_000
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
# By local name in lower case, whatever the namespace: DigitalSourceType occurs as DigitalSourceFileType, too.
_PROPERTIES = {
    "digitalsourcetype": "source_type",
    "digitalsourcefiletype": "source_type",
    "aisystemused": "ai_system",
    "aisystemversionused": "ai_version",
    "aipromptinformation": "prompt",
    "creatortool": "tool",
    "software": "software",
    "softwareagent": "agent",
    "credit": "credit",
    "creator": "creator",
    "rights": "rights",
    "description": "description",
    "imagedescription": "description",
    "headline": "headline",
    "title": "title",
    "usercomment": "UserComment",
    "parameters": "parameters",
    "aigc": "AIGC",
    "provenance": "provenance",
}
# The properties that are texts for interpreters.
_TEXTS = ("description", "UserComment", "parameters", "AIGC", "title", "headline")
_CONTAINER = _RDF + "Description"


@dataclass(frozen=True, slots=True)
class Packet:
    """The known properties of an XMP packet, each with its first text."""

    properties: dict[str, str]

    @property
    def makers(self) -> list[str]:
        """The texts that name a program or a person."""
        named = ("ai_system", "tool", "software", "credit", "creator", "agent", "rights")
        return [self.properties[name] for name in named if name in self.properties]

    @property
    def texts(self) -> list[tuple[str, str]]:
        """(keyword, text) for interpreters."""
        return [(name, self.properties[name]) for name in _TEXTS if name in self.properties]


def parse_xmp(xmp: bytes) -> Packet:
    """Raises ValueError, or what defusedxml raises, if the packet must not be parsed."""
    if len(xmp) > _MAX_BYTES:
        raise ValueError
    found: dict[str, str] = {}
    for element in ElementTree.fromstring(xmp.strip(b"\0 \r\n\t")).iter():
        for tag, value in element.items():
            name = _PROPERTIES.get(_local(tag))
            if name is not None and value.strip() and not tag.startswith(_RDF):
                found.setdefault(name, value.strip())
        name = _PROPERTIES.get(_local(element.tag))
        if name is not None and element.tag != _CONTAINER and name not in found and (text := _text(element)):
            found[name] = text
    return Packet(found)


def xmp_findings(packet: Packet) -> tuple[Finding, ...]:
    """At most one finding for what the packet says, and one for credentials that are stored elsewhere."""
    texts = packet.properties
    code = source_type(texts.get("source_type", ""))
    prose = [texts.get(name) for name in ("description", "title", "headline")]
    known = known_generator(packet.makers, prose)
    generator = clean(texts.get("ai_system")) or known or clean(texts.get("tool", texts.get("software"))) or None
    details = pairs(**{name: texts.get(name) for name in ("tool", "credit", "creator", "agent", "ai_version")})
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
    if "://" in texts.get("provenance", ""):
        findings.append(
            Finding(
                Kind.C2PA,
                "XMP dcterms:provenance",
                "Says that its content credentials are stored elsewhere.",
                Trust.WEAK,
                "They are not fetched, so their content is unknown.",
                details=pairs(address=texts["provenance"]),
            )
        )
    return tuple(findings)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2].lower()


def _text(element: Element) -> str:
    """A property's text: its own, its resource, the items of a list, or the first of its languages."""
    if resource := element.get(_RDF + "resource"):
        return resource.strip()
    items = ["".join(item.itertext()).strip() for item in element.iter(_RDF + "li")]
    if items and element.find(_RDF + "Alt") is not None:
        return items[0]
    return ", ".join(filter(None, items)) if items else "".join(element.itertext()).strip()
