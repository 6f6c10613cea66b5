"""What is asked for known answers: a loaded model, where it lies, and in which arithmetic it runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from PIL.Image import Image

from attribution.caption.spec import CaptionerSpec, RefineOptions
from attribution.embed.spec import EmbedderSpec
from attribution.ports import Captioner, Embedder, ModelRef, Vectors

_LOCAL = "local-dir:"

Answer: TypeAlias = "str | Vectors"


class SubjectKind(StrEnum):
    """What a model answers with: features, or a caption."""

    EMBEDDER = "embedder"
    CAPTIONER = "captioner"


@dataclass(frozen=True, slots=True)
class AnswerSubject:
    """A model that can be asked.

    `ask` gives one answer per image: features (d,) of unit norm, or a caption. `directory` is where the whole model
    lies, None for a model of the hub, a tag or a layer; `setting` is its arithmetic and device in words.
    """

    kind: SubjectKind
    ref: ModelRef
    ask: Callable[[Sequence[Image]], Sequence[Answer]]
    directory: Path | None
    setting: str


def subject_of_embedder(embedder: Embedder, spec: EmbedderSpec, device: str) -> AnswerSubject | None:
    """The embedder that was built from `spec`; None for a fake, which has no weights."""
    if spec.kind == "fake":
        return None
    return _features(
        embedder.ref, embedder.embed, spec.which, "ONNX Runtime" if spec.kind == "onnx" else "float32", device
    )


def subjects_of_captioner(captioner: Captioner, spec: CaptionerSpec, dtype: str, device: str) -> list[AnswerSubject]:
    """What the captioner that was built from `spec` is made of.

    A remote model is not asked: it promises no two equal answers. A search for words (PEZ) ends at other words on
    another processor, so only its parts are asked: its CLIP for features, and the captioner that it starts from.
    """
    if spec.waits or spec.kind == "fake":
        return []
    if spec.kind == "blip":
        return [_captioner(captioner, spec.which, dtype, device)]
    from attribution.caption.pez import PezCaptioner

    assert isinstance(captioner, PezCaptioner)
    clip = spec.options.clip if isinstance(spec.options, RefineOptions) else spec.which
    found = [_features(captioner.clip.ref, captioner.clip.embed, clip, "float32", device)]
    if captioner.start is not None:
        found.append(_captioner(captioner.start, spec.which, dtype, device))
    return found


def _features(
    ref: ModelRef, embed: Callable[[Sequence[Image]], Vectors], which: str, arithmetic: str, device: str
) -> AnswerSubject:
    directory = Path(which.removeprefix(_LOCAL))
    whole = "#" not in which and directory.is_dir()
    setting = f"{arithmetic} on {device}"
    return AnswerSubject(
        SubjectKind.EMBEDDER,
        ref,
        lambda images: list(embed(images)),
        directory if whole else None,
        setting,
    )


def _captioner(captioner: Captioner, which: str, dtype: str, device: str) -> AnswerSubject:
    directory = Path(which)
    return AnswerSubject(
        SubjectKind.CAPTIONER,
        captioner.ref,
        lambda images: [captioner.describe(image) for image in images],
        directory if directory.is_dir() else None,
        f"{dtype} on {device}",
    )
