"""One HTML page of sections: nothing is loaded from elsewhere, and nothing in it runs."""

import base64
from collections.abc import Mapping, Sequence

from evaluation.report.gather import Results
from evaluation.report.html import Html, code, element, joined, link, paragraph
from evaluation.report.section import Missing, Part, Plate, Section
from evaluation.report.sections import attribution, captions, examples, papers, robustness, setting, shots, variants
from evaluation.report.sections.summary import summary

TITLE = "whodrew: the benchmark"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #111; background: #fff; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem; }
nav ul { columns: 2; padding-left: 1.2rem; } a { color: #1f5f99; }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; height: auto; border: 1px solid #eee; }
figcaption, .made { font-size: .85rem; color: #333; } .made { color: #555; overflow-wrap: anywhere; margin: .2rem 0; }
.table { overflow-x: auto; margin: 1.2rem 0; } table { border-collapse: collapse; font-size: .8rem; }
caption { text-align: left; font-size: .85rem; padding: .3rem 0; }
th, td { padding: .15rem .5rem; text-align: left; vertical-align: top; border-bottom: 1px solid #e4e4e4; }
thead th { border-bottom: 1px solid #111; } tbody th { font-weight: normal; }
code { font-size: .85em; overflow-wrap: anywhere; } .missing { border-left: 3px solid #999; padding-left: .8rem; }
@media print { body { max-width: none; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""
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


def page(results: Results, found: Sequence[Section], pictures: Mapping[str, bytes]) -> str:
    """The page; `pictures` are the figures as PNG, by name."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", TITLE),
        element("style", Html(_STYLE)),
    )
    contents = element("ul", *(element("li", link(section.title, f"#{section.anchor}")) for section in found))
    body = element(
        "body",
        element("h1", TITLE),
        paragraph(_when(results)),
        element("nav", contents),
        *(_section(section, results, pictures) for section in found),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _when(results: Results) -> str:
    days = sorted({made["at"][:10] for name in results.documents if "at" in (made := results.made(name))})
    if not days:
        return "No result says when it was measured."
    return f"Measured on {days[0]}." if len(days) == 1 else f"Measured from {days[0]} to {days[-1]}."


def _section(section: Section, results: Results, pictures: Mapping[str, bytes]) -> Html:
    parts = [_part(part, results, pictures) for part in section.parts]
    return element("section", element("h2", section.title), joined(parts), id=section.anchor)


def _part(part: Part, results: Results, pictures: Mapping[str, bytes]) -> Html:
    if isinstance(part, Missing):
        return _missing(part)
    return _figure(part, results, pictures[part.name]) if isinstance(part, Plate) else part


def _missing(part: Missing) -> Html:
    real = " --real FOLDER --real-embedder EMBEDDER" if part.step.startswith("real-") else ""
    how = code(f"python -m evaluation all --steps '{part.step}'{real}")
    return element("p", f"Not run: {part.what}. ", how, " measures it.", class_="missing")


def _figure(plate: Plate, results: Results, picture: bytes) -> Html:
    data = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    below = element("figcaption", f"{plate.name}.png. {plate.caption}")
    made = [element("p", *_made(name, results), class_="made") for name in plate.of]
    return element("figure", element("img", src=data, alt=plate.caption), below, *made, id=f"figure-{plate.name}")


def _made(name: str, results: Results) -> list[object]:
    """The command, when, and for what is the same everywhere a link."""
    made = results.made(name)
    where = link("machine, versions, weights", "#setting")
    if "command" not in made:
        return [f"{name}: the command is not noted; ", where]
    return [code(made["command"]), f", {made['at'][:10]}; ", where]
