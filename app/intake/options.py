"""The options beside an uploaded image: one frozen model that checks them, and from which the API documents them."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from app.errors import InvalidRequest
from app.webhook.events import EventType

_LISTS = ("sources", "exclude", "webhook_events")


def _whole_number(value: object) -> object:
    """Forms carry text; only plain digits are a number, not `4.0`, ` 4` or `1_6`."""
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,20}", value):
        raise ValueError("must be a whole number")
    return value


def _speakable(value: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ValueError("must not contain control characters, such as line breaks")
    if not value.strip():
        raise ValueError("must not be empty")
    return value


Whole = BeforeValidator(_whole_number)


class Options(BaseModel):
    """What may be asked of an attribution besides the image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[str, ...] | None = Field(
        None,
        description="candidate sources by id, repeated or separated by commas; all enabled ones where not given",
        examples=[["zoo-unet", "zoo-flow"]],
    )
    exclude: tuple[str, ...] = Field((), description="sources to leave out, written like `sources`")
    candidates: Annotated[int, Field(ge=1, le=16), Whole] | None = Field(
        None, description="γ, drawings asked of each source; the installation's default where not given"
    )
    prompt: Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_speakable)] | None = Field(
        None,
        description="the caption, if it is known: nothing is captioned then. Without control characters",
        examples=["a lighthouse at dusk"],
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1), Whole] | None = Field(
        None, description="seeds the drawings; derived from caption and source where not given"
    )
    webhook_url: Annotated[str, Field(max_length=4_096)] | None = Field(
        None,
        description="a public https address that is told of this job, signed with the tenant's default secret",
        examples=["https://moderation.example/hooks/attribution"],
    )
    webhook_events: Annotated[tuple[EventType, ...], Field(min_length=1)] | None = Field(
        None, description="of which types of events `webhook_url` is told, written like `sources`; all where not given"
    )

    @field_validator("webhook_events")
    @classmethod
    def _for_an_address(cls, value: tuple[EventType, ...] | None, info: ValidationInfo) -> tuple[EventType, ...] | None:
        if value is not None and info.data.get("webhook_url") is None:
            raise ValueError("needs a webhook_url beside it")
        return value


FIELDS = tuple(Options.model_fields)


def read_options(fields: Iterable[tuple[str, str]]) -> Options:
    """The options of a form's text fields. Raises InvalidRequest that lists every mistake."""
    values: dict[str, Any] = {}
    mistakes: list[dict[str, str]] = []
    for name, text in fields:
        if name in _LISTS:
            values.setdefault(name, []).extend(part.strip() for part in text.split(",") if part.strip())
        elif name in values:
            mistakes.append({"detail": "was given more than once", "pointer": f"#/{name}"})
        else:
            values[name] = text
    if values.get("sources") == []:
        mistakes.append({"detail": "names no source", "pointer": "#/sources"})
    try:
        options = Options.model_validate(values)
    except ValidationError as error:
        mistakes += [
            {"detail": found["msg"].removeprefix("Value error, "), "pointer": f"#/{found['loc'][0]}"}
            for found in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    if mistakes:
        raise InvalidRequest("The options cannot be taken as they are; `errors` lists why.", errors=mistakes)
    return options
