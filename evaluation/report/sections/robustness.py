"""Distorted images, and copies of the same image."""

from collections.abc import Sequence

from evaluation.report.figures.forest import ForestPanel, Value, bars
from evaluation.report.gather import Document, Results
from evaluation.report.html import Html, table
from evaluation.report.section import Part, Plate, Section, text
from evaluation.report.subjects import Subject, missing, subjects
from evaluation.report.words import percent

_COPY = "jpeg-85"  # every run of copies has it, and none of distortions


def robustness(results: Results) -> Section:
    """Bars of what is kept, and tables with everything."""
    parts: list[Part] = [
        text(
            "Queries are distorted, and nothing else: captions and generated images stay those of the undistorted image. A "
            "share above 100 % means that some became right that were wrong before."
        )
    ]
    for subject in subjects(results, "distortions"):
        runs = subject.document["runs"]
        changed = [run for run in runs if not _copies(run)]
        copied = [run for run in runs if _copies(run)]
        for kind, some in (("distortions", changed), ("copies", copied)):
            if some:
                parts += [_plate(subject, kind, some), *(_table(run) for run in some)]
    parts += missing(results, "distortions", "distortions")
    return Section("distortions", "Distortions, and copies of the same image", parts)


def _copies(run: Document) -> bool:
    return any(row["distortion"] == _COPY for row in run["rows"])


def _plate(subject: Subject, kind: str, runs: Sequence[Document]) -> Plate:
    said, over = subject.title, "prompts" if subject.real else "characters"
    told = (
        f"Accuracy under each distortion as a share of the undistorted one, {said}"
        if kind == "distortions"
        else f"How often a copy of the image at another size or quality gets the same answer, right or wrong, {said}"
    )
    queries = runs[0]["queries"]
    return Plate(
        f"{subject.result.removesuffix('-distortions')}-{kind}",
        [subject.result],
        f"{told}; {queries} queries by {runs[0]['sources']} sources, 95 % intervals over {over}.",
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


def _table(run: Document) -> Html:
    told = any("same_caption" in row for row in run["rows"])
    head = ["distortion", "parameters", "accuracy", "share of the undistorted", "same answer", "cosine to itself"]
    rows = [
        [
            row["distortion"],
            row["parameters"],
            percent(row["accuracy"]),
            percent(row["share_of_clean"], row["share_interval_95"]),
            percent(row["same_answer"], row["same_answer_interval_95"]),
            f"{row['mean_cosine']:.3f}",
            *([percent(row["same_caption"])] if told else []),
        ]
        for row in run["rows"]
    ]
    return table(
        [*head, *(["same caption"] if told else [])],
        rows,
        f"γ = {run['images_per_source']}, {run['distance']}, {run['embedder']}: undistorted "
        f"{percent(run['clean_accuracy'], run['clean_interval_95'])} are right, chance {percent(run['chance'])}.",
    )
