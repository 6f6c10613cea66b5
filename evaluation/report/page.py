"""One HTML page of sections: nothing is loaded from elsewhere, and nothing in it runs."""

from collections.abc import Mapping, Sequence

from evaluation.report.gather import Results
from evaluation.report.html import Plate, Section, render_page
from evaluation.report.sections import attribution, captions, examples, papers, robustness, setting, shots, variants
from evaluation.report.sections.summary import summary

TITLE = "whodrew: the benchmark"
_SECTIONS = (
    summary, shots.t1, shots.plugin, attribution.accuracy, attribution.left_out, robustness.robustness,
    variants.images_per_source, variants.distances, variants.embedders, captions.captioners, captions.quality,
    examples.attributions, examples.zoo, papers.papers, setting.setting,
)  # fmt: skip


def sections(results: Results) -> list[Section]:
    """All of them, also those of which nothing was measured."""
    return [make(results) for make in _SECTIONS]


def plates(found: Sequence[Section]) -> list[Plate]:
    """All figures, in their order on the page."""
    return [part for section in found for part in section.parts if isinstance(part, Plate)]


def page(results: Results, found: Sequence[Section], images: Mapping[str, bytes]) -> str:
    """The page; `images` are the figures as PNG, by name."""
    days = sorted({made["at"][:10] for name in results.documents if "at" in (made := results.made(name))})
    return render_page(title=TITLE, days=days, sections=found, images=images, results=results)
