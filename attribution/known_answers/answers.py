"""One model's known answers: recorded once, kept as JSON with the images themselves, compared at every start.

The pixels are in the file, so that no other version of Pillow or numpy can change them.

    {"schema": 1, "kind": "embedder", "model": "clip@sha256:…", "setting": "float32 on cpu", "least_cosine": 0.99999,
     "images": [{"name": "face", "png": "<base64>", "features": [0.01234, …]}, …]}

A captioner's images have a `caption` instead of `features`, and there is no `least_cosine`.
"""

import json
import re
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageOps

from attribution.errors import ConfigurationError
from attribution.image import decode_own, encode_png
from attribution.known_answers.known_images import known_images
from attribution.known_answers.subject import Answer, AnswerSubject, SubjectKind
from attribution.weights import KNOWN_ANSWERS

SCHEMA: Final = 1
# Whatever a file says, features farther from those recorded are another model's.
LEAST_COSINE: Final = 0.999
# What float32 must reach. With the demo CLIP, QuickGELU instead of GELU costs at least 1.4e-5 of the cosine, ONNX
# Runtime 1e-13, the 10-bit mantissas of TF32 3e-7 and float16 7e-7.
FLOAT32_COSINE: Final = 0.99999
_DECIMALS = 5
# Captions that change with noise of so many shades of 255 are near a tie, which another processor may break otherwise.
_SHADES = 2


@dataclass(frozen=True, slots=True)
class KnownAnswers:
    """PNGs and answers by the images' names; features are (d,) and compared by cosine, captions letter by letter."""

    kind: SubjectKind
    model: str
    setting: str
    images: Mapping[str, bytes]
    answers: Mapping[str, Answer]
    least_cosine: float = FLOAT32_COSINE

    @classmethod
    def record(cls, subject: AnswerSubject, least_cosine: float = FLOAT32_COSINE) -> "KnownAnswers":
        """Asks the model about every image. Captions near a tie are left out; there may be none left."""
        images = known_images()
        answers = dict(zip(images, subject.ask(list(images.values())), strict=True))
        if subject.kind is SubjectKind.CAPTIONER:
            again = dict(zip(images, subject.ask([_noisy(image) for image in images.values()]), strict=True))
            answers = {name: caption for name, caption in answers.items() if caption == again[name]}
        pngs = {name: encode_png(images[name]) for name in answers}
        return cls(subject.kind, str(subject.ref), subject.setting, pngs, answers, least_cosine)

    @classmethod
    def read(cls, path: Path) -> "KnownAnswers | None":
        """What the file holds, None where there is no file.

        Raises ConfigurationError where it holds something else, OSError where it cannot be read.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return cls._parsed(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{path} holds no known answers of schema {SCHEMA} ({error!r}).") from error

    @classmethod
    def _parsed(cls, document: Any) -> "KnownAnswers":
        kind = SubjectKind(document["kind"])
        if document["schema"] != SCHEMA or not document["images"]:
            raise ValueError("another schema, or no images")
        answers: dict[str, Answer] = {}
        for each in document["images"]:
            if kind is SubjectKind.CAPTIONER:
                answers[each["name"]] = str(each["caption"])
            else:
                answers[each["name"]] = np.asarray(each["features"], np.float32)
        images = {each["name"]: b64decode(each["png"], validate=True) for each in document["images"]}
        least = max(LEAST_COSINE, float(document.get("least_cosine", LEAST_COSINE)))
        return cls(kind, str(document["model"]), str(document["setting"]), images, answers, least)

    def write(self, path: Path) -> None:
        """Replaces the file in one step, so that no reader sees half of it. Raises OSError."""
        document: dict[str, Any] = {"schema": SCHEMA, "kind": self.kind, "model": self.model, "setting": self.setting}
        if self.kind is SubjectKind.EMBEDDER:
            document["least_cosine"] = self.least_cosine
        rows = []
        for name, answer in self.answers.items():
            row: dict[str, Any] = {"name": name, "png": b64encode(self.images[name]).decode()}
            if isinstance(answer, str):
                row["caption"] = answer
            else:
                row["features"] = [round(float(value), _DECIMALS) for value in answer]
            rows.append(json.dumps(row))
        head, body = json.dumps(document, indent=2).removesuffix("\n}"), ",\n    ".join(rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as scratch:
            whole = Path(scratch) / path.name
            whole.write_text(head + ',\n  "images": [\n    ' + body + "\n  ]\n}\n", encoding="utf-8")
            whole.replace(path)

    def check(self, subject: AnswerSubject, path: Path, remedy: str) -> None:
        """Asks again. `path` and `remedy` stand in the sentence.

        Raises ConfigurationError that names what differs where one answer is another.
        """
        if subject.kind is not self.kind:
            raise ConfigurationError(
                f"{path} holds the known answers of {self.model}, a different kind of model than the {subject.kind} "
                f"{subject.ref}. {remedy}"
            )
        images = {name: decode_own(png) for name, png in self.images.items()}
        found = dict(zip(images, subject.ask(list(images.values())), strict=True))
        fault = self._captions(found) if self.kind is SubjectKind.CAPTIONER else self._features(subject, images, found)
        if fault is not None:
            raise ConfigurationError(
                f"The {subject.kind} {subject.ref} does not reproduce its known answers in {path}: {fault} "
                f"They were recorded from {self.model} ({self.setting}); this process runs {subject.ref} "
                f"({subject.setting}). {remedy}"
            )

    def _captions(self, found: Mapping[str, Answer]) -> str | None:
        other = [name for name, caption in self.answers.items() if found[name] != caption]
        if not other:
            return None
        name = other[0]
        return (
            f"{len(other)} of {len(self.answers)} captions differ. It describes the image {name} as "
            f"{json.dumps(found[name], ensure_ascii=False)}; recorded was "
            f"{json.dumps(self.answers[name], ensure_ascii=False)}. Usual causes are another dtype, "
            "other weights, and a changed preprocessing or tokenizer."
        )

    def _features(
        self, subject: AnswerSubject, images: Mapping[str, Image.Image], found: Mapping[str, Answer]
    ) -> str | None:
        expected, got = np.stack(list(self.answers.values())), np.stack(list(found.values()))
        if expected.shape != got.shape:
            return f"its features have {got.shape[1]} numbers, those recorded {expected.shape[1]}."
        cosines = dict(zip(images, _cosines(expected, got), strict=True))
        other = [name for name, cosine in cosines.items() if not cosine >= self.least_cosine]  # also where it is NaN
        if not other:
            return None
        worst = min(other, key=cosines.__getitem__)
        width, height = images[worst].size
        return (
            f"the features of {len(other)} of {len(cosines)} images differ, most those of the image {worst} "
            f"({width}×{height}), whose cosine with those recorded is {cosines[worst]:.6f}; it must be at least "
            f"{self.least_cosine}. {self._cause(subject, images, cosines)}"
        )

    def _cause(self, subject: AnswerSubject, images: Mapping[str, Image.Image], cosines: Mapping[str, float]) -> str:
        """A sentence on where to look."""
        expected = np.stack(list(self.answers.values()))
        for words, undo in _READINGS.items():
            got = np.stack(list(subject.ask([undo(image) for image in images.values()])))
            if (_cosines(expected, got) >= LEAST_COSINE).all():
                return f"It reads images {words}."
        square = [cosines[name] for name, image in images.items() if image.width == image.height]
        if square and min(square) >= self.least_cosine:
            return "Square images of the model's size do not differ: look at resize_mode and interpolation."
        if min(cosines.values()) >= 0.99:
            return (
                "All are near: look at the activation (quick_gelu), the interpolation, and the arithmetic; "
                "8-bit products saturate on some processors."
            )
        return "Look at the preprocessing (mean, std, size), the weights and the arithmetic."


def _mirrored(image: Image.Image) -> Image.Image:
    return ImageOps.mirror(image)


def _upside_down(image: Image.Image) -> Image.Image:
    return ImageOps.flip(image)


def _swapped(image: Image.Image) -> Image.Image:
    return Image.merge("RGB", image.split()[::-1])


# Ways of reading an image wrongly, with what undoes each.
_READINGS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": _mirrored,
    "upside down": _upside_down,
    "with red and blue swapped": _swapped,
}


def _cosines(expected: Any, got: Any) -> Any:
    """(n,) of rows (n, d), in float64."""
    expected, got = expected.astype(np.float64), got.astype(np.float64)
    return (expected * got).sum(axis=1) / (np.linalg.norm(expected, axis=1) * np.linalg.norm(got, axis=1))


def _noisy(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image).astype(np.int16)
    noise = np.random.default_rng(0).integers(-_SHADES, _SHADES + 1, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


_NAME_LENGTH = 80


def reproduce(subject: AnswerSubject, folder: Path) -> KnownAnswers | None:
    """Compares with the known answers, or records those of a model that has none; the latter are returned.

    Raises ConfigurationError where the model answers otherwise, or the file is of another model; OSError where the
    folder cannot be read or written, so that nothing was compared.
    """
    if subject.directory is not None and check_beside(subject, subject.directory):
        return None
    path = folder / file_name(subject)
    known = KnownAnswers.read(path)
    if known is None:
        known = KnownAnswers.record(subject)
        if known.answers:
            known.write(path)
        return known
    remedy = f"If the change is intended, delete {path}: the next start records anew."
    if known.model != str(subject.ref):
        raise ConfigurationError(f"{path} holds the known answers of {known.model}, not of {subject.ref}. {remedy}")
    known.check(subject, path, remedy)
    return None


def check_beside(subject: AnswerSubject, directory: Path) -> bool:
    """Whether there are known answers beside the weights. Raises ConfigurationError where others are given."""
    path = directory / KNOWN_ANSWERS
    try:
        known = KnownAnswers.read(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    if known is None:
        return False
    remedy = f"If the change is intended, record anew: python -m attribution known-answers record {directory}"
    known.check(subject, path, remedy)
    return True


def file_name(subject: AnswerSubject) -> str:
    """One for each kind, name and revision; the name only helps people."""
    name = re.sub(r"[^A-Za-z0-9._=-]+", "-", subject.ref.name)[-_NAME_LENGTH:]
    return f"{subject.kind}-{name}-{sha256(str(subject.ref).encode()).hexdigest()[:16]}.json"
