"""Generated images that come with a request: what they are, how many and how large they may be.

A form has them as file fields, JSON as texts in base64; what is a mistake in one is a mistake in the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.errors import InvalidRequest, UploadTooLarge
from app.intake.options import mistake
from app.intake.unpack import REFERENCES, ImageFile, NoImage
from app.settings import IntakeSettings
from attribution.ports import MOST_REFERENCES

Mistakes = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class UploadedReference:
    """A source's generated images in the order of k, and the member of the body that they are, to point at."""

    source: str
    files: tuple[ImageFile, ...]
    member: tuple[str, ...]


def read_references(value: Any, mistakes: Mistakes) -> tuple[UploadedReference, ...]:
    """Of the member `references` of an unpacked submission, by source. Adds to the mistakes what is wrong with it."""
    if value is None:
        return ()
    if not isinstance(value, dict):
        mistakes.append(mistake(REFERENCES, "must be an object of lists, by source"))
        return ()
    return tuple(
        UploadedReference(source, read_list(texts, (REFERENCES, source), mistakes), (REFERENCES, source))
        for source, texts in value.items()
    )


def read_list(value: Any, member: tuple[str, ...], mistakes: Mistakes) -> tuple[ImageFile, ...]:
    """The files of an unpacked list. Adds to the mistakes what is wrong with it."""
    name, *within = member
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_REFERENCES:
        mistakes.append(mistake(name, f"must be a list of 1 to {MOST_REFERENCES} texts, in base64", *within))
        return ()
    for k, each in enumerate(value):
        if not isinstance(each, ImageFile):
            detail = each.detail if isinstance(each, NoImage) else "must be a text, in base64"
            mistakes.append(mistake(name, detail, *within, k))
    return tuple(each for each in value if isinstance(each, ImageFile))


def references_from_json(value: Any, limits: IntakeSettings) -> UploadedReference:
    """Of an unpacked body that has nothing but `references`, the list of one source's. Raises as `check_sizes` does."""
    mistakes: Mistakes = []
    files: tuple[ImageFile, ...] = ()
    if not isinstance(value, dict):
        mistakes.append({"detail": "must be an object", "pointer": "#"})
    else:
        mistakes += [mistake(name, "There is no such member.") for name in value.keys() - {REFERENCES}]
        files = read_list(value.get(REFERENCES), (REFERENCES,), mistakes)
    if mistakes:
        raise InvalidRequest("The generated images cannot be taken as they are; `errors` lists why.", errors=mistakes)
    brought = UploadedReference("", files, (REFERENCES,))
    check_sizes([brought], limits)
    return brought


def check_sizes(brought: Sequence[UploadedReference], limits: IntakeSettings) -> None:
    """Raises InvalidRequest where there are too many, UploadTooLarge where one, or all together, are too large."""
    files = [file for each in brought for file in each.files]
    if len(files) > limits.max_references:
        raise too_many(brought[-1].member[0], limits.max_references)
    if any(file.size > limits.max_bytes for file in files):
        raise too_large(limits.max_bytes)
    if sum(file.size for file in files) > limits.max_reference_bytes:
        raise too_large_together(limits.max_reference_bytes)


def too_many(name: str, most: int) -> InvalidRequest:
    """The refusal of more generated images than a request may bring."""
    detail = f"A request may bring {most} generated images over all sources; have the job await some of them."
    return InvalidRequest(f"The field `{name}` cannot be taken.", errors=[mistake(name, detail)])


def too_large(max_bytes: int) -> UploadTooLarge:
    """The refusal of an image."""
    return UploadTooLarge(f"An image may have at most {max_bytes:,} bytes.", max_bytes=max_bytes)


def too_large_together(max_bytes: int) -> UploadTooLarge:
    """The refusal of what is brought besides the image."""
    return UploadTooLarge(
        f"The generated images of a request may have at most {max_bytes:,} bytes together.", max_bytes=max_bytes
    )
