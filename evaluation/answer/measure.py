"""What the service would answer about known jobs, by its own functions: accuracy, verdicts, sets, probabilities."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attribution.bank import Bank, PastJob, past_job
from attribution.distance import distance_named
from attribution.match import match
from attribution.match_verdict import judge_match
from attribution.ports import Embedded, Method, ModelRef, Policy, Ranking, Verdict, VerdictKind
from attribution.race import RaceEnd
from attribution.racing import next_round, probabilities_of
from attribution.rank import rank
from attribution.residual import residuals
from evaluation.answer.jobs import KnownJob
from evaluation.metrics import interval

_EMBEDDER = ModelRef("evaluation", "1")
Banks = Callable[[KnownJob], Bank | None]  # the bank that answers a job: never with jobs of the same group


@dataclass(frozen=True)
class Answer:
    """What was answered about one job."""

    job: KnownJob
    ranking: Ranking
    verdict: Verdict

    @property
    def right(self) -> bool:
        """Whether the first source is the right one."""
        return self.ranking.entries[0].source == self.job.truth


def answer(
    jobs: Sequence[KnownJob],
    method: Method = Method.RESIDUAL,
    banks: Banks = lambda job: None,
    revisions: Mapping[str, str] | None = None,
    families: Mapping[str, str] | None = None,
    policy: Policy = Policy.OPEN,
) -> list[Answer]:
    """The answers, one per job."""
    cosine = distance_named("cosine")
    found = []
    for job in jobs:
        order = list(job.generated_images)
        embedded = Embedded(_EMBEDDER, job.query, job.generated_images, taps=job.taps)
        ranking, known = rank(embedded, cosine, order), None
        if method is Method.RESIDUAL:
            of, related = _of_sources(order, revisions, families)
            ranking, known = match(ranking, embedded, order, of, related, banks(job))
        found.append(Answer(job, ranking, judge_match(ranking, known, order, quorum=2, policy=policy)))
    return found


def race(
    jobs: Sequence[KnownJob],
    most: int,
    banks: Banks,
    revisions: Mapping[str, str] | None = None,
    families: Mapping[str, str] | None = None,
    policy: Policy = Policy.OPEN,
) -> list[Answer]:
    """The answers of jobs that race for up to γ = `most` images; each answer's job has the images that were used."""
    cosine = distance_named("cosine")
    found = []
    for job in jobs:
        order = list(job.generated_images)
        images, asked, bank = dict.fromkeys(order, 1), 1, banks(job)
        while True:
            raced = job.first(images)
            embedded = Embedded(_EMBEDDER, raced.query, raced.generated_images, taps=raced.taps)
            of, related = _of_sources(order, revisions, families)
            ranking, known = match(rank(embedded, cosine, order), embedded, order, of, related, bank, most)
            after = next_round(probabilities_of(ranking), images, asked, most)
            if isinstance(after, RaceEnd):
                break
            asked = after.images
            images |= dict.fromkeys(after.sources, asked)
        found.append(Answer(raced, ranking, judge_match(ranking, known, order, quorum=2, policy=policy)))
    return found


def _of_sources(
    order: Sequence[str], revisions: Mapping[str, str] | None, families: Mapping[str, str] | None
) -> tuple[dict[str, str], dict[str, str]]:
    return (
        {source: (revisions or {}).get(source, "1") for source in order},
        {source: (families or {}).get(source, source) for source in order},
    )


def images_used(answers: Sequence[Answer], most: int) -> dict[str, Any]:
    """How many images the jobs used, and their share of γ = `most` of each source."""
    used = [sum(map(len, each.job.generated_images.values())) for each in answers]
    whole = [most * len(each.job.generated_images) for each in answers]
    return {"images": round(float(np.mean(used)), 2), "images_share": round(sum(used) / sum(whole), 4)}


def past_jobs(jobs: Sequence[KnownJob], revisions: Mapping[str, str] | None = None) -> list[PastJob]:
    """What the jobs contribute to a bank."""
    return [
        past_job(
            f"{job.group}/{job.truth}/{at}", residuals(job.taps), revisions or dict.fromkeys(job.generated_images, "1")
        )
        for at, job in enumerate(jobs)
    ]


def other_groups(jobs: Sequence[KnownJob], past: Sequence[PastJob], count: int, seed: int = 0) -> Banks:
    """For each group of jobs a bank of at most so many past jobs of the other groups, chosen at random.

    `past` are the contributions of the jobs, in order.
    """
    banks: dict[str, Bank] = {}
    for number, group in enumerate(sorted({job.group for job in jobs})):
        others = [at for at, job in enumerate(jobs) if job.group != group]
        chosen = np.random.default_rng([seed, number]).permutation(others)[:count]
        banks[group] = Bank("evaluation", tuple(past[at] for at in chosen))
    return lambda job: banks[job.group]


def accuracy(answers: Sequence[Answer], alike: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The share of right answers with its 95 % interval, by resampling groups; `alike` counts relatives as one."""
    name = alike or {}
    right = np.array(
        [
            name.get(each.ranking.entries[0].source, each.ranking.entries[0].source)
            == name.get(each.job.truth, each.job.truth)
            for each in answers
        ],
        float,
    )
    return {
        "accuracy": round(float(right.mean()), 4),
        "interval_95": _interval(right, answers),
        "queries": len(answers),
    }


def gain(answers: Sequence[Answer], over: Sequence[Answer]) -> list[float]:
    """The paired 95 % interval of the difference in accuracy between two methods on the same jobs."""
    apart = np.array([float(a.right) - float(b.right) for a, b in zip(answers, over, strict=True)])
    return _interval(apart, answers)


def verdicts(answers: Sequence[Answer]) -> dict[str, Any]:
    """How many queries were named, rightly, narrowed, covered; and the calibration of probabilities."""
    named = [each for each in answers if each.verdict.kind in (VerdictKind.ATTRIBUTED, VerdictKind.ATTRIBUTED_FAMILY)]
    right = [each.job.truth in (each.verdict.source, *each.verdict.sources) for each in named]
    narrowed = [each for each in answers if each.verdict.kind is VerdictKind.NARROWED]
    estimates = [(each, each.ranking.estimate) for each in answers if each.ranking.estimate is not None]
    covered = [each.job.truth in estimate.prediction_set for each, estimate in estimates]
    sizes = [len(estimate.prediction_set) for _, estimate in estimates]
    return {
        "queries": len(answers),
        "named": round(len(named) / len(answers), 4),
        "named_family": sum(each.verdict.kind is VerdictKind.ATTRIBUTED_FAMILY for each in named),
        "named_rightly": round(float(np.mean(right)), 4) if named else None,
        "narrowed": round(len(narrowed) / len(answers), 4),
        "sets_cover": round(float(np.mean(covered)), 4) if covered else None,
        "set_size": round(float(np.mean(sizes)), 3) if sizes else None,
        "calibration_error": _calibration_error(answers),
    }


def _calibration_error(answers: Sequence[Answer], bins: int = 10) -> float | None:
    """ECE: the mean gap between the first source's probability and how often it is right, in bins of equal counts."""
    pairs = [(each.ranking.entries[0].probability, each.right) for each in answers]
    known = sorted((probability, right) for probability, right in pairs if probability is not None)
    if not known:
        return None
    parts = [part for part in np.array_split(np.array(known, float), bins) if len(part)]
    return round(float(sum(len(part) * abs(part[:, 0].mean() - part[:, 1].mean()) for part in parts) / len(known)), 4)


def _interval(values: Any, answers: Sequence[Answer]) -> list[float]:
    _, groups = np.unique([each.job.group for each in answers], return_inverse=True)
    return [round(bound, 4) for bound in interval(values, groups)]
