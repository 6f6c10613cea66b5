"""The steps of a plan: each a command of `python -m benchmark`, the datasets it reads, and the name of its JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark.plan.sizes import Real, Size

DATASET = "dataset"
DRAWINGS = "drawings"
CORE = "core"


@dataclass(frozen=True, slots=True)
class Step:
    """`arguments` lack `--out`; `makes` is the dataset's directory where it makes one."""

    name: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...] = ()
    makes: Path | None = None


def steps(size: Size, real: Real | None = None) -> tuple[Step, ...]:
    """In an order in which each finds what it needs."""
    return (*_datasets(size), *_zoo(size), *(_real(real) if real else ()))


def _datasets(size: Size) -> Sequence[Step]:
    papers, drawings = size.work / "papers", size.work / "drawings"
    common = ("--sources", size.sources, "--characters", str(size.characters), "--seed", str(size.seed))
    more = ("--sides", "test", "--candidates", str(size.candidates))
    return (
        Step(DATASET, ("dataset", "make", str(papers), *common), makes=papers),
        # After the first, whose drawings are among its own and come from the store.
        Step(DRAWINGS, ("dataset", "make", str(drawings), *common, *more), (DATASET,), drawings),
    )


def _zoo(size: Size) -> Sequence[Step]:
    papers, drawings = str(size.work / "papers"), str(size.work / "drawings")
    evaluations = [
        Step(
            f"zoo-evaluate-{count}",
            ("evaluate", papers, "--sources", ",".join(size.order[:count])),
            (DATASET,),
        )
        for count in size.classes
    ]
    if size.check:
        evaluations[0] = replace(evaluations[0], arguments=(*evaluations[0].arguments, "--check"))
    shots, plugged = ",".join(map(str, size.shots)), ",".join(map(str, size.plugged))
    prior = ("--shots", plugged, "--draws", str(size.draws))
    captions = ("--captioners", ",".join(size.captioners), "--work", str(size.work / "captions"))
    classes = ("--sources", ",".join(size.order), "--classes", ",".join(map(str, size.classes)))
    capped = ("--steps", str(size.steps)) if size.steps else ()
    trained = ("--shots", shots, "--repeats", str(size.repeats), *capped)
    return (
        *evaluations,
        *_core(size),
        Step("zoo-distances", ("variants", "distances", papers), (DATASET,)),
        Step("zoo-candidates", ("variants", "candidates", drawings, "--timed", str(size.timed)), (DRAWINGS,)),
        Step("zoo-prior", ("variants", "prior", papers, *prior), (DATASET,)),
        Step("zoo-captions", ("captions", papers, *captions), (DATASET,)),
        Step("zoo-distortions", ("distortions", papers, "--sides", "test", "--captioner", "blip"), (DATASET,)),
        Step("zoo-embedders", ("embedders", papers, *size.embedders), (DATASET,)),
        Step("zoo-t1", ("t1", papers, *classes, *trained), (DATASET,)),
        Step("zoo-examples", ("examples", papers), (DATASET,)),
    )


def _core(size: Size) -> Sequence[Step]:
    """More drawings of every character by the core alone: a few of all characters by all sources would be too many."""
    if size.core_candidates is None:
        return ()
    core, most, first = size.work / CORE, str(size.core_candidates), ",".join(size.order[: size.classes[0]])
    extent = ("--characters", str(size.characters), "--seed", str(size.seed), "--candidates", most)
    return (
        Step(CORE, ("dataset", "make", str(core), "--sources", first, *extent), (DATASET,), core),
        Step("zoo-gamma", ("evaluate", str(core), "--candidates", f"1,{most}"), (CORE,)),
    )


def _real(real: Real) -> Sequence[Step]:
    folder, embedder = str(real.folder), ("--embedder", real.embedder)
    return (
        Step("real-distances", ("variants", "distances", folder, *embedder)),
        Step("real-candidates", ("variants", "candidates", folder, *embedder)),
        Step("real-prior", ("variants", "prior", folder, *embedder)),
        Step("real-distortions", ("distortions", folder, *embedder, "--queries", "3", "--candidates", "1,8")),
        Step("real-embedders", ("embedders", folder, real.embedder, "open_clip", "--candidates", "1,8")),
    )
