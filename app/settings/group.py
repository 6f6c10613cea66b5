"""What all groups of settings share: how they are read, and durations."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

# The one way to write a duration: in settings, on the command line and in the header Cancel-After.
_DURATION = re.compile(r"(?=.)(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9}(?:\.\d{1,6})?)s?)?", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """`90d`, `1h30m`, `5m`, `90s`, `0.5s`, or a number of seconds. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a duration such as 30s, 5m, 1h30m, 90d or a number of seconds")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _read_duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than zero")
    return value


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must begin with http:// or https:// and name a host")
    return value


Duration = Annotated[timedelta, BeforeValidator(_read_duration), AfterValidator(_positive)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]

# The longest time that a job can wait for reference images.
MAX_AWAITED = timedelta(days=7)


class Group(BaseModel):
    """A nested group: frozen, and a misspelled name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`name_file` stands for `name`: containers mount secrets as files. Raises where one cannot be read."""
        suffix = "_file"
        return {
            (key.removesuffix(suffix) if key.endswith(suffix) else key): (
                Path(value).read_text().strip() if key.endswith(suffix) else value
            )
            for key, value in values.items()
        }
