"""The results in sentences."""

from collections.abc import Sequence

from evaluation.report.gather import Document, Results, measurements
from evaluation.report.html import Part, Section, bullets, text
from evaluation.report.sections.shots import FORMS
from evaluation.tables import listed, number, percent, points


def summary(results: Results) -> Section:
    """One point for each thing that was measured."""
    found = [
        sentence
        for part in (_accuracy, _left_out, _t1, _plugin, _images_per_source, _distances, _captions, _distortions, _real)
        for sentence in part(results)
    ]
    parts: list[Part] = [
        text(
            "The method of arXiv 2510.24278 and arXiv 2403.01489, measured: an image is captioned, every candidate "
            "source resynthesizes it from the caption, and the image is attributed to the source of the nearest "
            "resynthesis. “Demo models” are the small generators, captioner and CLIP of this project; figures of the "
            "papers' own sources need those sources. In brackets are 95 % intervals."
        ),
        bullets(found),
    ]
    return Section("summary", "Results", parts)


def _accuracy(results: Results) -> list[str]:
    runs = [results[name]["runs"][0] for name in results.fitting("zoo-evaluate-*")]
    figures = [
        f"{len(run['sources'])} classes {percent(run['accuracy'], run['accuracy_interval_95'])}, "
        f"chance {percent(run['chance'])}"
        for run in runs
    ]
    return [f"The right source is nearest: {'; '.join(figures)}."] if figures else []


def _left_out(results: Results) -> list[str]:
    names = results.fitting("zoo-evaluate-*")
    row = results[names[-1]]["runs"][0].get("leave_one_out", {}).get("all") if names else None
    if row is None:
        return []
    value = number(row["auroc_distance"], row.get("auroc_distance_interval_95"))
    return [f"The nearest distance detects that the right source is no candidate with an AUROC of {value}."]


def _t1(results: Results) -> list[str]:
    if "zoo-t1" not in results:
        return []
    figures = []
    for run in results["zoo-t1"]["runs"]:
        apart = {name for name, about in run["baselines"].items() if not about["comparable"]}
        there = {name: at for name, at in run["crosses_at"].items() if name not in FORMS and name not in apart}
        crossing = [f"{_short_name(name)} from {at} shots on" for name, at in there.items() if at]
        never = [_short_name(name) for name, at in there.items() if not at and run["settled"][name]]
        figures.append(
            f"{len(run['sources'])} classes: "
            + (f"{listed(crossing)} at or above resynthesis" if crossing else _no_crossing(run, never))
            + (f"; {listed(never)} never up to {run['shots'][-1]}." if crossing and never else ".")
        )
    return figures


def _no_crossing(run: Document, never: Sequence[str]) -> str:
    if not never:
        return "whether a baseline reaches resynthesis is not known"
    return f"with up to {run['shots'][-1]} shots {listed(never)} stay{'s' * (len(never) == 1)} below resynthesis"


def _short_name(name: str) -> str:
    return "the best CLIP classifier" if name == "best" else name


def _plugin(results: Results) -> list[str]:
    rows = _comparable(results["zoo-t1"]["runs"][0]) if "zoo-t1" in results else []
    rows = rows or (results["zoo-external-scores"]["rows"] if "zoo-external-scores" in results else [])
    if not rows:
        return []
    low, high = min(rows, key=lambda row: row["gain"]), max(rows, key=lambda row: row["gain"])
    return [
        f"As a plug-in, resynthesis adds between {points(low['gain'], low['gain_interval_95'])} points "
        f"({_learned(low)}) and {points(high['gain'], high['gain_interval_95'])} points ({_learned(high)}) to a "
        "trained method; beside resynthesis alone the two together are "
        f"{points(min(row['gain_over_resynthesis'] for row in rows))} to "
        f"{points(max(row['gain_over_resynthesis'] for row in rows))} points."
    ]


def _comparable(run: Document) -> list[Document]:
    apart = {name for name, about in run["baselines"].items() if not about["comparable"]}
    return [row for row in run["plugin"] if row["method"] not in apart]


def _learned(row: Document) -> str:
    return f"{row['method']}, {row['shots']} shot{'s' * (row['shots'] > 1)}"


def _images_per_source(results: Results) -> list[str]:
    if "zoo-images-per-source" not in results:
        return []
    rows = [row for row in results["zoo-images-per-source"]["rows"] if row["aggregate"] == "mean"]
    first, last = rows[0], rows[-1]
    return [
        f"{last['images_per_source']} generated images of each source instead of {first['images_per_source']}, "
        f"{_sources(results['zoo-images-per-source'])}: "
        f"{percent(last['accuracy'], last['interval_95'])} instead of "
        f"{percent(first['accuracy'], first['interval_95'])}, for {last['images']} images a query instead of "
        f"{first['images']}."
    ]


def _distances(results: Results) -> list[str]:
    if "zoo-distances" not in results:
        return []
    rows = results["zoo-distances"]["rows"]
    best = max(rows, key=lambda row: row["accuracy"])
    cosine = next(row for row in rows if row["distance"] == "cosine")
    figures = [f"{row['distance']} {percent(row['accuracy'], row['interval_95'])}" for row in (best, cosine)]
    return [f"By distance, {_sources(results['zoo-distances'])}: {', '.join(dict.fromkeys(figures))}."]


def _captions(results: Results) -> list[str]:
    if "zoo-captions" not in results:
        return []
    figures = [
        f"{row['captioner'].partition(':')[0]} {percent(row['accuracy'], row['interval_95'])}"
        for row in results["zoo-captions"]["captioners"]
    ]
    return [f"By captioner, {_sources(results['zoo-captions'])}: {', '.join(figures)}."]


def _distortions(results: Results) -> list[str]:
    if "zoo-distortions" not in results:
        return []
    rows = [row for run in results["zoo-distortions"]["runs"] for row in run["rows"]]
    worst = sorted(rows, key=lambda row: row["share_of_clean"])[:3]
    figures = [f"{row['distortion']} {percent(row['share_of_clean'], row['share_interval_95'])}" for row in worst]
    return [f"What the three worst distortions leave of the accuracy: {', '.join(figures)}."]


def _sources(document: Document) -> str:
    return f"{len(document['about']['sources'])} sources"


def _real(results: Results) -> list[str]:
    found = []
    for measured in measurements(results, "images-per-source"):
        if not measured.real:
            continue
        rows = [row for row in measured.rows if row["aggregate"] == "mean"]
        figures = [
            f"γ = {row['images_per_source']} {percent(row['accuracy'], row['interval_95'])}"
            for row in (rows[0], rows[-1])
        ]
        count = len(measured.document["about"]["sources"])
        found.append(
            f"{measured.heading}, {count} sources, natural prompt: {', '.join(figures)}; chance {percent(1 / count)}."
        )
    return found
