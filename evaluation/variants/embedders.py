"""`python -m evaluation embedders`: accuracy in several feature spaces, on the same queries and generated images."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from attribution.build import Placement, build_embedder
from evaluation import options, tables
from evaluation.characters import Side
from evaluation.metrics import interval
from evaluation.options import Counts
from evaluation.provenance import save
from evaluation.queries import QuerySelection, answers, open_queries
from evaluation.real import form
from evaluation.store import Store, write


def embedders(
    directory: options.Directory,
    specs: Annotated[list[str], typer.Argument(metavar="EMBEDDER…", help="such as open_clip#layer=2 or onnx")],
    alike: options.Alike = False,
    distance: options.Distance = "cosine",
    images_per_source: Annotated[Counts, options.counts("γ")] = Counts((1,)),  # noqa: B008
    sources: options.Sources = None,
    sides: options.Sides = None,
    out: options.Out = None,
    markdown: Annotated[Path | None, typer.Option(help="a file for the printed table")] = None,
    store: options.Store = options.STORE_DEFAULT,
    device: options.Device = "cpu",
    threads: options.Threads = None,
) -> None:
    """Compares the accuracy of feature spaces; docs/embedders.md lists embedders."""
    selection = QuerySelection(sources, [Side(side) for side in sides] if sides else None, alike=alike)
    rows: list[dict[str, Any]] = []
    first: dict[int, Any] = {}
    for spec in specs:
        embedder = build_embedder(spec, Placement(device, threads=threads))
        queries = open_queries(directory, embedder, Store(store), selection)
        groups = np.asarray(queries.groups)
        for count in images_per_source:
            found = answers(queries.features, distance, count)
            right = found == np.arange(len(found))[:, None]
            first.setdefault(count, found)
            rows.append(
                {
                    "embedder": str(embedder.ref),
                    "dimension": embedder.dimension,
                    "images_per_source": count,
                    "accuracy": float(right.mean()),
                    "interval_95": interval(right, groups),
                    "same_answer_as_first": float((found == first[count]).mean()),
                }
            )
    table = tables.embedders(rows)
    print(table, end="\n\n")
    if markdown:
        write(markdown, (table + "\n").encode())
    about = {"dataset": directory.name, "distance": distance, "queries": int(found.size), "sources": len(found)}
    about |= form(directory, alike) | {"groups": len(set(queries.groups)), "rows": rows}
    save(out, about)
