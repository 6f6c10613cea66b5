"""The model of sources: with complete jobs as slow formulas say, and with incomplete ones by least squares."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from attribution.bank.model import DIRECTIONS, BankModel, directions, fit, share_of_own_mean
from attribution.bank.stack import JobStack
from tests.attribution.bank.synthetic import LAYOUT, LENGTH, signature, synthetic_past

SOURCES = ("a@1", "b@1", "c@1")


def complete(jobs: int, images: int) -> JobStack:
    """Jobs with all of three sources."""
    return JobStack.of(synthetic_past(jobs, ["a", "b", "c"], images), SOURCES)


@settings(max_examples=10)
@given(jobs=st.integers(2, 12), images=st.integers(2, 5))
def test_complete_jobs_are_as_the_formulas_say(jobs: int, images: int) -> None:
    """Means mean·N/(N+2), W and A computed image by image."""
    stack = complete(jobs, images)
    model = fit(stack, LENGTH)
    assert model is not None
    e = np.zeros((jobs, 3, LENGTH))
    within = np.zeros((LENGTH, LENGTH))
    for n in range(jobs):
        content = np.mean([stack.images[n, s].mean(axis=0) for s in range(3)], axis=0)
        for s in range(3):
            e[n, s] = stack.images[n, s].mean(axis=0) - content
            for image in stack.images[n, s]:
                apart = image - content - e[n, s]
                within += np.outer(apart, apart)
    between = np.zeros((LENGTH, LENGTH))
    for n in range(jobs):
        for s in range(3):
            apart = e[n, s] - e[:, s].mean(axis=0)
            between += np.outer(apart, apart)
    assert np.allclose(model.means, e.mean(axis=0) * jobs / (jobs + 2))
    assert np.allclose(model.within, within / (jobs * 3 * (images - 1)))
    assert np.allclose(model.between, between / ((jobs - 1) * 2))
    assert (model.count, model.images, model.sources) == (jobs, pytest.approx(images), SOURCES)


def test_incomplete_jobs_are_fitted_by_least_squares() -> None:
    """One source's mean comes from the jobs that have it, compared only with what those jobs have.

    The same as a regression on an effect of every source and of every job, with a penalty of two jobs on the former.
    """
    past = [
        *synthetic_past(5, ["a", "b", "c"], 2),
        *synthetic_past(4, ["a", "b"], 3, first=2000),
        *synthetic_past(6, ["c", "b"], 1, first=3000),
    ]
    stack = JobStack.of(past, SOURCES)
    model = fit(stack, LENGTH)
    assert model is not None
    cells = [(n, s) for n in range(len(stack)) for s in range(3) if stack.counts[n, s]]
    design = np.zeros((len(cells) + 3, 3 + len(stack)))
    values = np.zeros((len(cells) + 3, LENGTH))
    for row, (n, s) in enumerate(cells):
        design[row, s] = design[row, 3 + n] = 1
        values[row] = stack.images[n, s, : stack.counts[n, s]].mean(axis=0)
    design[len(cells) :, :3] = np.sqrt(2) * np.eye(3)
    expected = np.linalg.lstsq(design, values, rcond=None)[0][:3]
    assert np.allclose(model.means, expected, atol=1e-6)
    assert not np.allclose(model.means[0], model.means[1], atol=0.1)


def test_a_source_that_no_job_has_is_expected_at_0() -> None:
    """And the others as without it."""
    past = synthetic_past(6, ["a", "b"])
    with_new, without = fit(JobStack.of(past, SOURCES), LENGTH), fit(JobStack.of(past, SOURCES[:2]), LENGTH)
    assert with_new is not None
    assert without is not None
    assert np.allclose(with_new.means[2], 0)
    assert np.allclose(with_new.means[:2], without.means)
    assert np.allclose(with_new.between, without.between)


def test_one_image_per_source_has_no_spread_within() -> None:
    """Then it is taken from the spread between jobs."""
    model = fit(complete(6, 1), LENGTH)
    assert model is not None
    assert np.allclose(model.within, 0.6 * model.between)


def test_nothing_to_compare_is_no_model() -> None:
    """Without a job of two of the sources."""
    assert fit(JobStack.of(synthetic_past(6, ["a", "x"]), ("b@1", "c@1")), LENGTH) is None


def test_scores_are_log_likelihoods_up_to_a_constant() -> None:
    """Differences between sources are those of SciPy's normal density around the expected residuals."""
    model = fit(complete(12, 4), LENGTH)
    assert model is not None
    random = np.random.default_rng(3)
    queries, means = random.normal(size=(5, LENGTH)), random.normal(size=(3, LENGTH))
    share = share_of_own_mean(12, 4)
    covariance = np.linalg.inv(model._whitening(share) @ model._whitening(share).T)
    raw = model.within + (1 - share) * (model.between - model.within / 4)
    level = np.trace(raw) / LENGTH
    assert np.allclose(covariance, (24 * raw + 0.3 * LENGTH * level * np.eye(LENGTH)) / (24 + 0.3 * LENGTH))
    expected = model.means + share * (means - model.means)
    density = np.array([[multivariate_normal(t, covariance).logpdf(a) for t in expected] for a in queries])
    scores = model.scores(queries, means, 4)
    assert np.allclose(scores - scores[:, :1], density - density[:, :1])
    assert np.allclose(model.scores(queries[None], means[None], 4)[0], scores)


def test_an_image_is_likeliest_by_its_source() -> None:
    """Also one with as much noise as others, and more often than from the job's own means alone."""
    model = fit(complete(40, 4), LENGTH)
    assert model is not None
    new = complete(60, 4).of_jobs(np.arange(60) >= 40)
    content = new.means.mean(axis=1, keepdims=True)
    scores = model.scores(new.images[:, :, 0] - content, new.means - content, 4)
    assert (scores.argmax(axis=-1) == np.arange(3)).mean() > 0.95


def test_own_means_count_less_with_experience() -> None:
    """From one half without past jobs, down, and up again with more images per source."""
    shares = [share_of_own_mean(jobs, 4) for jobs in (0, 5, 10, 50, 300)]
    assert shares[0] == 0.5
    assert shares == sorted(shares, reverse=True)
    assert 0 < shares[-1] < 0.2
    assert share_of_own_mean(50, 1) < share_of_own_mean(50, 8)


@pytest.mark.parametrize("length", [LENGTH, 400])
def test_directions_span_what_residuals_differ_in(length: int) -> None:
    """Orthonormal, at most 150, the greatest first; few jobs lie in them wholly."""
    random = np.random.default_rng(2)
    rows = random.normal(size=(6, 3, 4, length)) * np.linspace(3, 0.1, length)
    stack = JobStack(SOURCES, rows, np.full((6, 3), 4))
    found = directions(stack)
    assert found.shape[1] <= min(DIRECTIONS, length)
    assert np.allclose(found.T @ found, np.eye(found.shape[1]), atol=1e-6)
    centered = stack.comparing().images.reshape(-1, length)
    powers = ((centered @ found) ** 2).sum(axis=0)
    assert np.all(np.diff(powers) <= 1e-6 * powers[0])
    assert np.allclose(centered @ found @ found.T, centered, atol=1e-6)


def test_the_signatures_are_what_is_learned() -> None:
    """Within a tap, whose numbers have one scale, the means approach the sources' true differences."""
    model = fit(complete(200, 4), LENGTH)
    assert isinstance(model, BankModel)
    truth = np.stack([signature(name) for name in "abc"])
    truth -= truth.mean(axis=0)
    for mine, theirs in zip(model.means, truth, strict=True):
        tap = slice(0, LAYOUT["block1"])
        assert np.corrcoef(mine[tap], theirs[tap])[0, 1] > 0.98


def test_scores_of_unequal_numbers_are_densities() -> None:
    """Up to one constant they are the logarithms of normal densities, each source's with its own covariance."""
    model = fit(complete(12, 3), LENGTH)
    assert model is not None
    random = np.random.default_rng(0)
    queries, means = random.normal(size=(2, LENGTH)), random.normal(size=(3, LENGTH))
    counts = np.array([1, 4, 2])
    scores = model.scores(queries, means, counts)
    expected = np.empty((2, 3))
    for j, count in enumerate(counts):
        share = share_of_own_mean(12, count)
        root = np.linalg.inv(model._whitening(share))
        center = model.means[j] + share * (means[j] - model.means[j])
        expected[:, j] = multivariate_normal(center, root.T @ root).logpdf(queries)
    apart = scores - expected
    assert np.allclose(apart, apart[0, 0])
    assert np.allclose(model.scores(queries, means, np.full(3, 1)), model.scores(queries, means, 1))
