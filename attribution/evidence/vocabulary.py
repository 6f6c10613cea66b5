"""The words that files use for their origin: IPTC's digital source types, and names of image generators."""

import re
from collections.abc import Iterable

# https://cv.iptc.org/newscodes/digitalsourcetype/ and the two that C2PA adds.
SOURCE_TYPES = {
    "digitalCapture": "was captured by a digital camera or scanner",
    "computationalCapture": "was computed by a camera from several captures",
    "negativeFilm": "was digitised from a negative on film",
    "positiveFilm": "was digitised from a positive on film",
    "print": "was digitised from a print",
    "minorHumanEdits": "is an original with minor edits by a person",
    "humanEdits": "was edited by a person without generative tools",
    "composite": "is a composite of several elements",
    "compositeCapture": "is a composite of captured elements",
    "compositeSynthetic": "is a composite with synthetic elements",
    "compositeWithTrainedAlgorithmicMedia": "was edited or composed with a generative AI model",
    "algorithmicallyEnhanced": "was enhanced by an algorithm",
    "trainedAlgorithmicMedia": "was created by a generative AI model",
    "trainedAlgorithmicData": "was created as data by a generative AI model",
    "algorithmicMedia": "was created by an algorithm that was not trained on samples",
    "dataDrivenMedia": "was drawn from data",
    "digitalArt": "was drawn by a person with digital tools",
    "digitalCreation": "was made by a person with digital tools",
    "softwareImage": "was made by software",
    "screenCapture": "is a capture of a screen",
    "virtualRecording": "is a recording of a virtual event",
    "empty": "was begun as an empty canvas",
}
_AI_TYPES = {"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "trainedAlgorithmicData"}
_SOURCE_TYPE = re.compile(r"(?:https?://(?:cv\.iptc\.org/newscodes|c2pa\.org)/digitalsourcetype/)?(\w{1,60})/?")
_NAMES = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "Adobe Firefly": r"\bAdobe[ _]Firefly\b",
        "AUTOMATIC1111": r"\bAUTOMATIC1111\b",
        "ComfyUI": r"\bComfyUI\b",
        "DALL·E": r"\bDALL[·•. -]?E\b",
        "Fooocus": r"\bFooocus\b",
        "InvokeAI": r"\bInvoke-?AI\b",
        "Midjourney": r"\bMidjourney\b",
        "NovelAI": r"\bNovelAI\b",
        "Stable Diffusion": r"\bStable[ -]?Diffusion\b",
    }.items()
}
# What a generator signs with, even in the middle of prose; a mere name there may be part of a prompt.
_SIGNATURES = {
    "Google AI": re.compile(r"\bMade with Google AI\b"),
    "Midjourney": re.compile(r"\bJob ID: [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"),
}
_LOOKED_AT = 20_000


def source_type(value: str) -> str | None:
    """IPTC's code out of a URI or the bare code; None for words that are not of the vocabulary."""
    found = _SOURCE_TYPE.fullmatch(value.strip())
    return found[1] if found and found[1] in SOURCE_TYPES else None


def is_ai(code: str | None) -> bool:
    """Whether the code says that a generative model took part."""
    return code in _AI_TYPES


def known_generator(names: Iterable[str | None], prose: Iterable[str | None] = ()) -> str | None:
    """The first image generator that is named where makers are, or signs in prose such as a description."""
    named = [text for text in names if text]
    signed = [*named, *(text for text in prose if text)]
    for texts, patterns in ((named, _NAMES), (signed, _SIGNATURES)):
        for text in texts:
            for name, pattern in patterns.items():
                if pattern.search(text, 0, _LOOKED_AT):
                    return name
    return None


def sentence(generator: str | None, code: str | None = None) -> str:
    """What a statement comes down to, in words."""
    if code:
        return f"Says that the image {SOURCE_TYPES[code]}" + (f", and names {generator}." if generator else ".")
    return f"Names {generator}." if generator else "Describes the image, but names nothing that made it."
