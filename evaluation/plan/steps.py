"""The steps of a plan: each a command of `python -m evaluation`, the datasets it reads, and the name of its JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evaluation.plan.sizes import Real, Size

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
    folder, embedder = str(real.folder), ("--embedder", real.embedder)
    return (
        PlanStep("real-distances", ("variants", "distances", folder, *embedder)),
        PlanStep("real-images-per-source", ("variants", "images-per-source", folder, *embedder)),
        PlanStep("real-external-scores", ("variants", "external-scores", folder, *embedder)),
        PlanStep(
            "real-distortions", ("distortions", folder, *embedder, "--queries", "3", "--images-per-source", "1,8")
        ),
        PlanStep("real-embedders", ("embedders", folder, real.embedder, "open_clip", "--images-per-source", "1,8")),
    )
