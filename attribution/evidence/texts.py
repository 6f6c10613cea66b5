"""The texts of one place in a file, such as a PNG's text chunks or an EXIF comment, as interpreters read them.

A tool's parameters are the same whichever block carries them: some write each value under a keyword, others all of them
as one JSON object, and copies of such objects are put into comments of other formats. So a place is read as tables: its
texts by keyword are one, and each JSON object in them is another.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attribution.evidence.finding import SELF_DECLARED, Finding, Kind, Trust, clean, pairs

_MAX_TABLES = 64
_MAX_DEPTH = 3
# ComfyUI writes its JSON into EXIF's Make and Model, after these prefixes; others write "parameters:" there.
PREFIX = re.compile(r"\s{0,9}(prompt|workflow|parameters):", re.IGNORECASE)
# Keywords whose text is a tool's parameters in lines, or prose that may contain them.
_LINES = ("parameters", "comment", "usercomment", "description", "imagedescription", "caption", "xpcomment", "text")

Table = Mapping[str, Any]


@dataclass(frozen=True)
class Texts:
    """(keyword, text) in the order of the file; `makers` are texts beside them that name programs."""

    where: str
    pairs: Sequence[tuple[str, str]]
    makers: Sequence[str] = ()
    trust: Trust = Trust.SELF_DECLARED
    caveat: str = SELF_DECLARED

    @cached_property
    def tables(self) -> list[tuple[str, Table]]:
        """(keyword, table) of the texts by keyword, and of each JSON object in them."""
        found = _Tables([("", _by_keyword(self.entries))])
        for keyword, text in self.entries:
            found.add(keyword, text, 1)
        return found.tables

    @cached_property
    def entries(self) -> list[tuple[str, str]]:
        """(keyword, text); a keyword that the text itself begins with counts."""
        prefixes = [(keyword, text, PREFIX.match(text)) for keyword, text in self.pairs]
        return [
            (prefix[1].lower(), text[prefix.end() :]) if prefix else (keyword, text)
            for keyword, text, prefix in prefixes
        ]

    def lines(self) -> Iterator[tuple[str, str]]:
        """(keyword, text) of all texts in which parameters may be written as lines, the likeliest first."""
        found = [*self.entries]
        for keyword, table in self.tables[1:]:
            found += [(keyword, value) for name, value in table.items() if isinstance(value, str) and _is_line(name)]
        yield from sorted(found, key=lambda pair: not _is_line(pair[0]))


@dataclass(frozen=True, slots=True)
class Statement:
    """What an interpreter found: the generator, and how it was run. `keyword` is where in the texts it stands."""

    generator: str
    keyword: str = ""
    model: str | None = None
    says_ai: bool = True
    prompt_present: bool = False
    details: tuple[tuple[str, str], ...] = ()
    claim: str | None = None
    caveat: str | None = None

    def finding(self, texts: Texts) -> Finding:
        """The statement with its place and how trustworthy it is there."""
        model = clean(self.model) or None
        claim = self.claim or (f"Names {self.generator}, model {model}." if model else f"Names {self.generator}.")
        return Finding(
            Kind.TEXT,
            clean(f"{texts.where} {self.keyword}"),
            claim,
            texts.trust,
            self.caveat if self.caveat and texts.trust is Trust.SELF_DECLARED else texts.caveat,
            generator=self.generator,
            model=model,
            says_ai=self.says_ai,
            prompt_present=self.prompt_present,
            details=self.details,
        )


def settings(values: Table, **names: str | Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The details named, each the first of the given keys that has a value; `size` is made of width and height."""
    found = {name: first(values, *([keys] if isinstance(keys, str) else keys)) for name, keys in names.items()}
    if "size" not in found:
        found["size"] = size(values)
    return pairs(**found)


def first(values: Table, *keys: str) -> object:
    """The value of the first key that has a text or a number."""
    return next((values[key] for key in keys if clean(values.get(key))), None)


def size(values: Table, width: str = "width", height: str = "height") -> str:
    """Width and height as text; empty unless both are there."""
    across, down = clean(values.get(width)), clean(values.get(height))
    return f"{across}x{down}" if across and down else ""


def json_object(text: object) -> dict[str, Any]:
    """The JSON object in the text, empty for anything else. ComfyUI writes NaN, which Python accepts."""
    if isinstance(text, dict):
        return text
    if not isinstance(text, str) or not text.lstrip("\ufeff \r\n\t").startswith("{"):
        return {}
    try:
        value = json.loads(text.strip("\ufeff\0 \r\n\t"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def is_graph(table: Table) -> bool:
    """Whether the values are nodes of ComfyUI."""
    return any(isinstance(node, dict) and "class_type" in node for node in list(table.values())[:50])


class _Tables:
    """Collects JSON objects within texts and within each other, up to a depth and a number."""

    def __init__(self, tables: list[tuple[str, Table]]) -> None:
        self.tables = tables

    def add(self, keyword: str, value: object, depth: int) -> None:
        table = json_object(value)
        if not table or len(self.tables) >= _MAX_TABLES:
            return
        self.tables.append((keyword, table))
        if depth < _MAX_DEPTH and not is_graph(table):
            for name, member in table.items():
                if isinstance(member, str | dict):
                    self.add(name, member, depth + 1)


def _by_keyword(texts: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The first text of each keyword: a later one must not hide it."""
    found: dict[str, str] = {}
    for keyword, text in texts:
        found.setdefault(keyword, text)
    return found


def _is_line(keyword: str) -> bool:
    return keyword.lower() in _LINES
