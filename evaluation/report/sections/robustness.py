"""Distorted images, and copies of the same image."""

from collections.abc import Sequence

from markupsafe import Markup

from evaluation.report.figures.charts import ForestPanel, Value, bars
from evaluation.report.gather import Document, Measurement, Results, measurements, missing
from evaluation.report.html import Part, Plate, Section, table, text
from evaluation.tables import percent

_COPY = "jpeg-85"  # every run of copies has it, and none of distortions


def robustness(results: Results) -> Section:
    """Bars of the accuracy that is kept, and tables."""
    parts: list[Part] = [
        text(
            "Only queries are distorted: captions and resyntheses are those of the undistorted image. A share above "
            "100 % means that some queries became right that were wrong before."
        )
    ]
    for measured in measurements(results, "distortions"):
        runs = measured.document["runs"]
        changed = [run for run in runs if not _copies(run)]
        copied = [run for run in runs if _copies(run)]
        for kind, some in (("distortions", changed), ("copies", copied)):
            if some:
                parts += [_plate(measured, kind, some), *(_table(run) for run in some)]
    parts += missing(results, "distortions", "distortions")
    return Section("distortions", "Distortions, and copies of the same image", parts)


def _copies(run: Document) -> bool:
    return any(row["distortion"] == _COPY for row in run["rows"])


def _plate(measured: Measurement, kind: str, runs: Sequence[Document]) -> Plate:
    over = "prompts" if measured.real else "characters"
    about = (
        f"Accuracy under each distortion as a share of the undistorted one, {measured.title}"
        if kind == "distortions"
        else f"How often a copy at another size or quality has the same answer, right or wrong, {measured.title}"
    )
    queries = runs[0]["queries"]
    return Plate(
        f"{measured.result.removesuffix('-distortions')}-{kind}",
        [measured.result],
        f"{about}; {queries} queries by {runs[0]['sources']} sources, 95 % intervals over {over}.",
        lambda: bars([_panel(kind, runs)]),
    )


def _panel(kind: str, runs: Sequence[Document]) -> ForestPanel:
    measure, bounds, axis = (
        ("share_of_clean", "share_interval_95", "accuracy, % of the undistorted")
        if kind == "distortions"
        else ("same_answer", "same_answer_interval_95", "same answer, % of the queries")
    )
    rows = [row["distortion"] for row in runs[0]["rows"]]
    values = {
        f"γ = {run['images_per_source']}": [
            Value(100 * row[measure], [100 * bound for bound in row[bounds]]) for row in run["rows"]
        ]
        for run in runs
    }
    return ForestPanel("", axis, rows, values, 100)


def _table(run: Document) -> Markup:
    with_captions = any("same_caption" in row for row in run["rows"])
    head = ["distortion", "parameters", "accuracy", "share of the undistorted", "same answer", "cosine to itself"]
    rows = [
        [
            row["distortion"],
            row["parameters"],
            percent(row["accuracy"]),
            percent(row["share_of_clean"], row["share_interval_95"]),
            percent(row["same_answer"], row["same_answer_interval_95"]),
            f"{row['mean_cosine']:.3f}",
            *([percent(row["same_caption"])] if with_captions else []),
        ]
        for row in run["rows"]
    ]
    return table(
        [*head, *(["same caption"] if with_captions else [])],
        rows,
        f"γ = {run['images_per_source']}, {run['distance']}, {run['embedder']}: undistorted "
        f"{percent(run['clean_accuracy'], run['clean_interval_95'])} are right, chance {percent(run['chance'])}.",
    )
