"""`python -m evaluation distortions`: accuracy under every distortion, and how often a changed copy has its answer."""

from pathlib import Path
from typing import Annotated

import typer

from attribution.build import Placement, build_captioner, build_embedder
from attribution.embed.open_clip import OpenClipEmbedder
from attribution.errors import ConfigurationError
from evaluation import options
from evaluation.characters import Side
from evaluation.distort import DISTORTIONS, SAME_IMAGE
from evaluation.options import Counts, Names
from evaluation.provenance import save
from evaluation.queries import QuerySelection, open_queries
from evaluation.real import form
from evaluation.robustness import ATTACK, markdown, measure
from evaluation.store import Store, write

_ALL = {**DISTORTIONS, ATTACK.name: ATTACK, **SAME_IMAGE}


def distortions(
    directory: options.Directory,
    alike: options.Alike = False,
    embedder: options.Embedder = options.EMBEDDER,
    distance: options.Distance = "cosine",
    images_per_source: Annotated[Counts, options.counts("γ")] = Counts((1,)),  # noqa: B008
    sources: options.Sources = None,
    sides: options.Sides = None,
    queries: Annotated[int | None, typer.Option(min=1, help="of a folder: images by each model of each prompt")] = None,
    chosen: Annotated[
        Names | None, typer.Option("--distortions", parser=Names.parse, help=f"only these of {', '.join(_ALL)}")
    ] = None,
    captioner: Annotated[str | None, typer.Option(help="also how often its caption of a copy is the same")] = None,
    seed: Annotated[int, typer.Option(help="other parameters for every image")] = 0,
    out: options.Out = None,
    to_file: Annotated[Path | None, typer.Option("--markdown", help="a file for the printed tables")] = None,
    store: options.Store = options.STORE_DEFAULT,
    device: options.Device = "cpu",
    threads: options.Threads = None,
) -> None:
    """Measures accuracy when queries are distorted, resized or recompressed."""
    names = list(chosen or _ALL)
    if unknown := [name for name in names if name not in _ALL]:
        raise ConfigurationError(f"There is no distortion {', '.join(unknown)}; there are {', '.join(_ALL)}.")
    placement = Placement(device, threads=threads)
    loaded = build_embedder(embedder, placement)
    if not isinstance(loaded, OpenClipEmbedder) and ATTACK.name in names:
        if chosen:
            raise ConfigurationError("The attack needs the gradients of an open_clip embedder.")
        names.remove(ATTACK.name)
        print(f"{ATTACK.name} is left out: it needs the gradients of an open_clip embedder")
    kept = Store(store)
    describing = build_captioner(captioner, placement) if captioner else None
    selection = QuerySelection(sources, [Side(side) for side in sides] if sides else None, queries, alike)
    found = open_queries(directory, loaded, kept, selection)
    reports, tables = [], []
    for count in images_per_source:
        if count > found.features.images_per_source:
            raise ConfigurationError(f"There are {found.features.images_per_source} images of each, not {count}.")
        for group in (DISTORTIONS | {ATTACK.name: ATTACK}, SAME_IMAGE):
            some = [group[name] for name in names if name in group]
            if some:
                reports.append(
                    measure(
                        found,
                        some,
                        loaded,
                        kept,
                        distance=distance,
                        images_per_source=count,
                        seed=seed,
                        captioner=describing if group is SAME_IMAGE else None,
                    )
                )
                tables.append(markdown(reports[-1]))
                print(tables[-1], end="\n\n")
    if to_file:
        write(to_file, ("\n\n".join(tables) + "\n").encode())
    save(out, {"dataset": directory.name, **form(directory, alike), "runs": reports})
