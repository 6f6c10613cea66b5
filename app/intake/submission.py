"""What one job is asked with: options and an image, however they came in."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest
from app.intake.options import Options, mistake, read_form, read_members
from app.intake.unpack import IMAGE, REFERENCES, ImageFile, NoImage
from app.intake.upload import Upload
from app.intake.uploaded_references import Mistakes, UploadedReference, check_sizes, read_references, too_large
from app.settings import IntakeSettings

IMAGE_URL = "image_url"
MAX_URL = 4_096


@dataclass(frozen=True, slots=True)
class Submission:
    """Either an image, in a file that has a folder of its own, or the address where there is one."""

    options: Options
    image: Path | None = None
    image_url: str | None = None
    references: tuple[UploadedReference, ...] = ()

    def fingerprint(self, endpoint: str, cancel_after: timedelta | None) -> str:
        """The same for the same request, whether it came as form or as JSON. Reads the images."""
        asked = [
            endpoint,
            # Options that a later version adds must not change what a retry across an upgrade is compared with.
            self.options.model_dump(mode="json", exclude_defaults=True),
            self.image and _sha256(self.image),
            self.image_url,
            cancel_after and cancel_after.total_seconds(),
        ]
        if self.references:  # without any, what it was before there were references
            asked.append({each.source: [_sha256(file.path) for file in each.files] for each in self.references})
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def from_form(upload: Upload) -> Submission:
    """Of a multipart form. Raises InvalidRequest."""
    options = read_form(upload.fields)
    mistakes: Mistakes = []
    _check_together(options, upload.references, mistakes)
    if mistakes:
        raise InvalidRequest("The request cannot be taken as it is; `errors` lists why.", errors=mistakes)
    return Submission(options, image=upload.image, references=upload.references)


def from_json(value: Any, limits: IntakeSettings) -> Submission:
    """Of an unpacked JSON object. Raises InvalidRequest that lists every mistake, or UploadTooLarge."""
    if not isinstance(value, Mapping):
        raise InvalidRequest("A JSON object is needed.", errors=[{"detail": "must be an object", "pointer": "#"}])
    members = dict(value)
    image, url = members.pop(IMAGE, None), members.pop(IMAGE_URL, None)
    mistakes: Mistakes = []
    references = read_references(members.pop(REFERENCES, None), mistakes)
    if (image is None) == (url is None):
        mistakes.append(mistake(IMAGE, f"Give either `{IMAGE}` or `{IMAGE_URL}`."))
    if isinstance(image, NoImage):
        mistakes.append(mistake(IMAGE, image.detail))
    elif image is not None and not isinstance(image, ImageFile):
        mistakes.append(mistake(IMAGE, "must be a text, in base64"))
    if url is not None and not (isinstance(url, str) and len(url) <= MAX_URL):
        mistakes.append(mistake(IMAGE_URL, f"must be a text of at most {MAX_URL:,} characters"))
    try:
        options = read_members(members)
        _check_together(options, references, mistakes)
    except InvalidRequest as error:
        mistakes += error.extensions["errors"]
    if mistakes:
        raise InvalidRequest("The request cannot be taken as it is; `errors` lists why.", errors=mistakes)
    if isinstance(image, ImageFile) and image.size > limits.max_bytes:
        raise too_large(limits.max_bytes)
    check_sizes(references, limits)
    path = image.path if isinstance(image, ImageFile) else None
    return Submission(options, image=path, image_url=url, references=references)


def _check_together(options: Options, references: Sequence[UploadedReference], mistakes: Mistakes) -> None:
    """Adds to the mistakes where options and generated images contradict each other."""
    if references and options.prompt is None:
        detail = "is needed beside generated images: the text that they were generated from, which all other sources are given, too"
        mistakes.append(mistake("prompt", detail))
    for each in references:
        if each.source in (*options.exclude, *options.await_references):
            name, *within = each.member
            mistakes.append(mistake(name, f"{each.source} is brought, and excluded or awaited, too", *within))
    for source in options.await_references:
        if source in options.exclude:
            mistakes.append(mistake("await_references", f"{source} is awaited and excluded"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
