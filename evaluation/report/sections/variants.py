"""Variants of the method side by side: how many generated images, which distance, which embedder."""

from collections.abc import Sequence

from markupsafe import Markup

from evaluation.formatting import percent, points
from evaluation.report.figures.curves import CurvePanel, Point, curves
from evaluation.report.figures.forest import ForestPanel, Value, dots
from evaluation.report.gather import Document, Results
from evaluation.report.html import table, text
from evaluation.report.section import Missing, Part, Plate, Section

_SUBJECTS = {"zoo": "demo models", "real": "real images"}


def _measured(results: Results, part: str) -> dict[str, Document]:
    return {subject: results[name] for subject in _SUBJECTS if (name := f"{subject}-{part}") in results}


def _missing(results: Results, part: str, what: str) -> list[Part]:
    return [
        Missing(f"{subject}-{part}", f"{what}, {label}")
        for subject, label in _SUBJECTS.items()
        if f"{subject}-{part}" not in results
    ]


def _chance(document: Document) -> float:
    return 1 / len(document["about"]["sources"])


def images_per_source(results: Results) -> Section:
    """γ: accuracy against images and seconds, by mean, max and median."""
    found = _measured(results, "images-per-source")
    parts: list[Part] = [
        text(
            "Each source generates γ images. Its distance is the mean over them, as in arXiv 2403.01489, or the "
            "nearest (max similarity), or the median."
        )
    ]
    if found:
        names = [f"{subject}-images-per-source" for subject in found]
        parts.append(
            Plate(
                "images-per-source",
                names,
                "Accuracy against the number of images of a query, and against its seconds where they were measured "
                "(sources one after another on the processor); 95 % intervals over characters, real images: prompts.",
                lambda: curves([panel for subject, each in found.items() for panel in _gamma(subject, each)], top=1),
            )
        )
    parts += [_gamma_table(subject, each) for subject, each in found.items()]
    return Section(
        "gamma", "γ, the generated images of each source", [*parts, *_missing(results, "images-per-source", "γ")]
    )


def _gamma(subject: str, document: Document) -> list[CurvePanel]:
    spent = {int(count): row["all"] for count, row in document["seconds"].items()}
    sources, label = len(document["about"]["sources"]), _SUBJECTS[subject]
    images = {count: count * sources for count in sorted({row["images_per_source"] for row in document["rows"]})}
    panels = [CurvePanel(f"{label}", "images generated", _by_aggregate(document, images), list(images.values()))]
    if spent:
        seconds = {count: round(value, 1) for count, value in spent.items()}
        panels.append(CurvePanel(label, "seconds of a query", _by_aggregate(document, spent), list(seconds.values())))
    return [CurvePanel(each.title, each.axis, each.curves, each.ticks, chance=_chance(document)) for each in panels]


def _by_aggregate(document: Document, x: dict[int, float] | dict[int, int]) -> dict[str, Sequence[Point]]:
    """γ = 1 is the same for all aggregates, and the first point of each."""
    return {
        aggregate: [
            Point(x[row["images_per_source"]], row["accuracy"], row["interval_95"])
            for row in document["rows"]
            if row["aggregate"] == aggregate or row["images_per_source"] == 1
        ]
        for aggregate in ("mean", "max", "median")
    }


def _gamma_table(subject: str, document: Document) -> Markup:
    spent = {int(count): row["all"] for count, row in document["seconds"].items()}
    rows = [
        [
            f"γ = {row['images_per_source']}, {row['aggregate']}",
            percent(row["accuracy"], row["interval_95"]),
            points(row["over_mean"], row["over_mean_interval_95"]),
            row["images"],
            f"{spent[row['images_per_source']]:.2f}" if row["images_per_source"] in spent else "not measured",
        ]
        for row in document["rows"]
    ]
    return table(["setting", "accuracy", "over the mean, points", "images", "seconds"], rows, _about(subject, document))


def _about(subject: str, document: Document) -> str:
    about = document["about"]
    setting = [f"γ = {document['images_per_source']}"] if "images_per_source" in document else []
    setting += [str(document["distance"])] if "distance" in document else []
    return ", ".join(
        [
            f"{_SUBJECTS[subject].capitalize()}: {len(about['sources'])} sources",
            f"{about['queries']} queries",
            f"{about['embedder']}",
            *setting,
            f"chance {percent(_chance(document))}",
            f"95 % intervals over {about['groups']} {about['intervals_over']}",
        ]
    )


def distances(results: Results) -> Section:
    """Every distance on the same generated images, features and pixels."""
    found = _measured(results, "distances")
    parts: list[Part] = [
        text("Distances on embeddings, SSIM on pixels, and the hybrid of both, on the same generated images.")
    ]
    if found:
        parts.append(
            Plate(
                "distances",
                [f"{subject}-distances" for subject in found],
                "Accuracy by distance with 95 % intervals; the dashed line is chance.",
                lambda: dots([_panel(_SUBJECTS[name], each, "distance") for name, each in found.items()]),
            )
        )
    for subject, document in found.items():
        rows = [
            [
                row["distance"],
                percent(row["accuracy"], row["interval_95"]),
                points(row["over_cosine"], row["over_cosine_interval_95"]),
                f"{row['roc_auc']:.3f}",
            ]
            for row in document["rows"]
        ]
        head = ["distance", "accuracy", "over cosine, points", "macro ROC-AUC"]
        parts.append(table(head, rows, _about(subject, document)))
        if subject == "real" and "recall" in document["rows"][0]:
            parts.append(_by_model(document))
    return Section("distances", "Distances", [*parts, *_missing(results, "distances", "distances")])


def _by_model(document: Document) -> Markup:
    """The demo models' recall stands in their confusion matrices."""
    rows = [
        [row["distance"], *(percent(share, row["recall_interval_95"][name]) for name, share in row["recall"].items())]
        for row in document["rows"]
    ]
    models = list(document["rows"][0]["recall"])
    return table(["distance", *models], rows, "Real images: accuracy by the model that generated them, natural prompt.")


def embedders(results: Results) -> Section:
    """Feature spaces on the same images."""
    found = _measured(results, "embedders")
    parts: list[Part] = [text("Other feature spaces: layers of the same model, its ONNX copy, other models.")]
    if found:
        parts.append(
            Plate(
                "embedders",
                [f"{subject}-embedders" for subject in found],
                "Accuracy by embedder with 95 % intervals over characters, real images: prompts; the dashed line is "
                "chance.",
                lambda: dots([_spaces(_SUBJECTS[name], each) for name, each in found.items()]),
            )
        )
    for subject, document in found.items():
        rows = [
            [
                _space(row["embedder"]),
                row["dimension"],
                row["images_per_source"],
                percent(row["accuracy"], row["interval_95"]),
                percent(row["same_answer_as_first"]),
            ]
            for row in document["rows"]
        ]
        head = ["embedder", "numbers", "γ", "accuracy", "same answer as the first"]
        about = f"{_SUBJECTS[subject].capitalize()}: {document['sources']} sources, {document['queries']} queries."
        parts.append(table(head, rows, about))
    return Section("embedders", "Embedders", [*parts, *_missing(results, "embedders", "feature spaces")])


def _space(ref: str) -> str:
    """Without the hash, which is in the results."""
    return ref.rpartition("@")[0] or ref


def _spaces(title: str, document: Document) -> ForestPanel:
    counts = sorted({row["images_per_source"] for row in document["rows"]})
    names = list(dict.fromkeys(_space(row["embedder"]) for row in document["rows"]))
    found = {(_space(row["embedder"]), row["images_per_source"]): row for row in document["rows"]}
    values = {
        f"γ = {count}": [
            Value(100 * row["accuracy"], [100 * bound for bound in row["interval_95"]])
            if (row := found.get((name, count)))
            else None
            for name in names
        ]
        for count in counts
    }
    return ForestPanel(title, "accuracy, %", names, values, 100 / document["sources"])


def _panel(title: str, document: Document, names: str) -> ForestPanel:
    rows = document["rows"]
    values = [Value(100 * row["accuracy"], [100 * bound for bound in row["interval_95"]]) for row in rows]
    return ForestPanel(title, "accuracy, %", [row[names] for row in rows], {"": values}, 100 * _chance(document))
