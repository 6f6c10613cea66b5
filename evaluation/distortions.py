"""`python -m evaluation distortions`: accuracy under every distortion, and how often a changed copy has its answer."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from attribution.build import Placement, build_captioner, build_embedder
from attribution.embed.open_clip import OpenClipEmbedder
from attribution.errors import ConfigurationError
from evaluation.alike import HELP
from evaluation.distort import DISTORTIONS, SAME_PICTURE
from evaluation.output import save
from evaluation.queries import Part, open_queries
from evaluation.real import form
from evaluation.robustness import ATTACK, markdown, measure
from evaluation.split import Side
from evaluation.store import Store, write

_ALL = {**DISTORTIONS, ATTACK.name: ATTACK, **SAME_PICTURE}


def add(commands: Any, embedder: str, models: Any) -> None:
    """Adds the command to a parser's."""
    names = partial(str.split, sep=",")
    parser = commands.add_parser("distortions", help="accuracy when queries are distorted, resized, recompressed")
    parser.add_argument("directory", type=Path, help="a dataset, or a folder of MODEL/PROMPT__NUMBER.png")
    parser.add_argument("--embedder", default=embedder)
    parser.add_argument("--alike", action="store_true", help=HELP)
    parser.add_argument("--distance", default="cosine")
    parser.add_argument("--images-per-source", type=lambda text: [int(part) for part in text.split(",")], default=[1])
    parser.add_argument("--sources", type=names, help="only these")
    parser.add_argument("--sides", type=names, help="train, test, validation; default: all characters")
    parser.add_argument("--queries", type=int, help="of a folder: so many images by each model after each prompt")
    parser.add_argument("--distortions", type=names, help=f"only these of {', '.join(_ALL)}")
    parser.add_argument("--captioner", help="also say how often it says the same of a copy; such as blip")
    parser.add_argument("--seed", type=int, default=0, help="other parameters for every image")
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    parser.add_argument("--markdown", type=Path, help="the tables, which are also printed")
    models(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    chosen = options.distortions or list(_ALL)
    if unknown := [name for name in chosen if name not in _ALL]:
        raise ConfigurationError(f"There is no distortion {', '.join(unknown)}; there are {', '.join(_ALL)}.")
    embedder = build_embedder(options.embedder, Placement(options.device, threads=options.threads))
    if not isinstance(embedder, OpenClipEmbedder) and ATTACK.name in chosen:
        if options.distortions:
            raise ConfigurationError("The attack needs the gradients of an open_clip embedder.")
        chosen.remove(ATTACK.name)
        print(f"{ATTACK.name} is left out: it needs the gradients of an open_clip embedder")
    store = Store(options.store)
    placement = Placement(options.device, threads=options.threads)
    captioner = build_captioner(options.captioner, placement) if options.captioner else None
    sides = [Side(side) for side in options.sides] if options.sides else None
    queries = open_queries(
        options.directory, embedder, store, Part(options.sources, sides, options.queries, options.alike)
    )
    reports, tables = [], []
    for images_per_source in options.images_per_source:
        if not 1 <= images_per_source <= queries.features.images_per_source:
            raise ConfigurationError(
                f"There are {queries.features.images_per_source} generated images of each, not {images_per_source}."
            )
        for wanted in (DISTORTIONS | {ATTACK.name: ATTACK}, SAME_PICTURE):
            some = [wanted[name] for name in chosen if name in wanted]
            if some:
                setting = {"distance": options.distance, "images_per_source": images_per_source, "seed": options.seed}
                says = captioner if wanted is SAME_PICTURE else None
                reports.append(measure(queries, some, embedder, store, **setting, captioner=says))
                tables.append(markdown(reports[-1]))
                print(tables[-1], end="\n\n")
    if options.markdown:
        write(options.markdown, ("\n\n".join(tables) + "\n").encode())
    about = form(options.directory, options.alike)
    document = {"dataset": options.directory.name, **about, "runs": reports}
    save(options.out, document)
    return 0
