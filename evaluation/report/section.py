"""The parts of a page: sections of text, tables, figures, and notes on what was not measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from markupsafe import Markup

from evaluation.report.figures.style import Plot


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
