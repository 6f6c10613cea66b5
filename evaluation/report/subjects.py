"""What was measured: the demo models, and real images by folder, made alike or as they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.report.gather import Document, Results
from evaluation.report.section import Missing

ZOO = "demo models"


@dataclass(frozen=True, slots=True)
class Subject:
    """A result of one part: its title in text, and the short one that it has in figures."""

    result: str
    document: Document
    title: str
    short: str

    @property
    def rows(self) -> Sequence[Document]:
        """What was measured, line by line."""
        found: Sequence[Document] = self.document["rows"]
        return found

    @property
    def real(self) -> bool:
        """Whether these are real images."""
        return self.title != ZOO

    @property
    def heading(self) -> str:
        """The title as a sentence begins."""
        return self.title[0].upper() + self.title[1:]

    @property
    def in_figures(self) -> bool:
        """Images as they are stand in tables only: size and format give their source away."""
        return not self.real or _about(self.document)["alike"]


def subjects(results: Results, part: str) -> list[Subject]:
    """All that a part such as "distances" was measured on, the demo models first."""
    zoo = f"zoo-{part}"
    found = [Subject(zoo, results[zoo], ZOO, ZOO)] if zoo in results else []
    return found + [_real(name, results[name]) for name in results.fitting(f"real-*-{part}")]


def shown(found: Sequence[Subject]) -> list[Subject]:
    """Those that figures show."""
    return [each for each in found if each.in_figures]


def missing(results: Results, part: str, what: str) -> list[Missing]:
    """What has no result, neither of the demo models nor of any folder."""
    lacking = [] if f"zoo-{part}" in results else [Missing(f"zoo-{part}", f"{what}, {ZOO}")]
    if not results.fitting(f"real-*-{part}"):
        lacking.append(Missing(f"real-*-{part}", f"{what}, real images"))
    return lacking


def _about(document: Document) -> Document:
    about: Document = document.get("about", document)
    return about


def _real(name: str, document: Document) -> Subject:
    about = _about(document)
    folder = str(about["subject"] if "subject" in about else about["dataset"])
    form = "made alike" if about["alike"] else "as they are"
    return Subject(name, document, f"real images ({folder}, {form})", folder)
