"""The tables as Markdown, for people and for docs."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def distances(rows: Sequence[Row]) -> str:
    """Distances side by side."""
    return table(
        ("distance", "right", "more than cosine", "ROC-AUC", "ties"),
        [
            (
                row["distance"],
                share(row["accuracy"], row["interval_95"]),
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
            share(by_name[name]["accuracy"], by_name[name]["interval_95"]) if name in by_name else "the same"
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
                *(share(row[name]["accuracy"], row[name]["interval_95"]) for name in ("alone", "resynthesis", "fused")),
                points(row["gain"], row["gain_interval_95"]),
                points(row["gain_over_resynthesis"], row["gain_over_resynthesis_interval_95"]),
                f"{row['weight']:.2f}",
            )
            for row in rows
        ],
    )


def share(value: float, bounds: Sequence[float]) -> str:
    """A percentage with its interval."""
    return f"{100 * value:.1f} % ({100 * bounds[0]:.1f}–{100 * bounds[1]:.1f})"


def points(value: float, bounds: Sequence[float]) -> str:
    """A difference in percentage points with its interval."""
    return f"{100 * value:+.1f} ({100 * bounds[0]:+.1f} to {100 * bounds[1]:+.1f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
