"""The parts of a page: sections, figures, and HTML by the Jinja2 templates beside this module, which escape it."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evaluation.report.figures.style import Plot

_ENVIRONMENT = Environment(
    loader=PackageLoader("evaluation.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_ENVIRONMENT.filters["base64"] = lambda content: base64.b64encode(content).decode()
_PARTS: Any = _ENVIRONMENT.get_template("parts.html.j2").module


def render_page(**values: object) -> str:
    """The whole page."""
    return _ENVIRONMENT.get_template("page.html.j2").render(values)


def text(*sentences: object) -> Markup:
    """A paragraph."""
    return Markup(_PARTS.paragraph(sentences))  # noqa: S704 - escaped by the template


def code(content: object, title: str | None = None) -> Markup:
    """Something typed, or the name of a thing."""
    return Markup(_PARTS.code(content, title))  # noqa: S704


def link(content: object, target: str) -> Markup:
    """A link."""
    return Markup(_PARTS.link(content, target))  # noqa: S704


def anchor(content: object, name: str) -> Markup:
    """Text that a link can lead to."""
    return Markup(_PARTS.anchor(content, name))  # noqa: S704


def bullets(items: Iterable[object]) -> Markup:
    """A list."""
    return Markup(_PARTS.bullets(list(items)))  # noqa: S704


def table(head: Sequence[object], rows: Iterable[Sequence[object]], caption: str = "") -> Markup:
    """The first column names the rows."""
    return Markup(_PARTS.table(head, list(rows), caption))  # noqa: S704


@dataclass(frozen=True)
class Plate:
    """A figure: the name of its file, the results it shows, what stands below it, and how it is plotted."""

    name: str
    of: Sequence[str]
    caption: str
    plot: Plot


@dataclass(frozen=True, slots=True)
class Missing:
    """A step of the plan that has no result, and what it would tables."""

    step: str
    what: str


Part: TypeAlias = Markup | Plate | Missing


@dataclass(frozen=True)
class Section:
    """A heading with its parts."""

    anchor: str
    title: str
    parts: Sequence[Part]
