"""The whole method in one function, made of the very stages that the service's workers call one by one.

    j* = argmin_j  mean_k  d( E(s_j(p(I), k)), E(I) )

arXiv 2510.24278 (one drawing per source), with the γ drawings of arXiv 2403.01489.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from PIL.Image import Image

from attribution.caption import describe
from attribution.caption.given import GivenCaptioner
from attribution.embed import embed_all
from attribution.ports import (
    Attribution,
    Captioner,
    Deadline,
    Distance,
    Embedder,
    Generator,
    Origin,
    SourceState,
)
from attribution.rank import rank
from attribution.resynthesise import derive_seeds, resynthesise
from attribution.verdict import Calibration, judge


def attribute(
    image: Image,
    *,
    captioner: Captioner,
    generators: Sequence[Generator],
    embedder: Embedder,
    distance: Distance,
    candidates: int = 4,
    prompt: str | None = None,
    seed: int | None = None,
    quorum: int = 2,
    calibration: Calibration | None = None,
    timeouts: Mapping[str, float] | float = 120.0,
    temperature: float = 1.0,
    on_error: Callable[[str, Exception], None] | None = None,
) -> Attribution:
    """Which of the generators most likely drew `image`, an RGB image in canonical form.

    `candidates` is γ, the drawings per generator; generators stand in catalogue order, which decides ties. `prompt`
    takes the captioner's place, `seed` picks another stream of drawings. `timeouts` are seconds per source, or for
    each. A generator that fails is reported and not ranked; `on_error` is told of failures nobody foresaw. Among the
    generators may be `References`, the caller's own drawings; nothing is calibrated for those.
    """
    seconds: dict[str, float] = {}

    with _timed(seconds, "captioning"):
        caption = describe(captioner if prompt is None else GivenCaptioner(prompt), image)

    with _timed(seconds, "resynthesising"):
        resyntheses = tuple(
            resynthesise(
                generator,
                caption,
                derive_seeds(caption.text, generator.source, generator.ref.revision, candidates, seed),
                Deadline.after(timeouts if isinstance(timeouts, int | float) else timeouts[generator.source]),
                partial(on_error, generator.source) if on_error is not None else None,
            )
            for generator in generators
        )
    tested = [result for result in resyntheses if result.state is SourceState.DONE]

    with _timed(seconds, "embedding"):
        embedded = embed_all(embedder, image, {result.source: [d.image for d in result.drawings] for result in tested})

    with _timed(seconds, "ranking"):
        ranking = rank(embedded, distance, [generator.source for generator in generators], temperature)
        threshold = None
        if calibration is not None and all(
            result.origin is Origin.GENERATOR and len(result.drawings) == candidates for result in tested
        ):
            revisions = {result.source: result.revision for result in tested}
            threshold = calibration.find(embedder.ref, distance.name, candidates, revisions)
        verdict = judge(ranking, quorum=quorum, threshold=threshold)

    return Attribution(caption, resyntheses, embedder.ref, ranking, verdict, seconds)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[stage] = time.monotonic() - started
