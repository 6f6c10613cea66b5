"""The standard metadata blocks: EXIF, XMP and IPTC, with the program, the origin and the parameters that they name.

IPTC's digital source type is written in XMP; ComfyUI and others write their parameters into EXIF comments.
"""

from collections.abc import Mapping
from xml.etree.ElementTree import Element

from defusedxml import ElementTree
from PIL.ExifTags import IFD, Base
from PIL.Image import Exif

from attribution.evidence.finding import SELF_DECLARED, Finding, Kind, Trust, clean, pairs
from attribution.evidence.vocabulary import is_ai, known_generator, sentence, source_type

_EXIF_TEXT_TAGS = (Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.Artist)
# ComfyUI writes its JSON into Make and Model of a WebP file, after these prefixes.
_COMFYUI_PREFIXES = ("prompt", "workflow")
_IPTC_RECORDS = {"program": (2, 65), "version": (2, 70), "byline": (2, 80), "credit": (2, 110), "source": (2, 115)}
_MAX_XMP_BYTES = 1_000_000
_IPTC_EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
_RDF_RESOURCE = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource"
_XMP_PROPERTIES = {
    _IPTC_EXT + "DigitalSourceType": "source_type",
    _IPTC_EXT + "AISystemUsed": "ai_system",
    _IPTC_EXT + "AISystemVersionUsed": "ai_version",
    _IPTC_EXT + "AIPromptInformation": "prompt",
    "{http://ns.adobe.com/xap/1.0/}CreatorTool": "tool",
    "{http://ns.adobe.com/photoshop/1.0/}Credit": "credit",
    "{http://purl.org/dc/elements/1.1/}creator": "creator",
    "{http://purl.org/dc/elements/1.1/}description": "description",
    "{http://purl.org/dc/terms/}provenance": "provenance",
}


def exif_texts(exif: Exif) -> tuple[tuple[str, str], ...]:
    """(keyword, text) of texts in EXIF that may be a generator's parameters."""
    tags = _exif_texts(exif)
    found = [("parameters", tags[Base.UserComment])] if Base.UserComment in tags else []
    for text in tags.values():
        keyword, _, rest = text.partition(":")
        if keyword.lower() in _COMFYUI_PREFIXES:
            found.append((keyword.lower(), rest))
    return tuple(found)


def exif_findings(exif: Exif) -> tuple[Finding, ...]:
    """At most one finding; none if no program or person is named."""
    tags = {
        tag: text for tag, text in _exif_texts(exif).items() if text.partition(":")[0].lower() not in _COMFYUI_PREFIXES
    }
    details = pairs(
        software=tags.get(Base.Software),
        make=tags.get(Base.Make),
        camera=tags.get(Base.Model),
        artist=tags.get(Base.Artist),
    )
    known = known_generator(
        map(tags.get, (Base.Software, Base.Artist, Base.Make)), map(tags.get, (Base.ImageDescription, Base.UserComment))
    )
    if not details and not known:
        return ()
    generator = known or clean(tags.get(Base.Software)) or None
    named = generator or clean(" ".join(text for name, text in details if name in ("make", "camera"))) or None
    return (
        Finding(
            Kind.EXIF,
            "EXIF",
            sentence(named),
            Trust.SELF_DECLARED,
            SELF_DECLARED,
            generator=generator,
            says_ai=known is not None,
            details=details,
        ),
    )


def _exif_texts(exif: Exif) -> dict[int, str]:
    """The texts by tag, including the user comment."""
    found: dict[int, str] = {
        tag: value for tag in _EXIF_TEXT_TAGS if isinstance(value := exif.get(tag), str) and value.strip("\0 ")
    }
    comment = exif.get_ifd(IFD.Exif).get(Base.UserComment)
    if isinstance(comment, bytes):
        comment = _user_comment(comment)
    if isinstance(comment, str) and comment.strip("\0 "):
        found[Base.UserComment] = comment
    return found


def _user_comment(data: bytes) -> str:
    """The comment after its eight bytes of character code; UTF-16 occurs in either byte order."""
    code, text = data[:8], data[8:]
    if code == b"UNICODE\0":
        little = text[1::2].count(0) > text[::2].count(0)
        return text.decode("utf-16-le" if little else "utf-16-be", "replace")
    return (text if code in (b"ASCII\0\0\0", bytes(8)) else data).decode("utf-8", "replace")


def iptc_findings(iptc: Mapping[tuple[int, int], object]) -> tuple[Finding, ...]:
    """At most one finding; none if no program or person is named."""
    texts = {name: _iptc_text(iptc.get(record)) for name, record in _IPTC_RECORDS.items()}
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


def _iptc_text(value: object) -> str:
    if isinstance(value, list):  # a repeated record, such as by-lines
        value = value[0] if value else b""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def xmp_findings(xmp: bytes) -> tuple[Finding, ...]:
    """The findings of an XMP packet. Raises ValueError, or what defusedxml raises, if it must not be parsed."""
    if len(xmp) > _MAX_XMP_BYTES:
        raise ValueError
    texts = _xmp_texts(ElementTree.fromstring(xmp.strip(b"\0 \r\n\t")))
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
                "Says that its content credentials are stored elsewhere.",
                Trust.WEAK,
                "They are not fetched, so their content is unknown.",
                details=pairs(address=texts["provenance"]),
            )
        )
    return tuple(findings)


def _xmp_texts(root: Element) -> dict[str, str]:
    """The first text of each known property, as an attribute, an element, a resource or a list."""
    found: dict[str, str] = {}
    for element in root.iter():
        for tag, value in element.items():
            if tag in _XMP_PROPERTIES and value.strip():
                found.setdefault(_XMP_PROPERTIES[tag], value.strip())
        name = _XMP_PROPERTIES.get(element.tag)
        if name is not None and name not in found:
            value = element.get(_RDF_RESOURCE) or " ".join(" ".join(element.itertext()).split())
            if value:
                found[name] = value
    return found
