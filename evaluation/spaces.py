"""`python -m evaluation embedders`: accuracy in one feature space beside another, on the same queries and generated images."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from attribution.build import Placement, build_embedder
from evaluation.alike import HELP
from evaluation.metrics import interval
from evaluation.output import save
from evaluation.queries import Part, answers, open_queries
from evaluation.real import form
from evaluation.split import Side
from evaluation.store import Store, write


def add(commands: Any, models: Any) -> None:
    """Adds the command to a parser's."""
    names = partial(str.split, sep=",")
    parser = commands.add_parser("embedders", help="accuracy in one feature space beside another")
    parser.add_argument("directory", type=Path, help="a dataset, or a folder of MODEL/PROMPT__NUMBER.png")
    parser.add_argument(
        "embedders", nargs="+", help="such as open_clip, open_clip#layer=2 or onnx; see docs/embedders.md"
    )
    parser.add_argument("--alike", action="store_true", help=HELP)
    parser.add_argument("--distance", default="cosine")
    parser.add_argument("--images-per-source", type=lambda text: [int(part) for part in text.split(",")], default=[1])
    parser.add_argument("--sources", type=names, help="only these")
    parser.add_argument("--sides", type=names, help="train, test, validation; default: all characters")
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    parser.add_argument("--markdown", type=Path, help="the table, which is also printed")
    models(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    sides = [Side(side) for side in options.sides] if options.sides else None
    part = Part(options.sources, sides, alike=options.alike)
    rows: list[dict[str, Any]] = []
    first: dict[int, Any] = {}
    for spec in options.embedders:
        embedder = build_embedder(spec, Placement(options.device, threads=options.threads))
        queries = open_queries(options.directory, embedder, Store(options.store), part)
        groups = np.asarray(queries.groups)
        for images_per_source in options.images_per_source:
            found = answers(queries.features, options.distance, images_per_source)
            right = found == np.arange(len(found))[:, None]
            first.setdefault(images_per_source, found)
            rows.append(
                {
                    "embedder": str(embedder.ref),
                    "dimension": embedder.dimension,
                    "images_per_source": images_per_source,
                    "accuracy": float(right.mean()),
                    "interval_95": interval(right, groups),
                    "same_answer_as_first": float((found == first[images_per_source]).mean()),
                }
            )
    table = _table(rows)
    print(table, end="\n\n")
    if options.markdown:
        write(options.markdown, (table + "\n").encode())
    shape = {"dataset": options.directory.name, "distance": options.distance, "queries": int(found.size)}
    shape |= form(options.directory, options.alike)
    document = {**shape, "sources": len(found), "groups": len(set(queries.groups)), "rows": rows}
    save(options.out, document)
    return 0


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| embedder | numbers | γ | accuracy | same answer as the first |", "|---|---|---|---|---|"]
    for row in rows:
        low, high = row["interval_95"]
        lines.append(
            f"| {row['embedder'].rpartition('@')[0]} | {row['dimension']} | {row['images_per_source']} "
            f"| {100 * row['accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f}) "
            f"| {100 * row['same_answer_as_first']:.1f} % |"
        )
    return "\n".join(lines)
