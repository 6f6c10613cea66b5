"""Task T1 and the plug-in: resynthesis beside methods that are trained, and together with them."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from evaluation.metrics import crossing_text
from evaluation.report.figures.charts import CurvePanel, Flat, ForestPanel, Point, Value, curves, dots
from evaluation.report.gather import Document, Measurement, Results, in_figures, measurements, missing
from evaluation.report.html import Missing, Part, Plate, Section, table, text
from evaluation.tables import listed, percent, points

BEST = "best"
LEARNERS = ("De-Fake", "CLIP-LoRA", "EfficientNet-B4", "Tiny Autoencoders")
FORMS = ("linear", "k-NN", "nearest mean", "SVM")
_LABELS = {BEST: "CLIP classifier, the best form"}
_PAPER = (0.03, 0.05)


def t1(results: Results) -> Section:
    """The curves, and from how many shots on a baseline is at least as good."""
    parts: list[Part] = [
        text(
            "A baseline is trained on a number of images of each source, its shots; resynthesis needs none, and is the "
            "flat line. All have the same queries, of characters that no training saw. A circle marks the fewest "
            "shots from which on a baseline stays at or above the line."
        )
    ]
    if "zoo-t1" not in results:
        parts.append(Missing("zoo-t1", "accuracy of trained baselines against shots per class"))
        return Section("t1", "Task T1: accuracy against shots per class", parts)
    document = results["zoo-t1"]
    runs = document["runs"]
    parts.append(
        Plate(
            "t1",
            ["zoo-t1"],
            "Accuracy against shots per class. Points are means over "
            f"{runs[0]['repeats']} splits along the character, whiskers and the gray band 95 % intervals "
            "(Student's t over the splits).",
            lambda: curves([_panel(run) for run in runs]),
        )
    )
    parts += [_curves(run) for run in runs]
    if any(run.get("baselines") for run in runs):
        parts += [_learners(runs), text(*_notes(runs))]
    return Section("t1", "Task T1: accuracy against shots per class", parts)


def _panel(run: Document) -> CurvePanel:
    shown = {
        name: curve
        for name, curve in run["curves"].items()
        if any(curve) and (BEST not in run["curves"] or name not in FORMS)
    }
    lines = {
        _named(run, name): [
            Point(n, point["accuracy"], point["interval_95"])
            for n, point in zip(run["shots"], curve, strict=True)
            if point
        ]
        for name, curve in shown.items()
    }
    flat = Flat("resynthesis, no shots", run["resynthesis"]["accuracy"], run["resynthesis"]["interval_95"])
    crossings = [(_named(run, name), at) for name, at in run["crosses_at"].items() if name in shown and at]
    return CurvePanel(
        f"{len(run['sources'])} classes", "shots per class", lines, run["shots"], flat, run["chance"], crossings
    )


def _named(run: Document, name: str) -> str:
    comparable = run.get("baselines", {}).get(name, {}).get("comparable", True)
    return _LABELS.get(name, name) + ("" if comparable else ", untrained start")


def _curves(run: Document) -> Markup:
    head = ["shots per class", *run["shots"], "at or above the line from"]
    rows = [
        [
            _named(run, name),
            *("" if point is None else _cell(point) for point in curve),
            crossing_text(run, name),
        ]
        for name, curve in run["curves"].items()
        if any(curve)
    ]
    flat = run["resynthesis"]
    return table(
        head,
        rows,
        f"{len(run['sources'])} classes: accuracy in per cent, ± half the 95 % interval. Resynthesis "
        f"{percent(flat['accuracy'], flat['interval_95'])}, chance {percent(run['chance'])}.",
    )


def _cell(point: Mapping[str, Any]) -> str:
    low, high = point["interval_95"]
    return f"{100 * point['accuracy']:.1f} ± {50 * (high - low):.1f}"


def _learners(runs: Sequence[Document]) -> Markup:
    rows = [
        [
            f"{name}, {len(run['sources'])} classes",
            ", ".join(each["sees"]),
            "; ".join(f"{n}: {steps}" for n, steps in each["steps"].items() if steps is not None)
            or "until convergence",
            each["cells"],
            f"{each['seconds']:.0f}",
        ]
        for run in runs
        for name, each in run.get("baselines", {}).items()
        if each["cells"]
    ]
    return table(["baseline", "input", "gradient steps at most, by shots", "trainings", "seconds in all"], rows)


def _notes(runs: Sequence[Document]) -> list[str]:
    every = {name: each for run in runs for name, each in run.get("baselines", {}).items() if each["cells"]}
    apart = [name for name, each in every.items() if not each["comparable"]]
    notes = ["An empty cell was not measured: slow baselines have a thinner grid, never at the crossing. "]
    for run in runs:
        lacking = list(dict.fromkeys(name for name in (*every, *LEARNERS) if not any(run["curves"].get(name, ()))))
        if lacking:
            were = "was" if len(lacking) == 1 else "were"
            notes.append(f"With {len(run['sources'])} classes {listed(lacking)} {were} not run. ")
    if apart:
        notes.append(
            f"{' and '.join(apart)}: the pretrained weights of the method were not available, so it started from "
            "random weights, and no headline compares with it."
        )
    return notes


def plugin(results: Results) -> Section:
    """What a trained method gains when its scores are fused with resynthesis."""
    trained, simple = _plugged(results), measurements(results, "external-scores")
    parts: list[Part] = [
        text(
            "Scores of a trained method and of resynthesis, both as z-scores, are added up with a weight that is "
            "chosen on validation characters. arXiv 2403.01489 reports a gain of 3 to 5 points, the gray band."
        )
    ]
    if trained:
        parts.append(_gained("plug-in", "each baseline of T1", ["zoo-t1"], trained))
    if shown := in_figures(simple):
        names, rows = [each.result for each in shown], {_classes(each, each.short): each.rows for each in shown}
        parts.append(_gained("plug-in-simple", "two simple methods, on CLIP features", names, rows))
    titled = trained | {_classes(each, each.title): each.rows for each in simple}
    parts += [_gain_table(title, rows) for title, rows in titled.items()]
    if "zoo-t1" not in results:
        parts.append(Missing("zoo-t1", "the gain of every trained baseline"))
    parts += missing(results, "external-scores", "the gain of two simple methods")
    return Section("plug-in", "As a plug-in to a trained method", parts)


def _plugged(results: Results) -> dict[str, Sequence[Document]]:
    """Rows of T1's baselines by title."""
    runs = results["zoo-t1"]["runs"] if "zoo-t1" in results else ()
    return {f"{len(run['sources'])} classes": run["plugin"] for run in runs if run.get("plugin")}


def _classes(measured: Measurement, title: str) -> str:
    return f"{len(measured.document['about']['sources'])} classes, {title}"


def _gained(name: str, methods: str, of: Sequence[str], titled: Mapping[str, Sequence[Document]]) -> Plate:
    return Plate(
        name,
        of,
        f"What resynthesis adds to {methods}: gain over the method alone, in percentage points, with 95 % intervals "
        "over characters (real images, made alike: prompts).",
        lambda: dots(_gains(titled)),
    )


def _gains(titled: Mapping[str, Sequence[Document]]) -> list[ForestPanel]:
    """A panel for each, with the same markers for the same shots."""
    shots = sorted({row["shots"] for rows in titled.values() for row in rows})
    return [_gain(title, rows, shots) for title, rows in titled.items()]


def _gain(title: str, rows: Sequence[Document], shots: Sequence[int]) -> ForestPanel:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    found = {(row["method"], row["shots"]): row for row in rows}

    def value(method: str, n: int) -> Value | None:
        row = found.get((method, n))
        if row is None:
            return None
        return Value(100 * row["gain"], [100 * bound for bound in row["gain_interval_95"]])

    return ForestPanel(
        title,
        "gain, percentage points",
        methods,
        {f"{n} shot{'s' * (n > 1)}": [value(method, n) for method in methods] for n in shots},
        0,
        (100 * _PAPER[0], 100 * _PAPER[1]),
    )


def _gain_table(title: str, rows: Sequence[Document]) -> Markup:
    head = ["method", "shots", "alone", "resynthesis", "together", "gain", "gain over resynthesis", "weight"]
    body = [
        [
            row["method"],
            row["shots"],
            *(percent(row[part]["accuracy"], row[part]["interval_95"]) for part in ("alone", "resynthesis", "fused")),
            points(row["gain"], row["gain_interval_95"]),
            points(row["gain_over_resynthesis"], row["gain_over_resynthesis_interval_95"]),
            f"{row['weight']:.2f}",
        ]
        for row in rows
    ]
    return table(head, body, f"{title}: accuracy, and gains in percentage points, with 95 % intervals.")
