"""The whole method in one function, made of the very stages that the service's workers call one by one.

    j* = argmin_j  mean_k  d( E(s_j(p(I), k)), E(I) )

arXiv 2510.24278 (one drawing per source), with the γ drawings of arXiv 2403.01489 and its use as a plug-in.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from PIL.Image import Image

from attribution.caption import describe
from attribution.caption.given import GivenCaptioner
from attribution.distance import compare_pixels
from attribution.embed.stage import embed_all
from attribution.fuse import check_prior, fuse
from attribution.ports import (
    PRIOR_WEIGHT,
    Aggregate,
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
    aggregate: Aggregate = Aggregate.MEAN,
    prior: Mapping[str, float] | None = None,
    prior_weight: float = PRIOR_WEIGHT,
    prompt: str | None = None,
    seed: int | None = None,
    quorum: int = 2,
    calibration: Calibration | None = None,
    timeouts: Mapping[str, float] | float = 120.0,
    temperature: float = 1.0,
    on_error: Callable[[str, Exception], None] | None = None,
) -> Attribution:
    """Which of the generators most likely drew `image`, an RGB image in canonical form.

    `candidates` is γ, the drawings per generator, of whose distances `aggregate` makes one; generators stand in
    catalogue order, which decides ties. `prior` are another method's scores, with which the ranking is fused. `prompt`
    takes the captioner's place, `seed` picks another stream of drawings. `timeouts` are seconds per source, or for
    each. A generator that fails is reported and not ranked; `on_error` is told of failures nobody foresaw. Among the
    generators may be `References`, the caller's own drawings; nothing is calibrated for those.
    """
    seconds: dict[str, float] = {}
    check_prior(prior or {}, prior_weight)

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
        drawings = {result.source: [drawing.image for drawing in result.drawings] for result in tested}
        embedded = replace(embed_all(embedder, image, drawings), pixels=compare_pixels(distance, image, drawings))

    with _timed(seconds, "ranking"):
        order = [generator.source for generator in generators]
        ranking = rank(embedded, distance, order, temperature, aggregate)
        if prior is not None:
            ranking = fuse(ranking, prior, order, prior_weight)
        threshold = None
        if calibration is not None and all(
            result.origin is Origin.GENERATOR and len(result.drawings) == candidates for result in tested
        ):
            revisions = {result.source: result.revision for result in tested}
            threshold = calibration.find(embedder.ref, distance.name, candidates, revisions, aggregate)
        verdict = judge(ranking, quorum=quorum, threshold=threshold)

    return Attribution(caption, resyntheses, embedder.ref, ranking, verdict, seconds)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[stage] = time.monotonic() - started
