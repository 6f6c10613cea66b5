"""The content of one request for a job: an image or its address, options, and the headers that concern the job.

Forms and JSON give the same submission, with the same errors.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from app.errors import InvalidRequest, MalformedRequest
from app.intake.json_body import IMAGE, IMAGE_URL, REFERENCES, NoImage
from app.intake.multipart import Upload
from app.intake.options import Options, mistake, read_form, read_members
from app.intake.reference_images import Mistakes, UploadedReference, check_sizes, read_references, too_large
from app.intake.spool import ImageFile
from app.settings import IntakeSettings, parse_duration

MAX_URL = 4_096
MAX_KEY_LENGTH = 255
# A structured-field string (RFC 9651, 3.3.3), or without quotation marks as most clients send it.
_QUOTED = r'"((?:[ !#-\[\]-~]|\\["\\]){1,255})"'
_BARE = r"[!#-+\--\[\]-~]{1,255}"
KEY_PATTERN = f"^(?:{_QUOTED}|{_BARE})$"

# From 5 seconds to 24 hours, so that the OpenAPI document states exactly what is accepted.
_UP_TO_59 = "[1-5]?[0-9]"
_HOURS = f"24h|(?:2[0-3]|1[0-9]|[1-9])h(?:{_UP_TO_59}m)?(?:{_UP_TO_59}s)?"
_MINUTES = f"[1-9][0-9]{{0,2}}m(?:{_UP_TO_59}s)?"
_SECONDS = "(?:86400|86[0-3][0-9]{2}|8[0-5][0-9]{3}|[1-7][0-9]{4}|[1-9][0-9]{1,3}|[5-9])s?"
DURATION_PATTERN = f"^(?:{_HOURS}|{_MINUTES}|{_SECONDS})$"


@dataclass(frozen=True, slots=True)
class Submission:
    """Either an image, as the path of a temporary file, or the address of one; with its options."""

    options: Options
    image: Path | None = None
    image_url: str | None = None
    references: tuple[UploadedReference, ...] = ()

    def fingerprint(self, endpoint: str, cancel_after: timedelta | None) -> str:
        """The same for the same request, whether it came as a form or as JSON. Reads the images."""
        parts = [
            endpoint,
            # Options that a later version adds must not change the fingerprint of a request that omits them.
            self.options.model_dump(mode="json", exclude_defaults=True),
            self.image and _sha256(self.image),
            self.image_url,
            cancel_after and cancel_after.total_seconds(),
        ]
        if self.references:  # added later: without any, the fingerprint is what it was before
            parts.append({each.source: [_sha256(file.path) for file in each.files] for each in self.references})
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def from_form(upload: Upload) -> Submission:
    """The submission in a multipart form. Raises InvalidRequest that lists every mistake."""
    options = read_form(upload.fields)
    mistakes = _contradictions(options, upload.references)
    if mistakes:
        raise InvalidRequest("The request is not valid; `errors` lists why.", errors=mistakes)
    return Submission(options, image=upload.image, references=upload.references)


def from_json(value: Any, limits: IntakeSettings) -> Submission:
    """The submission in an unpacked JSON object. Raises InvalidRequest that lists every mistake, or UploadTooLarge."""
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
        mistakes += _contradictions(options, references)
    except InvalidRequest as error:
        mistakes += error.extensions["errors"]
    if mistakes:
        raise InvalidRequest("The request is not valid; `errors` lists why.", errors=mistakes)
    if isinstance(image, ImageFile) and image.size > limits.max_bytes:
        raise too_large(limits.max_bytes)
    check_sizes(references, limits)
    path = image.path if isinstance(image, ImageFile) else None
    return Submission(options, image=path, image_url=url, references=references)


def read_idempotency_key(given: Sequence[str]) -> str | None:
    """The key in the `Idempotency-Key` headers of a request, of which there may be one. Raises MalformedRequest."""
    if not given:
        return None
    text = given[0].strip()
    if len(given) > 1 or not re.fullmatch(KEY_PATTERN, text):
        raise MalformedRequest(
            f"Idempotency-Key must be one text of 1 to {MAX_KEY_LENGTH} characters in quotation marks, such as "
            '"8e03978e-40d5-43dd-bc93-6894a57f9324".'
        )
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def read_cancel_after(given: str | None) -> timedelta | None:
    """The duration in the header `Cancel-After`, such as `90s`, `1h30m` or `90`. Raises InvalidRequest."""
    if given is None:
        return None
    if not re.fullmatch(DURATION_PATTERN, given.strip()):
        detail = "must be a time from 5s to 24h, such as 90s, 5m, 1h30m, or a number of seconds"
        raise InvalidRequest(
            "The header Cancel-After is not valid.", errors=[{"detail": detail, "parameter": "Cancel-After"}]
        )
    return parse_duration(given.strip())


def _contradictions(options: Options, references: Sequence[UploadedReference]) -> Mistakes:
    """Where options and reference images contradict each other."""
    mistakes: Mistakes = []
    if references and options.prompt is None:
        detail = (
            "is needed with reference images: it is the text that they were generated from, and all other sources "
            "generate it, too"
        )
        mistakes.append(mistake("prompt", detail))
    for each in references:
        if each.source in (*options.exclude, *options.await_references):
            name, *within = each.member
            mistakes.append(mistake(name, f"{each.source} has reference images, but is excluded or awaited", *within))
    for source in options.await_references:
        if source in options.exclude:
            mistakes.append(mistake("await_references", f"{source} is awaited and excluded"))
    return mistakes


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
