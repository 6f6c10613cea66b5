"""The specification of an embedder as text: KIND, or KIND:WHICH, for open_clip also with "#layer=8" at the end.

It is read without ML wheels, so that the API can list the embedders; `attribution.build` builds them. A kind by itself
stands for the demo model that ships with the project.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from attribution import offer
from attribution.errors import ConfigurationError

# The demo models by the kinds that have one.
SHIPPED: Mapping[str, str] = {"open_clip": "local-dir:zoo/models/clip", "onnx": "local-dir:zoo/models/clip-onnx"}
KINDS = (*SHIPPED, "fake")


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """A parsed specification: `which` depends on the kind, see `attribution.build`."""

    text: str
    kind: str
    which: str


def parse(text: str) -> EmbedderSpec:
    """The specification that the text stands for. Raises ConfigurationError."""
    kind, colon, which = text.partition(":")
    kind, mark, layer = kind.partition("#")  # a layer of the demo model
    if kind not in KINDS or (mark and (colon or kind != "open_clip")):
        raise ConfigurationError(f"There is no embedder {text!r}; there are {', '.join(KINDS)}, as KIND:WHICH.")
    return EmbedderSpec(text, kind, which if colon else SHIPPED.get(kind, "") + mark + layer)


def offered(default: str, others: Mapping[str, str]) -> dict[str, EmbedderSpec]:
    """The embedders of an installation by name. The first is the default; its name is its kind.

    Raises ConfigurationError.
    """
    return offer.offered("an embedder", parse, default, others)
