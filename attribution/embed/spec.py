"""What an embedder is, as text: KIND, or KIND:WHICH, and of open_clip's also with "#layer=8" behind it.

Light, so that the API can say what it offers; `attribution.build` makes embedders of these. A kind by itself stands for
the small model that ships with the project.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from attribution import offer
from attribution.errors import ConfigurationError

# Where the small models lie, by the kinds that have one.
SHIPPED: Mapping[str, str] = {"open_clip": "local-dir:zoo/models/clip", "onnx": "local-dir:zoo/models/clip-onnx"}
KINDS = (*SHIPPED, "fake")


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """A specification that was read: `which` is what the kind asks for, see `attribution.build`."""

    text: str
    kind: str
    which: str


def parse(text: str) -> EmbedderSpec:
    """Raises ConfigurationError where the text is none."""
    kind, colon, which = text.partition(":")
    kind, mark, layer = kind.partition("#")  # a layer of the small model
    if kind not in KINDS or (mark and (colon or kind != "open_clip")):
        raise ConfigurationError(f"There is no embedder {text!r}; there are {', '.join(KINDS)}, as KIND:WHICH.")
    return EmbedderSpec(text, kind, which if colon else SHIPPED.get(kind, "") + mark + layer)


def offered(usual: str, others: Mapping[str, str]) -> dict[str, EmbedderSpec]:
    """The embedders of an installation by the names that jobs give; the first, called by its kind, is the default.

    Raises ConfigurationError.
    """
    return offer.offered("an embedder", parse, usual, others)
