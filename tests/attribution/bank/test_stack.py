"""Past jobs as arrays: nothing lost, nothing invented where a job lacks a source or an image."""

import numpy as np

from attribution.bank import PastJob
from attribution.bank.stack import JobStack

SOURCES = ("a@1", "b@1", "c@2")


def ragged() -> list[PastJob]:
    """Seven jobs that have some of the sources, with 1 to 4 images each; two have fewer than two sources."""
    random = np.random.default_rng(5)
    has = ["a@1 b@1 c@2", "a@1 c@2", "b@1 c@2 d@1", "a@1", "c@2 d@1", "b@1 a@1", "a@1 b@1 c@2"]
    return [
        PastJob(
            str(n),
            {s: random.normal(size=(1 + (n + at) % 4, 6)).astype(np.float16) for at, s in enumerate(sources.split())},
            6,
        )
        for n, sources in enumerate(has)
    ]


def test_a_stack_has_every_image_once() -> None:
    """Of the jobs with at least two of the sources, at its place; the rest is 0 and not counted."""
    stack = JobStack.of(ragged(), SOURCES)
    jobs = [job for job in ragged() if job.job not in ("3", "4")]
    assert len(stack) == len(jobs) == 5
    for n, job in enumerate(jobs):
        for s, source in enumerate(SOURCES):
            rows = job.images.get(source, np.zeros((0, 6)))
            assert stack.counts[n, s] == len(rows)
            assert np.array_equal(stack.images[n, s, : len(rows)], rows)
            assert not stack.images[n, s, len(rows) :].any()
            assert stack.valid[n, s].sum() == len(rows)
            assert np.allclose(stack.means[n, s], rows.astype(float).mean(axis=0) if len(rows) else 0)


def test_comparing_subtracts_the_mean_of_the_sources_that_a_job_has() -> None:
    """As a loop does; the mean over the sources is 0 afterwards, and a job with one source is left out."""
    stack = JobStack.of(ragged(), SOURCES).of_sources(("c@2", "a@1"))
    found = stack.comparing()
    both = [job for job in ragged() if {"a@1", "c@2"} <= job.images.keys()]
    assert len(found) == len(both) == 3
    for n, job in enumerate(both):
        means = [job.images[source].astype(float).mean(axis=0) for source in ("c@2", "a@1")]
        for s, source in enumerate(("c@2", "a@1")):
            rows = job.images[source].astype(float)
            assert np.allclose(found.images[n, s, : len(rows)], rows - (means[0] + means[1]) / 2)
    assert np.allclose(found.means.sum(axis=1), 0)
    assert not found.images[~found.valid].any()


def test_no_job_is_an_empty_stack() -> None:
    """Of which nothing can be compared."""
    stack = JobStack.of(ragged(), ("x@1", "y@1"))
    assert len(stack) == len(stack.comparing()) == 0
