"""Results as text for the terminal and Markdown tables for the documents; commands write the same figures as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.metrics import crossing_text

Bounds = Sequence[float]


def percent(share: float, bounds: Bounds | None = None) -> str:
    """48.0 % (40.0 to 57.0)."""
    return f"{100 * share:.1f} %" + (f" ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})" if bounds else "")


def points(share: float, bounds: Bounds | None = None) -> str:
    """+4.1 (0.2 to 8.0), percentage points."""
    return f"{100 * share:+.1f}" + (f" ({100 * bounds[0]:+.1f} to {100 * bounds[1]:+.1f})" if bounds else "")


def number(value: float, bounds: Bounds | None = None) -> str:
    """0.632 (0.580 to 0.690)."""
    return f"{value:.3f}" + (f" ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else "")


def short(source: str) -> str:
    """A source's name where all are the zoo's."""
    return source.removeprefix("zoo-")


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else list(words))


def counted(number: int) -> str:
    """Small numbers as words."""
    names = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    return names[number] if number < len(names) else str(number)


Row = Mapping[str, Any]
_MEASURES = {"clip_cosine": "CLIP text cosine", "token_f1": "words in common"}


def evaluation(report: Row) -> str:
    """One setting's figures and its confusion matrix."""
    low, high = report["accuracy_interval_95"]
    splits = report["accuracy_over_splits"]
    lines = [
        f"{report['distance']}, γ = {report['images_per_source']}: {report['queries']} queries,"
        f" {report['characters']} characters",
        f"  accuracy  {percent(report['accuracy'])}, 95 % interval over characters {percent(low)} to"
        f" {percent(high)}; chance {percent(report['chance'])}, p = {report['p_value']:.4f}",
    ]
    if splits:
        lines.append(
            f"            test sides of {splits['splits']} splits: mean {percent(splits['mean'])},"
            f" sd {percent(splits['sd'])}, {percent(splits['min'])} to {percent(splits['max'])}"
        )
    lines.append(f"  top-3     {percent(report['top3'])}   macro ROC-AUC {report['roc_auc']:.4f}")
    confused = ", ".join(f"{a}/{b} {pair['times']}" for pair in report["most_confused"] for a, b in [pair["pair"]])
    lines += [f"  confused  {confused}", "", *matrix(report["sources"], report["confusion"])]
    return "\n".join(lines)


def matrix(names: Sequence[str], table: Sequence[Sequence[int]]) -> list[str]:
    """Rows: the true source; columns, by number: the nearest source."""
    wide = max(len(name) for name in names)
    head = " " * (wide + 9) + "".join(f"{k:>5}" for k in range(1, len(names) + 1))
    rows = [
        f"  {k:>3}  {name:<{wide}}  " + "".join(f"{n:>5}" for n in row) for k, (name, row) in _counted(names, table)
    ]
    return [head, *rows]


def leave_one_out(report: Row) -> str:
    """How well left-out sources are detected."""
    wide = max(len(name) for name in (*report["sources"], "left out"))
    lines = [f"  {'left out':<{wide}}  AUROC by distance   by margin   named wrongly when 90 % of the right are kept"]
    for name, row in (*report["sources"].items(), ("all", report["all"])):
        lines.append(
            f"  {name:<{wide}}  {row['auroc_distance']:>17.3f}   {row['auroc_margin']:>9.3f}   "
            f"{percent(row['wrong_at_90'])}"
        )
    return "\n".join(lines)


def threshold(entry: Row) -> str:
    """One entry of a calibration."""
    measured = entry["measured"]
    return (
        f"{entry['distance']}, γ = {entry['images_per_source']}: distance ≤ {entry['max_distance']:.6f},"
        f" margin ≥ {entry['min_margin']:.6f}: names {percent(measured['coverage'])}, of these"
        f" {percent(measured['precision_among_attributed'])} rightly; of queries whose source is left out"
        f" {percent(measured['left_out_attributed'])}"
    )


def published(report: Row) -> str:
    """One line of what the published scripts would print."""
    return (
        f"{report['transform']:<12} {report['distance']:<12} accuracy {report['accuracy']:.4f}"
        f"  top-3 {report['top3']:.4f}  ROC-AUC {report['roc_auc']:.4f}"
        f"  ({report['queries']} queries, {report['subset']})"
    )


def _counted(names: Sequence[str], table: Sequence[Sequence[int]]) -> list[tuple[int, tuple[str, Sequence[int]]]]:
    return list(enumerate(zip(names, table, strict=True), 1))


def distances(rows: Sequence[Row]) -> str:
    """Distances side by side."""
    return table(
        ("distance", "right", "more than cosine", "ROC-AUC", "ties"),
        [
            (
                row["distance"],
                percent(row["accuracy"], row["interval_95"]),
                "" if row["distance"] == "cosine" else points(row["over_cosine"], row["over_cosine_interval_95"]),
                f"{row['roc_auc']:.3f}",
                f"{100 * row['ties']:.1f} %",
            )
            for row in rows
        ],
    )


def images_per_source(rows: Sequence[Row], seconds: Mapping[int, Row]) -> str:
    """γ and aggregates side by side."""
    names = [name for name in ("mean", "max", "median") if any(row["aggregate"] == name for row in rows)]
    found: dict[int, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row["images_per_source"], {})[row["aggregate"]] = row
    body = []
    for images_per_source, by_name in found.items():
        cells = [
            percent(by_name[name]["accuracy"], by_name[name]["interval_95"]) if name in by_name else "the same"
            for name in names
        ]
        timed = (f"{seconds[images_per_source]['all']:.1f} s",) if seconds else ()
        body.append((str(images_per_source), *cells, str(by_name["mean"]["images"]), *timed))
    return table(("γ", *names, "images a query", *(("seconds a query",) if seconds else ())), body)


def external_scores(rows: Sequence[Row]) -> str:
    """The plug-in."""
    return table(
        ("other method", "shots", "alone", "resynthesis", "fused", "gain over it", "gain over resynthesis", "weight"),
        [
            (
                row["method"],
                str(row["shots"]),
                *(
                    percent(row[name]["accuracy"], row[name]["interval_95"])
                    for name in ("alone", "resynthesis", "fused")
                ),
                points(row["gain"], row["gain_interval_95"]),
                points(row["gain_over_resynthesis"], row["gain_over_resynthesis_interval_95"]),
                f"{row['weight']:.2f}",
            )
            for row in rows
        ],
    )


def embedders(rows: Sequence[Row]) -> str:
    """Feature spaces side by side."""
    return table(
        ("embedder", "numbers", "γ", "accuracy", "same answer as the first"),
        [
            (
                row["embedder"].rpartition("@")[0],
                str(row["dimension"]),
                str(row["images_per_source"]),
                percent(row["accuracy"], row["interval_95"]),
                percent(row["same_answer_as_first"]),
            )
            for row in rows
        ],
    )


def t1(run: Row) -> str:
    """A row for each baseline, a column for each number of shots; in percent, with half the interval's width."""
    head = ("shots per class", *map(str, run["shots"]), "crosses at")
    rows = [
        (name, *(_cell(point) if point else "" for point in curve), crossing_text(run, name))
        for name, curve in run["curves"].items()
    ]
    about = f"{len(run['sources'])} classes, chance {percent(run['chance'])}"
    about += f"; resynthesis {_cell(run['resynthesis'])} %"
    return f"{about}\n\n{table(head, rows)}"


def _cell(point: Row) -> str:
    low, high = point["interval_95"]
    return f"{100 * point['accuracy']:.1f} ± {50 * (high - low):.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def captioners(report: Row) -> str:
    """Accuracy, time and similarity, a row each."""
    about = report["about"]
    head = (
        f"{about['originals']} originals of {about['characters']} characters, {len(about['sources'])} sources, "
        f"γ = {about['images_per_source']}, {about['distance']}; intervals over characters"
    )
    rows = [
        (
            f"`{row['captioner']}`",
            percent(row["accuracy"], row["interval_95"]),
            points(row["over_blip"], row["over_blip_interval_95"]) if "over_blip" in row else "",
            "" if row["captioner"] == "given" else f"{row['seconds']:.2f} s",
            f"{row['clip_cosine']:.3f}",
            f"{row['token_f1']:.3f}",
        )
        for row in report["captioners"]
    ]
    if report["vlm"] == "not measured":
        rows.append(("`vlm`", "not measured", "", "", "", ""))
    similarity = [f"{name} to the truth" for name in _MEASURES.values()]
    return f"{head}\n\n" + table(("captioner", "right", "more than `blip`", "seconds a caption", *similarity), rows)


def quality(report: Row) -> str:
    """How well similarity predicts a right attribution."""
    rows = [
        (
            "all" if "of" in row else f"`{row['captioner']}`",
            _MEASURES[row["measure"]],
            *(_figure(row[name]) for name in ("auroc", "point_biserial")),
        )
        for row in report["quality"]
    ]
    head = ("captioner", "similarity to the true prompt", "AUROC of right against wrong", "point-biserial r")
    return table(head, rows)


def _figure(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "–"
    return number(found["value"], found["interval_95"])
