"""What a page is made of: sections of text, tables, figures, and of what was not measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from evaluation.report.figures.style import Draw
from evaluation.report.html import Html, escaped


@dataclass(frozen=True)
class Plate:
    """A figure: the name of its file, the results it shows, what stands below it, and how it is generated."""

    name: str
    of: Sequence[str]
    caption: str
    generate: Draw


@dataclass(frozen=True, slots=True)
class Missing:
    """A step of the plan that has no result, and what it would show."""

    step: str
    what: str


Part: TypeAlias = Html | Plate | Missing


@dataclass(frozen=True)
class Section:
    """A heading with its parts."""

    anchor: str
    title: str
    parts: Sequence[Part]


def text(*sentences: object) -> Html:
    """A paragraph."""
    return Html(f"<p>{''.join(map(escaped, sentences))}</p>")
