"""The tables as Markdown, for people and for docs."""

from collections.abc import Mapping
from typing import Any

from evaluation.variants.show import points, share, table

Report = Mapping[str, Any]
_MEASURES = {"clip_cosine": "CLIP text cosine", "token_f1": "words in common"}


def captioners(report: Report) -> str:
    """Accuracy, time and likeness, a row each."""
    about = report["about"]
    head = (
        f"{about['originals']} originals of {about['characters']} characters, {len(about['sources'])} sources, "
        f"γ = {about['images_per_source']}, {about['distance']}; intervals over characters"
    )
    rows = [
        (
            f"`{row['captioner']}`",
            share(row["accuracy"], row["interval_95"]),
            points(row["over_blip"], row["over_blip_interval_95"]) if "over_blip" in row else "",
            "" if row["captioner"] == "given" else f"{row['seconds']:.2f} s",
            f"{row['clip_cosine']:.3f}",
            f"{row['token_f1']:.3f}",
        )
        for row in report["captioners"]
    ]
    if report["vlm"] == "not measured":
        rows.append(("`vlm`", "not measured", "", "", "", ""))
    likeness = [f"{name} to the truth" for name in _MEASURES.values()]
    return f"{head}\n\n" + table(("captioner", "right", "more than `blip`", "seconds a caption", *likeness), rows)


def quality(report: Report) -> str:
    """What likeness tells of the attribution."""
    rows = [
        (
            "all" if "of" in row else f"`{row['captioner']}`",
            _MEASURES[row["measure"]],
            *(_figure(row[name]) for name in _STATISTICS),
        )
        for row in report["quality"]
    ]
    return table(("captioner", "likeness to the true prompt", "AUROC of right against wrong", "point-biserial r"), rows)


_STATISTICS = ("auroc", "point_biserial")


def _figure(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    low, high = found["interval_95"]
    return f"{found['value']:.3f} ({low:.3f} to {high:.3f})"
