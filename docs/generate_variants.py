"""Writes docs/variants.md and its figures from docs/benchmark/results/: `python docs/generate_variants.py`, anywhere.

The files are what `python -m evaluation variants … --out` wrote. With `--check` nothing is written, and it fails when
something is not what it would write; a test does the same.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from evaluation import tables  # noqa: E402 - found only now, wherever this is started

HEAD = """\
# Variants, measured

Written by `docs/generate_variants.py` from `docs/benchmark/results/`; do not edit it.
[The method](method.md) describes the variants and which to choose. In brackets are 95 % intervals, by resampling
characters, or prompts, with replacement.

**Demo models**: the small models that ship with the project generate characters of 64×64 pixels, from captions by the
small BLIP that ships with them, compared by the small CLIP.

**Real images**: 189 images by DALL·E mini, GLID-3-XL and Latent Diffusion after seven prompts (from the public
repository dcsan/imagen), compared by a real CLIP, ViT-B/16 in eight bits. Images of the same prompt stand for each
other's generated images, so that there is no caption in between: the papers' natural prompt. Trained methods have seen
no image of the prompts that they are tested on.
"""
PARTS: Sequence[tuple[str, str]] = (
    ("distances", "Distances"),
    ("images-per-source", "γ and aggregates"),
    ("external-scores", "As a plug-in"),
)
SUBJECTS = {"zoo": "Demo models", "real": "Real images"}
COLORS = {"zoo": "#0969da", "real": "#bc4c00"}


def read(subject: str, part: str) -> dict[str, Any]:
    """One measurement."""
    found: dict[str, Any] = json.loads((DOCS / "benchmark" / "results" / f"{subject}-{part}.json").read_text())
    return found


def document() -> str:
    """The page."""
    parts = [HEAD]
    for part, title in PARTS:
        parts.append(f"## {title}\n")
        if part != "external-scores":
            parts.append(f"![{title}](figures/{part}.svg)\n")
        for subject, name in SUBJECTS.items():
            found = read(subject, part)
            parts += [f"### {name}\n", f"{_about(found)}\n", f"{_table(part, found)}\n"]
    return "\n".join(parts)


def _about(found: Mapping[str, Any]) -> str:
    about = found["about"]
    setting = [f"γ = {found['images_per_source']}"] if "images_per_source" in found else []
    setting += [str(found["distance"])] if "distance" in found else []
    setting += [f"{found['shot_choices']} choices of shots"] if "shot_choices" in found else []
    return (
        f"{len(about['sources'])} sources, {about['queries']} queries, {about['groups']} {about['intervals_over']}; "
        f"chance {100 / len(about['sources']):.1f} %; {', '.join(setting)}."
    )


def _table(part: str, found: Mapping[str, Any]) -> str:
    if part == "distances":
        return tables.distances(found["rows"])
    if part == "images-per-source":
        return tables.images_per_source(found["rows"], {int(count): row for count, row in found["seconds"].items()})
    weight = f"The weight chosen on other queries is {found['weight']:.2f} on average."
    return f"{tables.external_scores(found['rows'])}\n\n{weight}"


def figures() -> Iterator[tuple[str, str]]:
    """(name, SVG) of each figure."""
    yield "distances.svg", _distances()
    yield "images-per-source.svg", _images_per_source()


WIDE, HIGH, LEFT, BASE = 760, 320, 50, 262


def _y(share: float) -> float:
    return BASE - share * 220


def _frame(title: str, body: Sequence[str]) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDE}" height="{HIGH}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14" fill="#1b1f24">{title}</text>',
    ]
    for percent in (0, 25, 50, 75, 100):
        y = _y(percent / 100)
        lines.append(f'<line x1="{LEFT}" y1="{y:.0f}" x2="{WIDE - 20}" y2="{y:.0f}" stroke="#d0d7de"/>')
        lines.append(_text(LEFT - 8, y + 4, f"{percent} %", anchor="end"))
    return "\n".join([*lines, *body, "</svg>", ""])


def _text(x: float, y: float, words: str, color: str = "#57606a", anchor: str = "middle") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{color}">{words}</text>'


def _bounds(x: float, interval: Sequence[float]) -> str:
    low, high = (_y(bound) for bound in interval)
    return f'<line x1="{x:.0f}" y1="{low:.1f}" x2="{x:.0f}" y2="{high:.1f}" stroke="#1b1f24" stroke-width="1.5"/>'


def _legend(names: Mapping[str, str], x: float) -> list[str]:
    """One below the other would hide bars: side by side, at the bottom."""
    lines = []
    for name, color in names.items():
        lines.append(f'<rect x="{x}" y="{HIGH - 22}" width="12" height="12" fill="{color}"/>')
        lines.append(_text(x + 18, HIGH - 12, name, anchor="start"))
        x += 30 + 8 * len(name)
    return lines


def _distances() -> str:
    body = []
    for at, subject in enumerate(SUBJECTS):
        rows = read(subject, "distances")["rows"]
        step = (WIDE - LEFT - 30) / len(rows)
        for place, row in enumerate(rows):
            x = LEFT + 16 + place * step + at * 44
            y = _y(row["accuracy"])
            body.append(f'<rect x="{x:.0f}" y="{y:.1f}" width="36" height="{BASE - y:.1f}" fill="{COLORS[subject]}"/>')
            body.append(_bounds(x + 18, row["interval_95"]))
            if at == 0:
                body.append(_text(x + 40, BASE + 18, row["distance"]))
    images_per_source = read("zoo", "distances")["images_per_source"]
    names = {f"{name} (chance {_chance(subject)})": COLORS[subject] for subject, name in SUBJECTS.items()}
    return _frame(f"Images attributed rightly, by distance, γ = {images_per_source}", [*body, *_legend(names, LEFT)])


def _images_per_source() -> str:
    body = []
    dashes = {"mean": "", "max": ' stroke-dasharray="6 4"'}
    for at, (subject, color) in enumerate(COLORS.items()):
        rows = read(subject, "images-per-source")["rows"]
        counts = sorted({row["images_per_source"] for row in rows})
        for aggregate, dash in dashes.items():
            found = {row["images_per_source"]: row for row in rows if row["aggregate"] in (aggregate, "mean")}
            shift = 5 * at - (6 if aggregate == "mean" else 0)
            xs = [LEFT + 60 + place * 190 + shift for place in range(len(counts))]
            points = [(x, _y(found[count]["accuracy"])) for x, count in zip(xs, counts, strict=True)]
            line = " ".join(f"{x:.0f},{y:.1f}" for x, y in points)
            body.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2.5"{dash}/>')
            body += [f'<circle cx="{x:.0f}" cy="{y:.1f}" r="4" fill="{color}"/>' for x, y in points]
            body += [_bounds(x, found[count]["interval_95"]) for x, count in zip(xs, counts, strict=True)]
        if at == 0:
            body += [_text(LEFT + 60 + place * 190, BASE + 18, f"γ = {count}") for place, count in enumerate(counts)]
    names = {f"{name} (chance {_chance(subject)})": COLORS[subject] for subject, name in SUBJECTS.items()}
    body += [*_legend(names, LEFT), _text(WIDE - 20, HIGH - 12, "whole lines: mean, dashed: max", anchor="end")]
    return _frame("Images attributed rightly, by the number of images per source, of each source (cosine)", body)


def _chance(subject: str) -> str:
    return f"{100 / len(read(subject, 'distances')['about']['sources']):.0f} %"


def main(arguments: Sequence[str]) -> int:
    """Writes, or checks."""
    wanted = {DOCS / "variants.md": document()}
    wanted |= {DOCS / "figures" / name: text for name, text in figures()}
    if "--check" in arguments:
        stale = [path.name for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
        if stale:
            print(
                f"Not what docs/benchmark/results contains: {', '.join(stale)}. Run python docs/generate_variants.py."
            )
        return 1 if stale else 0
    for path, text in wanted.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
