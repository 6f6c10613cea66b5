"""A bank as a value: what it knows of a list of sources, and when that is too little."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from attribution.bank import Bank
from attribution.bank.basis import make_basis, projected
from attribution.bank.calibration import FEWEST_JOBS, PRECISION
from tests.attribution.bank.synthetic import LENGTH, synthetic_past

ABC = ("a@1", "b@1", "c@1")
ALONE = {source: source for source in (*ABC, "b2@1", "new@1")}


@pytest.fixture(scope="module")
def bank() -> Bank:
    """Thirty jobs of three sources."""
    return Bank("s", synthetic_past(30, ["a", "b", "c"]))


def test_too_few_jobs_are_no_experience() -> None:
    """From five on there is one; jobs that lack all but one of the sources do not count."""
    past = synthetic_past(FEWEST_JOBS, ["a", "b", "c"])
    assert Bank("s", past[1:]).experience(ABC, ALONE, 4) is None
    assert Bank("s", past).experience(ABC, ALONE, 4) is not None
    assert Bank("s", past).experience(("a@1", "new@1"), ALONE, 4) is None
    assert Bank("s", past).experience(("a@2", "b@2"), {"a@2": "a", "b@2": "b"}, 4) is None
    assert Bank("s", ()).experience(ABC, ALONE, 4) is None


def test_a_source_that_is_new_has_a_model_and_no_calibration(bank: Bank) -> None:
    """No past image of it can be asked about; the model expects its residual where the job's own images have it."""
    known = bank.experience((*ABC, "new@1"), ALONE, 4)
    assert known is not None
    assert known.calibration is None
    assert known.model.sources == (*ABC, "new@1")
    whole = bank.experience(ABC, ALONE, 4)
    assert whole is not None
    assert whole.calibration is not None


def test_it_is_learned_once(bank: Bank) -> None:
    """However many threads ask; another order, other families or another γ are another question."""
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: bank.experience(ABC[::-1], ALONE, 4), range(8)))
    assert all(each is found[0] for each in found)
    assert found[0] is not bank.experience(ABC, ALONE, 4)
    assert bank.experience(ABC, ALONE, 4) is bank.experience(ABC, dict(zip(ABC, "xyz", strict=True)), 4)
    assert bank.experience(ABC, ALONE, 4) is not bank.experience(ABC, dict(zip(ABC, "xxz", strict=True)), 4)
    assert bank.experience(ABC, ALONE, 1) is not bank.experience(ABC, ALONE, 4)


def test_sources_that_are_confused_are_one_group() -> None:
    """A copy of a source is confused with it; relatives by family are one group as well."""
    copies = Bank("s", synthetic_past(30, ["a", "b", "b2", "c"]))
    known = copies.experience(("a@1", "b@1", "b2@1", "c@1"), ALONE, 4)
    assert known is not None
    assert known.calibration is not None
    groups = known.calibration.groups
    assert groups[1] == groups[2]
    assert len({groups[0], groups[1], groups[3]}) == 3
    assert known.calibration.group_rule is not None
    source, group = known.calibration.source_rule.measured, known.calibration.group_rule.measured
    assert source.named < group.named
    assert group.right is not None
    assert group.right >= PRECISION
    related = Bank("s", copies.past).experience(ABC, {"a@1": "x", "b@1": "y", "c@1": "x"}, 4)
    assert related is not None
    assert related.calibration is not None
    assert related.calibration.groups[0] == related.calibration.groups[2] != related.calibration.groups[1]


def test_its_version_is_its_content(bank: Bank) -> None:
    """The same jobs, the same version; another space, job or number, another one."""
    past = bank.past
    assert Bank("s", synthetic_past(30, ["a", "b", "c"])).version == bank.version
    changed = synthetic_past(30, ["a", "b", "c"])
    changed[3].images["b@1"][0, 0] += 1
    assert len({bank.version, *(Bank(*each).version for each in [("t", past), ("s", past[1:]), ("s", changed)])}) == 4
    assert bank.jobs == dict.fromkeys(ABC, 30)


def test_on_a_basis_it_answers_alike(bank: Bank) -> None:
    """Projected past jobs and projected queries have the scores of whole ones, but for rounding."""
    basis = make_basis(bank.past)
    small = Bank("s", tuple(projected(job, basis) for job in bank.past), basis)
    queries = np.random.default_rng(1).normal(size=(4, LENGTH)) / 5
    means = queries[:3] / 2 - (queries[:3] / 2).mean(axis=0)
    scores = []
    for each in (bank, small):
        known = each.experience(ABC, ALONE, 4)
        assert known is not None
        asked, own = (each.project(rows) @ known.directions for rows in (queries, means))
        found = known.model.scores(asked, own, 4)
        scores.append(found - found.mean(axis=1, keepdims=True))
    assert np.allclose(scores[0], scores[1], atol=0.05 * np.abs(scores[0]).max())
