"""The whole method in one function, composed of the stage functions that the service's workers call one by one.

    j* = argmin_j  mean_k  d( E(s_j(p(I), k)), E(I) )

This is the method `COSINE`: arXiv 2510.24278 (one generated image per source), with the γ images of arXiv 2403.01489
and its late fusion. The default, `RESIDUAL`, compares the same images by what is left of their features when the
content is subtracted, and uses what past jobs taught (docs/method.md).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from PIL.Image import Image

from attribution.bank import Bank
from attribution.caption import GivenCaptioner, describe
from attribution.detail import common_side
from attribution.distance import compare_pixels
from attribution.embed.stage import ImageFeatures, embed_all, features_of
from attribution.fuse import check_external_scores, fuse
from attribution.match import match
from attribution.match_verdict import judge_match
from attribution.ports import (
    FUSION_WEIGHT,
    Aggregate,
    Attribution,
    Caption,
    Captioner,
    Deadline,
    Distance,
    Embedder,
    Generator,
    Method,
    Origin,
    Policy,
    Resynthesis,
    SourceState,
)
from attribution.race import Budget, Race, RaceEnd, RaceRound
from attribution.racing import may_race, next_round, probabilities_of
from attribution.rank import rank
from attribution.resynthesis import References, derive_seeds, resynthesize
from attribution.verdict import Calibration, judge


def attribute(
    image: Image,
    *,
    captioner: Captioner,
    generators: Sequence[Generator],
    embedder: Embedder,
    distance: Distance,
    method: Method = Method.RESIDUAL,
    bank: Bank | None = None,
    families: Mapping[str, str] | None = None,
    policy: Policy = Policy.OPEN,
    images_per_source: int = 4,
    budget: Budget = Budget.AUTO,
    at_least: Mapping[str, int] | None = None,
    aggregate: Aggregate = Aggregate.MEAN,
    external_scores: Mapping[str, float] | None = None,
    fusion_weight: float = FUSION_WEIGHT,
    prompt: str | None = None,
    seed: int | None = None,
    quorum: int = 2,
    calibration: Calibration | None = None,
    timeouts: Mapping[str, float] | float = 120.0,
    temperature: float = 1.0,
    on_error: Callable[[str, Exception], None] | None = None,
) -> Attribution:
    """Rank the sources that may have generated an image, and judge the ranking.

    A source that fails is reported and not ranked.

    Args:
        image: The query image, RGB in canonical form.
        captioner: Writes the caption.
        generators: One per source, in catalog order, which decides ties; `References` for the caller's own images.
        embedder: Maps images to features.
        distance: Between the generated images and the query; it makes the ranking if the method is `COSINE`.
        method: How sources are ranked.
        bank: Past jobs in the embedder's feature space; without one, residuals give no probabilities.
        families: The family of each source, for verdicts about relatives; by default each is alone.
        policy: Whether the image may be by a source that is not asked.
        images_per_source: γ, the generated images per source.
        budget: Whether every source generates γ images, or sources race for them.
        at_least: How many images sources are asked for in any case, where that is more than one.
        aggregate: How a source's γ distances become one.
        external_scores: Another method's scores by source, with which the ranking is fused.
        fusion_weight: The weight of these scores.
        prompt: Used instead of a caption.
        seed: Selects another, equally repeatable stream of generated images.
        quorum: How many sources must be tested for a verdict.
        calibration: Measured thresholds; they do not apply to reference images.
        timeouts: Seconds per source, or one number for all.
        temperature: τ of the scores.
        on_error: Called with the source and the exception of an unexpected failure.

    Raises:
        AttributionError: The caption, the features or the external scores cannot be used.
    """
    seconds: dict[str, float] = {}
    check_external_scores(external_scores or {}, fusion_weight)
    order = [generator.source for generator in generators]
    racing = may_race(budget, method, [_origin(each) for each in generators], images_per_source) and (
        budget is Budget.RACING
        or (bank is not None and bank.supports_racing([f"{each.source}@{each.ref.revision}" for each in generators]))
    )

    with _timed(seconds, "captioning"):
        caption = describe(captioner if prompt is None else GivenCaptioner(prompt), image)

    rounds = [RaceRound(1 if racing else images_per_source, tuple(order))]
    resyntheses: dict[str, Resynthesis] = {}
    features: Mapping[str, Sequence[ImageFeatures]] = {}
    while True:
        with _timed(seconds, "resynthesizing"):
            for generator in generators:
                if generator.source in rounds[-1].sources:
                    fewest = min((at_least or {}).get(generator.source, 1), images_per_source)
                    wanted = max(rounds[-1].images, fewest)
                    resyntheses[generator.source] = _resynthesize_more(
                        resyntheses.get(generator.source),
                        generator,
                        caption,
                        derive_seeds(caption.text, generator.source, generator.ref.revision, wanted, seed),
                        Deadline.after(timeouts if isinstance(timeouts, int | float) else timeouts[generator.source]),
                        partial(on_error, generator.source) if on_error is not None else None,
                    )
        tested = [resyntheses[source] for source in order if resyntheses[source].state is SourceState.DONE]

        with _timed(seconds, "embedding"):
            generated_images = {result.source: [each.image for each in result.generated_images] for result in tested}
            known_and_new: dict[str, list[Image | ImageFeatures]] = {
                source: [*features.get(source, ()), *images[len(features.get(source, ())) :]]
                for source, images in generated_images.items()
            }
            side = None
            if method is Method.RESIDUAL:  # the same in each round: the first image of each source is
                side = common_side(image, [images[0] for images in generated_images.values()])
            embedded = embed_all(embedder, image, known_and_new, method, side)
            features = features_of(embedded)
            embedded = replace(embedded, pixels=compare_pixels(distance, image, generated_images))

        with _timed(seconds, "ranking"):
            ranking, known = rank(embedded, distance, order, temperature, aggregate), None
            revisions = {result.source: result.revision for result in tested if result.origin is Origin.GENERATOR}
            if method is Method.RESIDUAL:
                related = families or {source: source for source in order}
                most = images_per_source if racing else None
                ranking, known = match(ranking, embedded, order, revisions, related, bank, most)
            counts = {result.source: len(result.generated_images) for result in tested}
            after = next_round(probabilities_of(ranking), counts, rounds[-1].images, images_per_source)
        if not racing or isinstance(after, RaceEnd):
            break
        rounds.append(after)

    with _timed(seconds, "ranking"):
        if external_scores is not None:
            ranking = fuse(ranking, external_scores, order, fusion_weight)
        if ranking.method is Method.RESIDUAL:
            verdict = judge_match(ranking, known, order, quorum=quorum, policy=policy)
        else:
            threshold = None
            if (
                calibration is not None
                and method is Method.COSINE
                and all(
                    result.origin is Origin.GENERATOR and len(result.generated_images) == images_per_source
                    for result in tested
                )
            ):
                threshold = calibration.find(embedder.ref, distance.name, images_per_source, revisions, aggregate)
            verdict = judge(ranking, quorum=quorum, threshold=threshold)

    race = Race(tuple(rounds), after) if racing and isinstance(after, RaceEnd) else None
    return Attribution(
        caption, tuple(resyntheses[source] for source in order), embedder.ref, ranking, verdict, seconds, race
    )


def _origin(generator: Generator) -> Origin:
    return Origin.REFERENCE if isinstance(generator, References) else Origin.GENERATOR


def _resynthesize_more(
    earlier: Resynthesis | None,
    generator: Generator,
    caption: Caption,
    seeds: Sequence[int],
    deadline: Deadline,
    on_error: Callable[[Exception], None] | None,
) -> Resynthesis:
    """The source's images, those of earlier rounds first; they count although the source fails now."""
    if earlier is None:
        return resynthesize(generator, caption, seeds, deadline, on_error)
    there = earlier.generated_images
    more = resynthesize(generator, caption, seeds[len(there) :], deadline, on_error)
    reason = more.reason
    if more.state is not SourceState.DONE:
        reason = f"{len(there)} of {len(seeds)} generated images: {more.reason}"
    return replace(
        earlier,
        generated_images=(*there, *more.generated_images),
        reason=reason,
        seconds=earlier.seconds + more.seconds,
    )


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[stage] = seconds.get(stage, 0.0) + time.monotonic() - started
