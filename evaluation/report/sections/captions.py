"""Captioners side by side, and whether captions similar to the true prompt are attributed rightly."""

from collections.abc import Sequence

from markupsafe import Markup

from evaluation.report.figures.charts import CurvePanel, ForestPanel, Point, Value, curves, dots
from evaluation.report.gather import Document, Results
from evaluation.report.html import Missing, Part, Plate, Section, table, text
from evaluation.tables import number, percent, points

_NAME = "zoo-captions"
_MEASURES = {"clip_cosine": "cosine of CLIP's text features", "token_f1": "words in common, F1"}


def captioners(results: Results) -> Section:
    """Accuracy by captioner, with what a caption costs."""
    title = "Captioners"
    parts: list[Part] = [
        text(
            "The same originals, described by each captioner and resynthesized by every source. “given” is the true "
            "prompt, the papers' natural prompt; the papers' own descriptions were written by ChatGPT, whose place a "
            "vision-language model takes here."
        )
    ]
    if _NAME not in results:
        return Section("captioners", title, [*parts, Missing(_NAME, "captioners side by side")])
    document = results[_NAME]
    rows = document["captioners"]
    parts.append(
        Plate(
            "captioners",
            [_NAME],
            f"Accuracy by captioner, {document['about']['originals']} originals of "
            f"{document['about']['characters']} characters by {len(document['about']['sources'])} sources; "
            "95 % intervals over characters, the dashed line is chance.",
            lambda: dots([_accuracy(document)]),
        )
    )
    head = [
        "captioner",
        "accuracy",
        "over BLIP, points",
        "cosine to the truth",
        "F1",
        "seconds",
        "words",
        "for example",
    ]
    body = [
        [
            _short_name(row["captioner"]),
            percent(row["accuracy"], row["interval_95"]),
            points(row["over_blip"], row["over_blip_interval_95"]) if "over_blip" in row else "",
            f"{row['clip_cosine']:.3f}",
            f"{row['token_f1']:.3f}",
            f"{row['seconds']:.2f}",
            f"{row['words']:.1f}",
            row["examples"][0],
        ]
        for row in rows
    ]
    parts.append(table(head, body))
    if document["vlm"] != "measured":
        parts.append(
            text("A vision-language model was not measured: none is part of this project, and none was called.")
        )
    return Section("captioners", title, parts)


def _short_name(captioner: str) -> str:
    return captioner.partition(":")[0]


def _accuracy(document: Document) -> ForestPanel:
    rows = document["captioners"]
    values = [Value(100 * row["accuracy"], [100 * bound for bound in row["interval_95"]]) for row in rows]
    chance = 100 / len(document["about"]["sources"])
    return ForestPanel("", "accuracy, %", [_short_name(row["captioner"]) for row in rows], {"": values}, chance)


def quality(results: Results) -> Section:
    """Similarity against correctness."""
    title = "Similarity of captions to the true prompt, and accuracy"
    parts: list[Part] = [
        text(
            "arXiv 2403.01489 finds that the closer a caption is to the true prompt, the better the attribution. The "
            "figure orders the originals of all captioners by similarity, in five parts; the table shows how well "
            "similarity separates right answers from wrong ones (AUROC; 0.5 is chance)."
        )
    ]
    if _NAME not in results:
        return Section("captions", title, [*parts, Missing(_NAME, "similarity against correctness")])
    rows = results[_NAME]["quality"]
    steps = [row for row in rows if row.get("steps")]
    if steps:
        together = [row for row in steps if row["captioner"] == "all"] or steps
        parts.append(
            Plate(
                "caption-quality",
                [_NAME],
                "Attributed rightly, by similarity of the caption to the true prompt: a fifth of the captions for each "
                "point, 95 % intervals over characters.",
                lambda: curves([_steps(measure, together) for measure in _MEASURES], top=1),
            )
        )
    else:
        parts.append(
            Plate(
                "caption-quality",
                [_NAME],
                "How well similarity separates right answers from wrong ones, with 95 % intervals over characters.",
                lambda: dots([_auroc(rows)]),
            )
        )
    parts.append(_table(rows))
    return Section("captions", title, parts)


def _steps(measure: str, rows: Sequence[Document]) -> CurvePanel:
    lines = {
        "all captioners" if row["captioner"] == "all" else _short_name(row["captioner"]): [
            Point(step["likeness"], step["accuracy"], step["interval_95"]) for step in row["steps"]
        ]
        for row in rows
        if row["measure"] == measure
    }
    return CurvePanel("", f"similarity: {_MEASURES[measure]}", lines)


def _auroc(rows: Sequence[Document]) -> ForestPanel:
    names = list(dict.fromkeys(row["captioner"] for row in rows))
    found = {(row["captioner"], row["measure"]): row["auroc"] for row in rows}
    values = {label: [_value(found.get((name, measure))) for name in names] for measure, label in _MEASURES.items()}
    return ForestPanel("", "AUROC", [_short_name(name) for name in names], values, 0.5, limits=(0, 1))


def _value(found: Document | None) -> Value | None:
    return Value(found["value"], found["interval_95"]) if found else None


def _table(rows: Sequence[Document]) -> Markup:
    body = [
        [
            "all" if row["captioner"] == "all" else _short_name(row["captioner"]),
            _MEASURES[row["measure"]],
            *(
                number(row[name]["value"], row[name]["interval_95"]) if row[name] else "undefined"
                for name in ("auroc", "point_biserial")
            ),
        ]
        for row in rows
    ]
    return table(["captioner", "similarity", "AUROC", "point-biserial correlation"], body)
