"""How good the answer is, measured on jobs whose answers are known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attribution.embed.fake import FakeEmbedder
from attribution.embed.stage import layout
from attribution.ports import Method, Policy, Taps, VerdictKind
from evaluation.answer.jobs import KnownJob, compared_alike, distorted_jobs, resynthesized_jobs
from evaluation.answer.measure import accuracy, answer, gain, other_groups, past_jobs, verdicts
from evaluation.distort.distortions import DISTORTIONS, SAME_IMAGE
from evaluation.store import Store

SOURCES = ("a", "b", "c")
LAYOUT = {"block1": 6, "block2": 4}


def known_jobs(groups: int, noise: float = 0.6, seed: int = 0) -> list[KnownJob]:
    """Three jobs a group, one by each source: its own direction, the group's content, and noise of each image."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(3, 10))
    found = []
    for group in range(groups):
        content = 5 * random.normal(size=10)
        for truth in range(3):
            images = {
                source: (content + directions[at] + noise * random.normal(size=(4, 10))).astype(np.float32)
                for at, source in enumerate(SOURCES)
            }
            query = (content + directions[truth] + noise * random.normal(size=10)).astype(np.float32)
            unit = {source: rows / np.linalg.norm(rows, axis=1, keepdims=True) for source, rows in images.items()}
            taps = Taps(LAYOUT, query, images)
            found.append(KnownJob(str(group), SOURCES[truth], Path("none"), taps, query / np.linalg.norm(query), unit))
    return found


def test_residuals_with_past_jobs_are_right_more_often() -> None:
    """Of planted sources, without a bank and with one; the paired interval of the gain is above 0."""
    jobs = known_jobs(40, noise=2.0)
    alone = answer(jobs)
    banked = answer(jobs, banks=other_groups(jobs, past_jobs(jobs), 60))
    assert 1 / 3 < accuracy(alone)["accuracy"] < accuracy(banked)["accuracy"]
    assert gain(banked, alone)[0] > 0
    low, high = accuracy(banked)["interval_95"]
    assert low < accuracy(banked)["accuracy"] < high


def test_a_bank_never_has_a_job_of_the_same_group() -> None:
    """A query must not meet what was made of its own prompt."""
    jobs = known_jobs(6)
    banks = other_groups(jobs, past_jobs(jobs), 10)
    for job in jobs:
        bank = banks(job)
        assert bank is not None
        assert len(bank.past) == 10
        assert all(past.job.partition("/")[0] != job.group for past in bank.past)


def test_verdicts_are_counted() -> None:
    """Clear sources are named rightly, sets cover them; a source that is not asked is not named."""
    jobs = known_jobs(40, noise=0.3)
    banks = other_groups(jobs, past_jobs(jobs), 60)
    found = verdicts(answer(jobs, banks=banks, policy=Policy.CLOSED))
    assert found["queries"] == 120
    assert found["named"] > 0.8
    assert found["named_rightly"] > 0.95
    assert found["sets_cover"] > 0.9
    assert found["calibration_error"] < 0.3
    strangers = [job.only(("a", "b")) for job in jobs if job.truth == "c"]
    assert all(each.verdict.kind is not VerdictKind.ATTRIBUTED for each in answer(strangers))


def test_relatives_count_as_one() -> None:
    """`alike` maps relatives to one name, of the answer and of the truth."""
    answers = answer(known_jobs(10, noise=3.0), Method.COSINE)
    assert accuracy(answers, dict.fromkeys(SOURCES, "family"))["accuracy"] == 1.0
    assert accuracy(answers)["accuracy"] < 1.0


@pytest.mark.parametrize("name", ["jpeg-50", "half-size"])
def test_only_the_query_is_distorted(tmp_path: Path, name: str) -> None:
    """Its features change, those of the generated images stay."""
    noise = np.random.default_rng(3).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "query.png")
    embedder = FakeEmbedder()
    width = sum(layout(embedder).values())
    rows = np.zeros((2, width), np.float32)
    taps = Taps(layout(embedder), np.zeros(width, np.float32), {"a": rows, "b": rows})
    job = KnownJob("1", "a", tmp_path / "query.png", taps, np.zeros(64, np.float32), {})
    (changed,) = distorted_jobs([job], {**DISTORTIONS, **SAME_IMAGE}[name], embedder, Store(tmp_path / "store"))
    assert changed.taps.query.any()
    assert changed.query.any()
    assert changed.taps.generated_images is taps.generated_images


@pytest.mark.parametrize(("name", "side"), [("size-50", 20), ("webp-80", None)])
def test_all_images_of_a_job_are_reduced_with_a_small_query(tmp_path: Path, name: str, side: int | None) -> None:
    """As the service does it; a query that was compressed alone leaves the generated images as they are."""
    random = np.random.default_rng(3)
    files = [tmp_path / f"{at}.png" for at in range(3)]
    for file in files:
        Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(file)
    embedder, store = FakeEmbedder(), Store(tmp_path / "store")
    rows = [("1", "a", files[0], {"a": [files[1]], "b": [files[2]]})]
    (job,) = resynthesized_jobs(rows, embedder, store)
    (changed,) = distorted_jobs([job], {**DISTORTIONS, **SAME_IMAGE}[name], embedder, store)
    assert changed.taps.side == side
    assert not np.allclose(changed.taps.query, job.taps.query)
    assert np.allclose(changed.taps.generated_images["a"], job.taps.generated_images["a"]) is (side is None)
    assert compared_alike([job], embedder, store)[0].taps is job.taps
