"""Reads files and options with pydantic; its errors become ConfigurationErrors: one sentence with place and key.

Only the code that reads the operator's files uses pydantic; what it returns are plain frozen dataclasses.
"""

from collections.abc import Mapping
from pathlib import Path
from tomllib import TOMLDecodeError, loads
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, with_config

from attribution.errors import ConfigurationError

M = TypeVar("M", bound="FileTable")
T = TypeVar("T")

_LONGEST_VALUE = 60
# The sentence of each kind of error, which pydantic's ctx completes; what is not listed keeps pydantic's message.
_SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not a known key",
    "unexpected_keyword_argument": "is not a known key",
    "value_error": "{error}",
    "model_type": "must be a table",
    "dict_type": "must be a table",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_type": "must be a string, not {input}",
    "string_too_short": "must not be empty",
    "int_type": "must be a whole number, not {input}",
    "int_parsing": "must be a whole number, not {input}",
    "float_type": "must be a number, not {input}",
    "float_parsing": "must be a number, not {input}",
    "finite_number": "must be a finite number, not {input}",
    "bool_type": "must be true or false, not {input}",
    "bool_parsing": "must be true or false, not {input}",
    "date_type": "must be a date, not {input}",
    "enum": "must be {expected}, not {input}",
    "literal_error": "must be {expected}, not {input}",
    "greater_than": "must be above {gt:g}, not {input}",
    "greater_than_equal": "must be at least {ge:g}, not {input}",
    "less_than": "must be below {lt:g}, not {input}",
    "less_than_equal": "must be at most {le:g}, not {input}",
}


class FileTable(BaseModel):
    """A table of a file: no unknown keys, and no conversion between types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def read_toml(path: Path) -> dict[str, Any]:
    """The top table of a TOML file. Raises ConfigurationError."""
    try:
        return loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: not readable as TOML: {error}") from error


def read_table(kind: type[M], values: object, where: str) -> M:
    """A table of a file. Raises ConfigurationError that begins with `where` and names the key."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {_sentence(error)}") from None


def read_options(kind: type[T], values: Mapping[str, object], where: str) -> T:
    """A dataclass from named options, whose values may be text. Raises ConfigurationError as `read_table` does."""
    try:
        adapter = TypeAdapter(with_config(ConfigDict(extra="forbid", allow_inf_nan=False))(kind))
        options: T = adapter.validate_python(values)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {_sentence(error)}") from None
    return options


def _sentence(found: ValidationError) -> str:
    """The first mistake, such as "limits.per_minute must be above 0, not -1"."""
    error = found.errors()[0]
    value = repr(error["input"])
    shown = value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}…"
    sentence = _SENTENCES.get(error["type"], error["msg"].replace("{", "{{").replace("}", "}}"))
    key = ".".join(map(str, error["loc"]))
    return f"{key} {sentence.format(input=shown, **error.get('ctx', {}))}".lstrip()
