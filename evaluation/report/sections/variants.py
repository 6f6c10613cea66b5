"""Variants of the method side by side: how many generated images, which distance, which embedder."""

from collections.abc import Sequence

from markupsafe import Markup

from evaluation.report.figures.charts import CurvePanel, ForestPanel, Point, Value, curves, dots
from evaluation.report.gather import Document, Measurement, Results, in_figures, measurements, missing
from evaluation.report.html import Part, Plate, Section, table, text
from evaluation.tables import percent, points


def _chance(document: Document) -> float:
    return 1 / len(document["about"]["sources"])


def images_per_source(results: Results) -> Section:
    """γ: accuracy against images and seconds, by mean, max and median."""
    found = measurements(results, "images-per-source")
    parts: list[Part] = [
        text(
            "Each source generates γ images. Its distance is the mean over them, as in arXiv 2403.01489, or the "
            "nearest (max similarity), or the median."
        )
    ]
    if shown := in_figures(found):
        parts.append(
            Plate(
                "images-per-source",
                [each.result for each in shown],
                "Accuracy against the number of images of a query, and against its seconds where they were measured "
                "(sources one after another on the processor); 95 % intervals over characters, real images (made "
                "alike): prompts.",
                lambda: curves([panel for each in shown for panel in _gamma(each)], top=1),
            )
        )
    parts += [_gamma_table(each) for each in found]
    return Section(
        "gamma", "γ, the generated images of each source", [*parts, *missing(results, "images-per-source", "γ")]
    )


def _gamma(measured: Measurement) -> list[CurvePanel]:
    document, title = measured.document, measured.short
    spent = {int(count): row["all"] for count, row in document["seconds"].items()}
    sources = len(document["about"]["sources"])
    images = {count: count * sources for count in sorted({row["images_per_source"] for row in document["rows"]})}
    panels = [CurvePanel(title, "images generated", _by_aggregate(document, images), list(images.values()))]
    if spent:
        ticks = _apart([round(value, 1) for value in spent.values()])
        panels.append(CurvePanel(title, "seconds of a query", _by_aggregate(document, spent), ticks))
    return [CurvePanel(each.title, each.axis, each.curves, each.ticks, chance=_chance(document)) for each in panels]


def _apart(ticks: Sequence[float]) -> list[float]:
    """Without those whose labels would overlap the one before."""
    kept: list[float] = []
    for tick in sorted(ticks):
        if not kept or tick > 1.3 * kept[-1]:
            kept.append(tick)
    return kept


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


def _gamma_table(measured: Measurement) -> Markup:
    document = measured.document
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
    return table(["setting", "accuracy", "over the mean, points", "images", "seconds"], rows, _about(measured))


def _about(measured: Measurement) -> str:
    document = measured.document
    about = document["about"]
    setting = [f"γ = {document['images_per_source']}"] if "images_per_source" in document else []
    setting += [str(document["distance"])] if "distance" in document else []
    return ", ".join(
        [
            f"{measured.heading}: {len(about['sources'])} sources",
            f"{about['queries']} queries",
            f"{about['embedder']}",
            *setting,
            f"chance {percent(_chance(document))}",
            f"95 % intervals over {about['groups']} {about['intervals_over']}",
        ]
    )


def distances(results: Results) -> Section:
    """Every distance on the same generated images, features and pixels."""
    found = measurements(results, "distances")
    parts: list[Part] = [
        text("Distances on embeddings, SSIM on pixels, and the hybrid of both, on the same generated images.")
    ]
    if shown := in_figures(found):
        parts.append(
            Plate(
                "distances",
                [each.result for each in shown],
                "Accuracy by distance with 95 % intervals, real images made alike; the dashed line is chance.",
                lambda: dots([_panel(each.short, each.document, "distance") for each in shown]),
            )
        )
    for measured in found:
        rows = [
            [
                row["distance"],
                percent(row["accuracy"], row["interval_95"]),
                points(row["over_cosine"], row["over_cosine_interval_95"]),
                f"{row['roc_auc']:.3f}",
            ]
            for row in measured.rows
        ]
        head = ["distance", "accuracy", "over cosine, points", "macro ROC-AUC"]
        parts.append(table(head, rows, _about(measured)))
        if measured.real and "recall" in measured.rows[0]:
            parts.append(_by_model(measured))
    return Section("distances", "Distances", [*parts, *missing(results, "distances", "distances")])


def _by_model(measured: Measurement) -> Markup:
    """The demo models' recall stands in their confusion matrices."""
    document = measured.document
    rows = [
        [row["distance"], *(percent(share, row["recall_interval_95"][name]) for name, share in row["recall"].items())]
        for row in document["rows"]
    ]
    models = list(document["rows"][0]["recall"])
    return table(
        ["distance", *models], rows, f"{measured.heading}: accuracy by the model that generated them, natural prompt."
    )


def embedders(results: Results) -> Section:
    """Feature spaces on the same images."""
    found = measurements(results, "embedders")
    parts: list[Part] = [text("Other feature spaces: layers of the same model, its ONNX copy, other models.")]
    if shown := in_figures(found):
        parts.append(
            Plate(
                "embedders",
                [each.result for each in shown],
                "Accuracy by embedder with 95 % intervals over characters, real images (made alike): prompts; "
                "the dashed line is chance.",
                lambda: dots([_spaces(each.short, each.document) for each in shown]),
            )
        )
    for measured in found:
        rows = [
            [
                _space(row["embedder"]),
                row["dimension"],
                row["images_per_source"],
                percent(row["accuracy"], row["interval_95"]),
                percent(row["same_answer_as_first"]),
            ]
            for row in measured.rows
        ]
        head = ["embedder", "numbers", "γ", "accuracy", "same answer as the first"]
        about = f"{measured.heading}: {measured.document['sources']} sources, {measured.document['queries']} queries."
        parts.append(table(head, rows, about))
    return Section("embedders", "Embedders", [*parts, *missing(results, "embedders", "feature spaces")])


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
