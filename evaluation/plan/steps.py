"""The steps of a plan, by how much is measured.

Each is a command of `python -m evaluation`, the datasets it reads, and the name of its JSON.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evaluation.store import WORK

_TEN = (
    "zoo-unet", "zoo-lcm", "zoo-dit", "zoo-mmdit", "zoo-vunet", "zoo-pixart", "zoo-sd3", "zoo-flux", "zoo-amused",
    "zoo-pixel",
)  # fmt: skip
_RELATIVES = ("zoo-unet-tuned", "zoo-pixart-lcm", "zoo-flux-tuned", "zoo-mmdit-tuned")


@dataclass(frozen=True, slots=True)
class Size:
    """One plan's extent. `sources` are ids or patterns; `classes` are numbers of sources, from the first of `order`."""

    work: Path
    characters: int
    seed: int
    sources: str
    order: tuple[str, ...]
    classes: tuple[int, ...]
    images_per_source: int
    core_images_per_source: int | None  # of all characters, but by the fewest classes only; None: not done
    timed: int
    shots: tuple[int, ...]
    plugged: tuple[int, ...]  # shots of what resynthesis is plugged into
    shot_choices: int
    repeats: int
    steps: int | None  # of a training at most; None: what each baseline takes by itself
    captioners: tuple[str, ...]
    embedders: tuple[str, ...]
    check: bool = False


@dataclass(frozen=True, slots=True)
class Real:
    """Images by real generators (MODEL/PROMPT__NUMBER.png), and the embedder that compares them."""

    folder: Path
    embedder: str


FULL = Size(
    work=WORK,
    characters=100,
    seed=2026,
    sources="zoo-*",
    order=_TEN + _RELATIVES,
    classes=(10, 12, 14),
    images_per_source=8,
    core_images_per_source=4,
    timed=2,
    shots=(1, 2, 3, 5, 8, 10, 20, 40, 80),
    plugged=(1, 5, 10),
    shot_choices=20,
    repeats=5,
    steps=None,
    captioners=("given", "blip", "pez", "blip+pez"),
    embedders=(
        "open_clip", "open_clip#layer=1", "open_clip#layer=1,pool=mean", "open_clip#layer=2",
        "open_clip#layer=2,pool=mean", "open_clip#layer=3", "open_clip#layer=3,pool=mean", "onnx",
    ),
    check=True,
)  # fmt: skip
SMALL = Size(
    work=WORK / "small",
    characters=10,
    seed=0,
    sources="zoo-dit,zoo-lcm,zoo-mmdit,zoo-unet",
    order=("zoo-dit", "zoo-lcm", "zoo-mmdit", "zoo-unet"),
    classes=(3, 4),
    images_per_source=2,
    core_images_per_source=None,
    timed=1,
    shots=(1, 2),
    plugged=(1,),
    shot_choices=2,
    repeats=2,
    steps=2,
    captioners=(
        "given",
        "blip",
        "pez:local-dir:zoo/models/clip?steps=10",
        "blip+pez:zoo/models/captioner?steps=5",
    ),
    embedders=("open_clip", "open_clip#layer=1", "onnx"),
)
SIZES: Mapping[str, Size] = {"full": FULL, "small": SMALL}


DATASET = "dataset"
GENERATED_IMAGES = "generated_images"
CORE = "core"


@dataclass(frozen=True, slots=True)
class PlanStep:
    """`arguments` lack `--out`; `makes` is the dataset's directory where it makes one."""

    name: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...] = ()
    makes: Path | None = None


def steps(size: Size, real: Real | None = None) -> tuple[PlanStep, ...]:
    """In an order in which each finds what it needs."""
    return (*_datasets(size), *_zoo(size), *(_real(real) if real else ()))


def _datasets(size: Size) -> Sequence[PlanStep]:
    papers, generated_images = size.work / "papers", size.work / "generated_images"
    common = ("--sources", size.sources, "--characters", str(size.characters), "--seed", str(size.seed))
    more = ("--sides", "test", "--images-per-source", str(size.images_per_source))
    return (
        PlanStep(DATASET, ("dataset", "make", str(papers), *common), makes=papers),
        # After the first, whose generated images are among its own and come from the store.
        PlanStep(
            GENERATED_IMAGES, ("dataset", "make", str(generated_images), *common, *more), (DATASET,), generated_images
        ),
    )


def _zoo(size: Size) -> Sequence[PlanStep]:
    papers, generated_images = str(size.work / "papers"), str(size.work / "generated_images")
    evaluations = [
        PlanStep(
            f"zoo-evaluate-{count}",
            ("evaluate", papers, "--sources", ",".join(size.order[:count])),
            (DATASET,),
        )
        for count in size.classes
    ]
    if size.check:
        evaluations[0] = replace(evaluations[0], arguments=(*evaluations[0].arguments, "--check"))
    shots, plugged = ",".join(map(str, size.shots)), ",".join(map(str, size.plugged))
    external_scores = ("--shots", plugged, "--shot-choices", str(size.shot_choices))
    captions = ("--captioners", ",".join(size.captioners), "--work", str(size.work / "captions"))
    classes = ("--sources", ",".join(size.order), "--classes", ",".join(map(str, size.classes)))
    capped = ("--steps", str(size.steps)) if size.steps else ()
    trained = ("--shots", shots, "--repeats", str(size.repeats), *capped)
    return (
        *evaluations,
        *_core(size),
        PlanStep("zoo-distances", ("variants", "distances", papers), (DATASET,)),
        PlanStep(
            "zoo-images-per-source",
            ("variants", "images-per-source", generated_images, "--timed", str(size.timed)),
            (GENERATED_IMAGES,),
        ),
        PlanStep("zoo-external-scores", ("variants", "external-scores", papers, *external_scores), (DATASET,)),
        PlanStep("zoo-captions", ("captions", papers, *captions), (DATASET,)),
        PlanStep("zoo-distortions", ("distortions", papers, "--sides", "test", "--captioner", "blip"), (DATASET,)),
        PlanStep("zoo-embedders", ("embedders", papers, *size.embedders), (DATASET,)),
        PlanStep("zoo-t1", ("t1", papers, *classes, *trained), (DATASET,)),
        PlanStep("zoo-examples", ("examples", papers), (DATASET,)),
    )


def _core(size: Size) -> Sequence[PlanStep]:
    """More images per source of every character, by the core only: with all sources there would be too many."""
    if size.core_images_per_source is None:
        return ()
    core, most, first = size.work / CORE, str(size.core_images_per_source), ",".join(size.order[: size.classes[0]])
    extent = ("--characters", str(size.characters), "--seed", str(size.seed), "--images-per-source", most)
    return (
        PlanStep(CORE, ("dataset", "make", str(core), "--sources", first, *extent), (DATASET,), core),
        PlanStep("zoo-gamma", ("evaluate", str(core), "--images-per-source", f"1,{most}"), (CORE,)),
    )


def _real(real: Real) -> Sequence[PlanStep]:
    """Named after the folder, once made alike and once as they are: size and format then reveal the source."""
    folder, embedder, counts = str(real.folder), ("--embedder", real.embedder), ("--images-per-source", "1,8")
    found = []
    for form, option in (("alike", ("--alike",)), ("as-they-are", ())):
        name = f"real-{real.folder.name.removeprefix('real-')}-{form}"
        found += [
            PlanStep(f"{name}-distances", ("variants", "distances", folder, *embedder, *option)),
            PlanStep(f"{name}-images-per-source", ("variants", "images-per-source", folder, *embedder, *option)),
            PlanStep(f"{name}-external-scores", ("variants", "external-scores", folder, *embedder, *option)),
            PlanStep(f"{name}-embedders", ("embedders", folder, real.embedder, "open_clip", *counts, *option)),
        ]
        if option:
            distortions = ("distortions", folder, *embedder, "--queries", "3", *counts, *option)
            found.append(PlanStep(f"{name}-distortions", distortions))
    return found
