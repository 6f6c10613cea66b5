"""What was measured: the demo models, and real images by folder, made alike or as they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.report.gather import Document, Results
from evaluation.report.section import Missing

ZOO = "demo models"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One result of a part, with its title in text and the short one in figures."""

    result: str
    document: Document
    title: str
    short: str

    @property
    def rows(self) -> Sequence[Document]:
        """The rows of the result."""
        found: Sequence[Document] = self.document["rows"]
        return found

    @property
    def real(self) -> bool:
        """Whether these are real images."""
        return self.title != ZOO

    @property
    def heading(self) -> str:
        """The title with a capital."""
        return self.title[0].upper() + self.title[1:]


def measurements(results: Results, part: str) -> list[Measurement]:
    """All results of a part such as "distances", the demo models first."""
    zoo = f"zoo-{part}"
    found = [Measurement(zoo, results[zoo], ZOO, ZOO)] if zoo in results else []
    return found + [_real(name, results[name]) for name in results.fitting(f"real-*-{part}")]


def in_figures(found: Sequence[Measurement]) -> list[Measurement]:
    """Those that figures show. Images as they are stand in tables only: size and format reveal their source."""
    return [each for each in found if not each.real or _about(each.document)["alike"]]


def missing(results: Results, part: str, what: str) -> list[Missing]:
    """The steps without a result: of the demo models, and of real images where no folder has one."""
    lacking = [] if f"zoo-{part}" in results else [Missing(f"zoo-{part}", f"{what}, {ZOO}")]
    if not results.fitting(f"real-*-{part}"):
        lacking.append(Missing(f"real-*-{part}", f"{what}, real images"))
    return lacking


def _about(document: Document) -> Document:
    about: Document = document.get("about", document)
    return about


def _real(name: str, document: Document) -> Measurement:
    about = _about(document)
    folder = str(about["subject"] if "subject" in about else about["dataset"])
    form = "made alike" if about["alike"] else "as they are"
    return Measurement(name, document, f"real images ({folder}, {form})", folder)
