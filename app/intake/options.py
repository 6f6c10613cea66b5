"""The options of a job: one frozen model, which checks them and from which the OpenAPI document describes them.

Forms have them as texts, JSON as values; both have the same errors.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from itertools import takewhile
from typing import Annotated, Any
from urllib.parse import quote

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.config import JsonDict

from app.errors import MAX_MISTAKES, InvalidRequest
from app.intake.json_body import parse
from app.settings import MAX_AWAITED
from app.webhooks.events import EventType
from attribution.offer import NAME_PATTERN
from attribution.ports import Aggregate, DistanceName, Method, Policy
from attribution.race import Budget

MAX_METADATA_BYTES = 4_096
_MAX_SCORES = 1_000
_MAX_AWAIT_SECONDS = int(MAX_AWAITED.total_seconds())
# The column of amounts can hold more; so much for one image is a mistake.
_MAX_BUDGET_USD = 100_000

# Characters of a member's name in a pointer.
_MAX_STEP = 200

_LISTS = ("sources", "exclude", "await_references", "webhook_events")
_OBJECTS = ("metadata", "external_scores")
# The rules of `_printable`, for readers of the OpenAPI document.
_PRINTABLE: JsonDict = {"pattern": r"^(?=.*\S)[^\x00-\x1f\x7f-\x9f]*$"}


def _printable(value: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ValueError("must not contain control characters, such as line breaks")
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _small(value: dict[str, Any]) -> dict[str, Any]:
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    # Postgres writes numbers out: five characters of 1e300 would come back as three hundred.
    written_out = sum(len(format(Decimal(repr(number)), "f")) - len(repr(number)) for number in _fractions(value))
    if len(compact) + written_out > MAX_METADATA_BYTES:
        raise ValueError(f"must not be larger than {MAX_METADATA_BYTES:,} bytes as compact JSON")
    return value


def _fractions(value: object) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _fractions(member)


class Options(BaseModel):
    """The options of a job, besides its image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...] | None = Field(
        None,
        description="candidate sources by id, repeated or separated by commas; all enabled ones by default. Sources of "
        "uploaded reference images are added, so that with those the list may be empty",
        examples=[["zoo-unet", "zoo-dit"]],
    )
    exclude: tuple[str, ...] = Field((), description="sources to leave out, written like `sources`")
    images_per_source: Annotated[int, Field(ge=1, le=16, strict=True)] | None = Field(
        None, description="γ, the images generated with each source; by default as the installation is set"
    )
    method: Method | None = Field(
        None,
        description="how sources are ranked: `residual`, by what remains of features when the content is subtracted, "
        "with probabilities from past jobs; `cosine`, by `distance` as in the papers. By default as the installation "
        "is set, or `cosine` if a `distance` or an `aggregate` is given",
    )
    policy: Policy | None = Field(
        None,
        description="`open`: the image may be by a source that is not tested; `closed`: the caller knows that one of "
        "the tested sources made it. By default as the installation is set; only for the method `residual`",
    )
    budget: Budget | None = Field(
        None,
        description="`fixed`: every source generates γ images; `racing`: each begins with one, and only those that may "
        "still be the first get more, up to γ; `auto`: racing where past jobs know all sources. By default as the "
        "installation is set; only for the method `residual`, and without reference images",
    )
    distance: DistanceName | None = Field(
        None,
        description="the distance between the query image and a generated image; by default as the installation is set",
    )
    aggregate: Aggregate | None = Field(
        None,
        description="how the similarities of a source's generated images become one: their mean, that of the nearest "
        "(`max`), or the median; by default as the installation is set",
    )
    external_scores: (
        Annotated[
            dict[str, Annotated[float, Field(strict=True, allow_inf_nan=False)]],
            Field(min_length=1, max_length=_MAX_SCORES),
        ]
        | None
    ) = Field(
        None,
        description="another method's scores by source, greater for more likely sources, on any scale: the ranking is "
        "fused with them, and its verdict is not calibrated then",
        examples=[{"zoo-unet": 0.7, "zoo-dit": 0.2}],
    )
    fusion_weight: Annotated[float, Field(ge=0, le=1, strict=True)] | None = Field(
        None,
        description="the weight of `external_scores` against the distances of this service, from 0 to 1; by default as "
        "the installation is set",
    )
    prompt: Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_printable)] | None = Field(
        None,
        description="the caption, if it is known: the image is not captioned then. Without control characters",
        examples=["a lighthouse at dusk"],
        json_schema_extra=_PRINTABLE,
    )
    captioner: Annotated[str, Field(pattern=NAME_PATTERN)] | None = Field(
        None,
        description="the model that captions the image: one of the `captioners` in GET /sources; by default as the "
        "installation is set. Not together with a `prompt`",
        examples=["blip"],
    )
    embedder: Annotated[str, Field(pattern=NAME_PATTERN)] | None = Field(
        None,
        description="the model whose features are compared: one of the `embedders` in GET /sources; by default as the "
        "installation is set",
        examples=["open_clip"],
    )
    await_references: tuple[str, ...] = Field(
        (),
        description="sources that you generate with yourself: from the caption, which the job shows, and upload the "
        "images to POST /attribute/{job_id}/references/{source}. Written like `sources`",
        examples=[["midjourney"]],
    )
    await_seconds: Annotated[int, Field(ge=60, le=_MAX_AWAIT_SECONDS, strict=True)] | None = Field(
        None,
        description="the time limit of the job, from now on, where it awaits reference images; only together with "
        "`await_references`. By default as the installation is set",
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, strict=True)] | None = Field(
        None, description="seeds the generated images; by default derived from caption and source"
    )
    budget_usd: Annotated[float, Field(ge=0, le=_MAX_BUDGET_USD, strict=True, allow_inf_nan=False)] | None = Field(
        None,
        description="the most that sources may cost; by default as the tenant or the installation is set. A source "
        "beyond the budget is not called",
        examples=[0.5],
    )
    local_only: Annotated[bool, Field(strict=True)] = Field(
        False, description="send the caption to no third party; a tenant may have that set for all its jobs"
    )
    cache: Annotated[bool, Field(strict=True)] = Field(
        True,
        description="whether the result or generated images may be those of earlier jobs, and later jobs may use those "
        "of this one",
    )
    contribute: Annotated[bool, Field(strict=True)] = Field(
        True,
        description="whether residuals of the images generated for this job may be added to the bank of past jobs: no "
        "images, no text, nothing of the query image. A tenant may have that switched off for all its jobs",
    )
    external_id: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)] | None = Field(
        None,
        description="your own name for the job, echoed; need not be unique. Without control characters",
        examples=["upload-4711"],
        json_schema_extra=_PRINTABLE,
    )
    metadata: Annotated[dict[str, Any], AfterValidator(_small)] | None = Field(
        None,
        description=f"any JSON object, echoed; at most {MAX_METADATA_BYTES:,} bytes as compact JSON",
        examples=[{"queue": "appeals", "reporter": 17}],
    )
    webhook_url: Annotated[str, Field(max_length=4_096)] | None = Field(
        None,
        description="a public https address that receives the events of this job, signed with the tenant's default "
        "secret",
        examples=["https://moderation.example/hooks/attribution"],
    )
    webhook_events: Annotated[tuple[EventType, ...], Field(min_length=1)] | None = Field(
        None, description="the types of events that `webhook_url` receives, written like `sources`; all by default"
    )

    @field_validator("captioner")
    @classmethod
    def _without_prompt(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("prompt") is not None:
            raise ValueError("is not used with a prompt; give one of the two")
        return value

    @field_validator("await_seconds")
    @classmethod
    def _with_await_references(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and not info.data.get("await_references"):
            raise ValueError("needs await_references, too")
        return value

    @field_validator("fusion_weight")
    @classmethod
    def _with_external_scores(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("external_scores", ...) is None:
            raise ValueError("needs external_scores, too")
        return value

    @field_validator("webhook_events")
    @classmethod
    def _with_url(cls, value: tuple[EventType, ...] | None, info: ValidationInfo) -> tuple[EventType, ...] | None:
        if value is not None and info.data.get("webhook_url") is None:
            raise ValueError("needs webhook_url, too")
        return value


FIELDS = tuple(Options.model_fields)


def read_form(fields: Iterable[tuple[str, str]]) -> Options:
    """The options in a form's text fields. Raises InvalidRequest that lists every mistake."""
    values: dict[str, Any] = {}
    mistakes: list[dict[str, str]] = []
    for name, text in fields:
        if name in _LISTS:
            values.setdefault(name, []).extend(part.strip() for part in text.split(",") if part.strip())
        elif name in values:
            mistakes.append(mistake(name, "was given more than once"))
        else:
            values[name] = text
    for name in values.keys() & _READERS.keys():
        try:
            values[name] = _READERS[name](values[name])
        except ValueError as error:
            mistakes.append(mistake(name, str(error)))
            del values[name]
    return _validate(values, mistakes)


def read_members(values: Mapping[str, Any]) -> Options:
    """The options in the members of a JSON object. Raises InvalidRequest that lists every mistake."""
    return _validate(values, [])


def mistake(name: str, detail: str, *within: str | int) -> dict[str, str]:
    """One of the `errors` of a problem document, with a pointer to a member of the body, or to a place in it."""
    path = list(takewhile(lambda step: len(str(step)) <= _MAX_STEP, (name, *within)))  # else to what contains it
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in path)
    return {"detail": detail, "pointer": "#/" + "/".join(map(quote, steps))}


def _integer(text: str) -> int:
    """Only plain digits, not `4.0`, ` 4` or `1_6`."""
    if not re.fullmatch(r"-?[0-9]{1,20}", text):
        raise ValueError("must be a whole number")
    return int(text)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _decimal(text: str, detail: str) -> float:
    """As people write it, not `5e-1` or `.5`."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise ValueError(detail)
    return float(text)


# Of form fields whose values are not texts.
_READERS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("images_per_source", "seed", "await_seconds"), _integer),
    **dict.fromkeys(_OBJECTS, parse),
    **dict.fromkeys(("local_only", "cache", "contribute"), _boolean),
    "budget_usd": partial(_decimal, detail="must be an amount such as 2 or 0.50"),
    "fusion_weight": partial(_decimal, detail="must be a number from 0 to 1, such as 0.5"),
}


def _validate(values: Mapping[str, Any], mistakes: list[dict[str, str]]) -> Options:
    try:
        options = Options.model_validate(values)
    except ValidationError as error:
        found_errors = error.errors(include_url=False, include_context=False, include_input=False)
        mistakes += [
            mistake(str(name), found["msg"].removeprefix("Value error, "), *(within if name in _OBJECTS else ()))
            for found in found_errors[:MAX_MISTAKES]
            for name, *within in [found["loc"]]
        ]
    if mistakes:
        raise InvalidRequest("The options are not valid; `errors` lists why.", errors=mistakes)
    return options
