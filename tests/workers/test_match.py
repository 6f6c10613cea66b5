"""A job through all stages, ranked by residuals: without past jobs, with a bank's snapshot, and as the method ranks."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.db.models import JobStatus
from app.documents import JobDocument
from app.queue.steps import Role
from attribution.bank import Bank
from attribution.caption.fake import FakeCaptioner
from attribution.distance import distance_named
from attribution.embed.fake import FakeEmbedder
from attribution.embed.stage import feature_space
from attribution.method import attribute
from attribution.ports import Attribution, Method, Policy, Reason, VerdictKind
from attribution.race import Budget
from tests.workers.harness import Bench
from workers.artifacts import read_image, unpack
from workers.bank_snapshots import compile_snapshot
from workers.contribute import contribute
from workers.startup import record_pipeline

Make = Callable[..., Bench]
THREE = {"a": "", "b": "", "c": ""}
SPACE = feature_space(FakeEmbedder().ref)
COLOR = (30, 160, 60)


def with_bank(here: Bench, jobs: int = 8) -> Bank:
    """A snapshot of so many past jobs."""
    for number in range(jobs):
        here.submit(prompt=f"hare {number}", cache=False)
    here.run()
    storage = here.process.storage
    contribute(storage, 60)
    bank = compile_snapshot(storage, SPACE)
    assert bank is not None
    assert len(bank.past) == jobs
    process = here.process
    assert record_pipeline(process.settings, storage.database, process.models, [Role.EMBED])
    return bank


def ended(here: Bench, **options: Any) -> JobDocument:
    """A new job's document."""
    job_id = here.submit(COLOR, seed=7, cache=False, **options)
    here.run()
    document = here.document(job_id)
    assert document.status is JobStatus.SUCCEEDED, document.error
    return document


def method(
    here: Bench, document: JobDocument, bank: Bank | None, policy: Policy, prompt: str | None = None
) -> Attribution:
    """What the library says about the same query."""
    job = here.job(document.id)
    assert job.query_blob is not None
    return attribute(
        read_image(here.process.storage.blobs, job.tenant_id, job.query_blob),
        captioner=FakeCaptioner(),
        generators=[here.process.models.generator(source) for source in here.process.models.catalog.sources],
        embedder=FakeEmbedder(),
        distance=distance_named("cosine"),
        bank=bank,
        families=dict.fromkeys("abc", "fake"),
        policy=policy,
        images_per_source=2,
        budget=document.budget,
        prompt=prompt,
        seed=7,
    )


@pytest.mark.parametrize("budget", list(Budget))
@pytest.mark.parametrize("policy", list(Policy))
def test_a_bank_answers_as_in_the_method(bench: Make, policy: Policy, budget: Budget) -> None:
    """Match, probability, estimate and verdict, with blobs, rows and a snapshot in between."""
    here = bench(THREE, bank={"refresh": "0.001s"})
    bank = with_bank(here)
    document = ended(here, method_options={"policy": policy, "budget": budget})
    result = document.result
    assert result is not None
    whole = method(here, document, bank, policy)
    assert [(each.source, each.match, each.probability) for each in result.ranking] == [
        (each.source, pytest.approx(each.match), pytest.approx(each.probability)) for each in whole.ranking.entries
    ]
    assert (document.method, document.policy, result.method) == (Method.RESIDUAL, policy, Method.RESIDUAL)
    raced = None if result.race is None else [(each.images, tuple(each.sources)) for each in result.race.rounds]
    assert raced == (None if whole.race is None else [(each.images, each.sources) for each in whole.race.rounds])
    assert (raced is None) is (budget is Budget.FIXED)
    assert result.calibrated
    assert sum(each.probability or 0 for each in result.ranking) == pytest.approx(1)
    assert result.estimate is not None
    assert whole.ranking.estimate is not None
    assert result.estimate.bank == bank.version
    assert result.estimate.jobs == {"a": 5, "b": 5, "c": 5}  # of 8, as a round number
    assert tuple(result.estimate.prediction_set) == whole.ranking.estimate.prediction_set
    assert result.estimate.fit == pytest.approx(whole.ranking.estimate.fit)
    verdict = result.verdict
    assert (verdict.kind, verdict.source, tuple(verdict.sources), verdict.reason, verdict.policy) == (
        *(whole.verdict.kind, whole.verdict.source, whole.verdict.sources, whole.verdict.reason),
        policy,
    )
    assert (verdict.measured is None) == (whole.verdict.measured is None)
    assert verdict.threshold is None


def test_without_past_jobs_nothing_is_calibrated(bench: Make) -> None:
    """The order is that of the method without a bank, and the document has matches and no estimate."""
    here = bench(THREE)
    document = ended(here)
    result = document.result
    assert result is not None
    whole = method(here, document, None, Policy.OPEN)
    assert [(each.source, each.match, each.probability) for each in result.ranking] == [
        (each.source, pytest.approx(each.match), None) for each in whole.ranking.entries
    ]
    assert (result.method, result.calibrated, result.estimate) == (Method.RESIDUAL, False, None)
    assert result.verdict.reason is Reason.UNCALIBRATED


@pytest.mark.parametrize(
    ("options", "taps"), [({}, True), ({"method_options": {"method": Method.COSINE}}, False)], ids=str
)
def test_features_have_taps_for_residuals_only(bench: Make, options: Mapping[str, object], taps: bool) -> None:
    """As the stage for ranking reads them; by distance the document has none of the new members."""
    here = bench(THREE)
    document = ended(here, **options)
    job = here.job(document.id)
    assert job.features_blob is not None
    embedded = unpack(here.process.storage.blobs.get(job.tenant_id, job.features_blob), FakeEmbedder().ref)
    assert (embedded.taps is not None) is taps
    assert job.result is not None
    assert ("estimate" in job.result) is ("method" in job.result) is taps
    assert all(("match" in each) is taps for each in job.result["ranking"])


def test_one_tested_source_is_ranked_by_distance(bench: Make) -> None:
    """It cannot be compared: no quorum, whatever the bank."""
    here = bench({"a": "", "b": 'fail = "unavailable"'})
    result = ended(here).result
    assert result is not None
    assert (result.method, result.verdict.kind, result.verdict.reason) == (
        Method.COSINE,
        VerdictKind.INCONCLUSIVE,
        Reason.NO_QUORUM,
    )
    assert [each.match for each in result.ranking] == [None]


def noise(side: int) -> Image.Image:
    """Detail of all sizes."""
    return Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8))


def test_a_query_with_less_detail_is_compared_at_its_size(bench: Make) -> None:
    """All images of its job are reduced, as in the method, and it contributes nothing to the bank."""
    here = bench(THREE, bank={"refresh": "0.001s"})
    bank = with_bank(here)
    whole = here.submit(image=noise(64), prompt="a fox", seed=7, cache=False)
    here.run()
    small = here.submit(image=noise(24), prompt="a wolf", seed=7, cache=False)
    here.run()
    storage = here.process.storage
    jobs = [here.job(job_id) for job_id in (whole, small)]
    found = [unpack(storage.blobs.get(job.tenant_id, job.features_blob or ""), FakeEmbedder().ref).taps for job in jobs]
    assert [taps and taps.side for taps in found] == [None, 24]
    assert found[0] is not None
    assert found[1] is not None
    result = here.document(small).result
    assert result is not None
    expected = method(here, here.document(small), bank, Policy.OPEN, prompt="a wolf")
    assert [(each.source, each.match) for each in result.ranking] == [
        (each.source, pytest.approx(each.match)) for each in expected.ranking.entries
    ]
    contribute(storage, 60)
    after = compile_snapshot(storage, SPACE)
    assert after is not None
    assert len(after.past) == len(bank.past) + 1, "the job of the whole image alone"
