"""The options beside an image: one frozen model that checks them, and from which the API documents them.

Forms carry them as text, JSON as what they are; what is a mistake in one is a mistake in the other.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
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

from app.errors import InvalidRequest
from app.intake.strict_json import parse
from app.settings import MAX_AWAITED
from app.webhooks.events import EventType
from attribution.offer import NAME_PATTERN
from attribution.ports import Aggregate, DistanceName

MAX_METADATA_BYTES = 4_096
MOST_PRIORS = 1_000
MAX_AWAIT_SECONDS = int(MAX_AWAITED.total_seconds())
# What a column of amounts can hold is more; so much for one image is a mistake.
MAX_BUDGET_USD = 100_000

_LISTS = ("sources", "exclude", "await_references", "webhook_events")
_NUMBERS = ("images_per_source", "seed", "await_seconds")
_OBJECTS = ("metadata", "external_scores")
_SWITCHES = ("local_only", "cache")
_AMOUNTS = ("budget_usd",)
_SHARES = ("fusion_weight",)
# What `_speakable` asks for, for those who read the API's document.
_SPEAKABLE: JsonDict = {"pattern": r"^(?=.*\S)[^\x00-\x1f\x7f-\x9f]*$"}


def _speakable(value: str) -> str:
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
    """What may be asked of an attribution besides the image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...] | None = Field(
        None,
        description="candidate sources by id, repeated or separated by commas; all enabled ones where not given. "
        "Sources whose generated images you bring are there besides, so that with those this may be empty",
        examples=[["zoo-unet", "zoo-dit"]],
    )
    exclude: tuple[str, ...] = Field((), description="sources to leave out, written like `sources`")
    images_per_source: Annotated[int, Field(ge=1, le=16, strict=True)] | None = Field(
        None, description="γ, generated images asked of each source; the installation's default where not given"
    )
    distance: DistanceName | None = Field(
        None,
        description="what an image and a generated image are compared by; the installation's default where not given",
    )
    aggregate: Aggregate | None = Field(
        None,
        description="which similarity stands for a source: the mean over its generated images, that of the nearest (`max`), or "
        "the median; the installation's default where not given",
    )
    external_scores: (
        Annotated[
            dict[str, Annotated[float, Field(strict=True, allow_inf_nan=False)]],
            Field(min_length=1, max_length=MOST_PRIORS),
        ]
        | None
    ) = Field(
        None,
        description="another method's scores by source, greater for what is likelier, on any scale: the ranking is "
        "fused with them, and its verdict is not calibrated then",
        examples=[{"zoo-unet": 0.7, "zoo-dit": 0.2}],
    )
    fusion_weight: Annotated[float, Field(ge=0, le=1, strict=True)] | None = Field(
        None,
        description="how much `external_scores` counts beside our own distances, from 0 to 1; the installation's default where "
        "not given",
    )
    prompt: Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_speakable)] | None = Field(
        None,
        description="the caption, if it is known: nothing is captioned then. Without control characters",
        examples=["a lighthouse at dusk"],
        json_schema_extra=_SPEAKABLE,
    )
    captioner: Annotated[str, Field(pattern=NAME_PATTERN)] | None = Field(
        None,
        description="who describes the image: one of the `captioners` in GET /sources; the installation's usual one "
        "where not given. Not beside a `prompt`",
        examples=["blip"],
    )
    embedder: Annotated[str, Field(pattern=NAME_PATTERN)] | None = Field(
        None,
        description="by whose features images are compared: one of the `embedders` in GET /sources; the installation's "
        "usual one where not given",
        examples=["open_clip"],
    )
    await_references: tuple[str, ...] = Field(
        (),
        description="sources that are not asked: you have them generate the caption, which the job shows, and bring the "
        "generated images to POST /attribute/{job_id}/references/{source}. Written like `sources`",
        examples=[["midjourney"]],
    )
    await_seconds: Annotated[int, Field(ge=60, le=MAX_AWAIT_SECONDS, strict=True)] | None = Field(
        None,
        description="how long, from now on, the job may take because it waits for generated images; with `await_references` "
        "only. The installation's default where not given",
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, strict=True)] | None = Field(
        None, description="seeds the generated images; derived from caption and source where not given"
    )
    budget_usd: Annotated[float, Field(ge=0, le=MAX_BUDGET_USD, strict=True, allow_inf_nan=False)] | None = Field(
        None,
        description="what may be spent on sources that cost money; the tenant's or the installation's budget where not "
        "given. A source that it does not cover is not asked",
        examples=[0.5],
    )
    local_only: Annotated[bool, Field(strict=True)] = Field(
        False, description="ask no source that the caption would leave the house for; a tenant may have that for all"
    )
    cache: Annotated[bool, Field(strict=True)] = Field(
        True,
        description="whether the answer, or generated images, may be taken from earlier jobs, and these may serve later ones",
    )
    external_id: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_speakable)] | None = Field(
        None,
        description="your own name for it, echoed; need not be unique. Without control characters",
        examples=["upload-4711"],
        json_schema_extra=_SPEAKABLE,
    )
    metadata: Annotated[dict[str, Any], AfterValidator(_small)] | None = Field(
        None,
        description=f"whatever you like, echoed; at most {MAX_METADATA_BYTES:,} bytes as compact JSON",
        examples=[{"queue": "appeals", "reporter": 17}],
    )
    webhook_url: Annotated[str, Field(max_length=4_096)] | None = Field(
        None,
        description="a public https address that is told of this job, signed with the tenant's default secret",
        examples=["https://moderation.example/hooks/attribution"],
    )
    webhook_events: Annotated[tuple[EventType, ...], Field(min_length=1)] | None = Field(
        None, description="of which types of events `webhook_url` is told, written like `sources`; all where not given"
    )

    @field_validator("captioner")
    @classmethod
    def _for_want_of_a_prompt(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("prompt") is not None:
            raise ValueError("describes nothing where a prompt is given; give one of the two")
        return value

    @field_validator("await_seconds")
    @classmethod
    def _for_generated_images(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and not info.data.get("await_references"):
            raise ValueError("needs await_references beside it")
        return value

    @field_validator("fusion_weight")
    @classmethod
    def _for_scores(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("external_scores", ...) is None:
            raise ValueError("needs a prior beside it")
        return value

    @field_validator("webhook_events")
    @classmethod
    def _for_an_address(cls, value: tuple[EventType, ...] | None, info: ValidationInfo) -> tuple[EventType, ...] | None:
        if value is not None and info.data.get("webhook_url") is None:
            raise ValueError("needs a webhook_url beside it")
        return value


FIELDS = tuple(Options.model_fields)


def read_form(fields: Iterable[tuple[str, str]]) -> Options:
    """The options of a form's text fields. Raises InvalidRequest that lists every mistake."""
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
    return _read(values, mistakes)


def read_members(values: Mapping[str, Any]) -> Options:
    """The options among the members of a JSON object. Raises InvalidRequest that lists every mistake."""
    return _read(values, [])


def mistake(name: str, detail: str, *within: str | int) -> dict[str, str]:
    """One of the `errors` of a problem document: what is wrong with a member of the body, or something in it."""
    steps = (str(step).replace("~", "~0").replace("/", "~1") for step in (name, *within))
    return {"detail": detail, "pointer": "#/" + "/".join(map(quote, steps))}


def _whole_number(text: str) -> int:
    """Only plain digits are a number, not `4.0`, ` 4` or `1_6`."""
    if not re.fullmatch(r"-?[0-9]{1,20}", text):
        raise ValueError("must be a whole number")
    return int(text)


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _amount(text: str) -> float:
    """Dollars as people write them, not `1e3` or `.5`."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise ValueError("must be an amount such as 2 or 0.50")
    return float(text)


def _share(text: str) -> float:
    """As people write it, not `5e-1` or `.5`."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise ValueError("must be a number from 0 to 1, such as 0.5")
    return float(text)


_READERS: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(_NUMBERS, _whole_number),
    **dict.fromkeys(_OBJECTS, parse),
    **dict.fromkeys(_SWITCHES, _switch),
    **dict.fromkeys(_AMOUNTS, _amount),
    **dict.fromkeys(_SHARES, _share),
}


def _read(values: Mapping[str, Any], mistakes: list[dict[str, str]]) -> Options:
    try:
        options = Options.model_validate(values)
    except ValidationError as error:
        mistakes += [
            mistake(str(name), found["msg"].removeprefix("Value error, "), *(within if name in _OBJECTS else ()))
            for found in error.errors(include_url=False, include_context=False, include_input=False)
            for name, *within in [found["loc"]]
        ]
    if mistakes:
        raise InvalidRequest("The options cannot be taken as they are; `errors` lists why.", errors=mistakes)
    return options
