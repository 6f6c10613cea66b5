"""What groups of settings have in common: how they are read, and durations."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    model_validator,
)


def _seconds(value: object) -> object:
    """The environment only has text: a bare number in it means seconds."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("must be longer than zero")
    return value


Duration = Annotated[timedelta, BeforeValidator(_seconds), AfterValidator(_positive)]


# Nobody may have a job wait for generated images any longer.
MAX_AWAITED = timedelta(days=7)


class Group(BaseModel):
    """A nested group: frozen, and a misspelt name is an error."""

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
