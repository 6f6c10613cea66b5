"""Accuracy, confusion, and detection of images whose source is no candidate."""

from markupsafe import Markup

from evaluation.report.figures.charts import ForestPanel, Value, dots, matrix
from evaluation.report.gather import Document, Results
from evaluation.report.html import Missing, Part, Plate, Section, table, text
from evaluation.tables import number, percent, short


def _runs(results: Results) -> list[tuple[str, Document]]:
    """The first setting of each evaluation."""
    return [(name, results[name]["runs"][0]) for name in results.fitting("zoo-evaluate-*")]


def accuracy(results: Results) -> Section:
    """The table for all numbers of classes, and their confusion matrices."""
    parts: list[Part] = [
        text(
            "Every original is ranked by its distance to all sources' resyntheses. Intervals come from resampling "
            "characters with replacement, the p-value from permuting the sources of the originals."
        )
    ]
    runs = _runs(results)
    if not runs:
        parts.append(Missing("zoo-evaluate-*", "accuracy, confusion matrices and left-out sources"))
        return Section("accuracy", "Accuracy and confusion", parts)
    parts.append(_table([run for _, run in runs]))
    if "zoo-gamma" in results:
        parts.append(_table(results["zoo-gamma"]["runs"]))
    parts += [_confusion(name, run) for name, run in runs]
    return Section("accuracy", "Accuracy and confusion", parts)


def _table(runs: list[Document]) -> Markup:
    head = ["classes", "γ", "queries", "accuracy", "chance", "p", "right one among three", "macro ROC-AUC"]
    rows = [
        [
            len(run["sources"]),
            run["images_per_source"],
            run["queries"],
            percent(run["accuracy"], run["accuracy_interval_95"]),
            percent(run["chance"]),
            f"{run['p_value']:.4f}",
            percent(run["top3"]),
            f"{run['roc_auc']:.3f}",
            ", ".join(f"{'/'.join(map(short, pair['pair']))} {pair['times']}" for pair in run["most_confused"][:3]),
        ]
        for run in runs
    ]
    about = runs[0]
    return table(
        [*head, "most confused"],
        rows,
        f"{about['embedder']}, {about['distance']}, {about['characters']} characters; "
        "in brackets 95 % intervals over characters.",
    )


def _confusion(name: str, run: Document) -> Plate:
    sources = run["sources"]
    recall = run.get("recall_interval_95")
    return Plate(
        f"confusion-{len(sources)}",
        [name],
        f"Confusion matrix of {len(sources)} classes, {run['characters']} originals each, in per cent of a row"
        + ("; at the right 95 % intervals of the right ones, over characters." if recall else "."),
        lambda: matrix(
            [short(source) for source in sources],
            run["confusion"],
            [recall[source] for source in sources] if recall else None,
        ),
    )


def left_out(results: Results) -> Section:
    """Leave-one-source-out."""
    title = "Leave one source out"
    parts: list[Part] = [
        text(
            "Each original is ranked a second time without its own source, as an image by an unknown generator. How "
            "well do the nearest distance and the margin separate the two cases? 0.5 is chance."
        )
    ]
    runs = [(name, run) for name, run in _runs(results) if "leave_one_out" in run]
    if not runs:
        return Section("left-out", title, [*parts, Missing("zoo-evaluate-*", "AUROC for each left-out source")])
    name, run = runs[-1]
    parts.append(
        Plate(
            "left-out",
            [name],
            f"AUROC by left-out source, {len(run['sources'])} classes"
            + (", with 95 % intervals over characters." if "auroc_distance_interval_95" in _all(run) else "."),
            lambda: dots([_panel(run)]),
        )
    )
    rows = [
        [
            short(source),
            number(row["auroc_distance"], row.get("auroc_distance_interval_95")),
            number(row["auroc_margin"], row.get("auroc_margin_interval_95")),
            percent(row["wrong_at_90"]),
        ]
        for source, row in (*run["leave_one_out"]["sources"].items(), ("all together", _all(run)))
    ]
    head = ["left out", "AUROC by distance", "AUROC by margin", "named wrongly when 90 % of the right ones are kept"]
    parts.append(table(head, rows))
    others = [f"{len(other['sources'])} classes {number(_all(other)['auroc_distance'])}" for _, other in runs]
    parts.append(text("By distance, over all: ", ", ".join(others), "."))
    return Section("left-out", title, parts)


def _all(run: Document) -> Document:
    row: Document = run["leave_one_out"]["all"]
    return row


def _panel(run: Document) -> ForestPanel:
    rows = {short(source): row for source, row in run["leave_one_out"]["sources"].items()} | {"all": _all(run)}
    values = {
        label: [Value(row[measure], row.get(f"{measure}_interval_95")) for row in rows.values()]
        for label, measure in (("nearest distance", "auroc_distance"), ("margin", "auroc_margin"))
    }
    return ForestPanel("", "AUROC", list(rows), values, 0.5, limits=(0, 1))
