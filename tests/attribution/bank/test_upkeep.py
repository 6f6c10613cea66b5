"""Files of banks, their basis, their window and drift."""

import io
from pathlib import Path

import numpy as np
import pytest

from attribution.bank import Bank, PastJob
from attribution.bank.basis import DIMENSIONS, make_basis, moved, projected, whole
from attribution.bank.drift import drift
from attribution.bank.files import load_banks, pack_bank, unpack_bank
from attribution.bank.window import newest_window
from attribution.errors import ConfigurationError

LENGTH = 400


def past(seed: int, sources: str = "a@1 b@1 c@1", rank: int = 20, images: int = 4) -> PastJob:
    """A past job whose residuals lie in a few directions, but for noise; they sum to nothing over the sources."""
    directions = np.random.default_rng(1).normal(size=(rank, LENGTH))
    random = np.random.default_rng(seed)
    rows = {source: random.normal(size=(images, rank)) @ directions / 50 for source in sources.split()}
    content = np.mean(list(rows.values()), axis=(0, 1))
    return PastJob(
        f"{seed:032x}", {source: (each - content).astype(np.float16) for source, each in rows.items()}, LENGTH
    )


def test_a_file_has_the_whole_bank_and_always_the_same_bytes() -> None:
    """With and without a basis, and with no job at all."""
    jobs = tuple(past(seed, "a@1 b@2" if seed % 2 else "a@1 c@1 d@7", images=1 + seed % 3) for seed in range(9))
    basis = make_basis(jobs)
    for bank in (Bank("s", jobs), Bank("s", tuple(projected(job, basis) for job in jobs), basis), Bank("s", ())):
        data = pack_bank(bank)
        again = unpack_bank(data, "here")
        assert pack_bank(again) == data
        assert again.version == bank.version
        assert [job.job for job in again.past] == [job.job for job in bank.past]
        assert all(
            np.array_equal(rows, mine.images[source])
            for job, mine in zip(again.past, bank.past, strict=True)
            for source, rows in job.images.items()
        )
        assert (again.basis is None) == (bank.basis is None)


@pytest.mark.parametrize("change", ["truncated", "schema", "rows", "pickle", "numbers", "empty"])
def test_a_file_that_is_no_bank_is_refused(tmp_path: Path, change: str) -> None:
    """With its name and the reason; nothing in it is unpickled."""
    data = pack_bank(Bank("s", (past(1), past(2))))
    with np.load(io.BytesIO(data)) as read:
        arrays = dict(read)
    if change == "schema":
        arrays["schema"] = np.array(2)
    elif change == "rows":
        arrays["rows"] = arrays["rows"][1:]
    elif change == "pickle":
        arrays["jobs"] = np.array([{}, {}], object)
    elif change == "numbers":
        arrays["rows"][0, 0] = np.nan
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **arrays)
    changed = {"truncated": data[:-50], "empty": b""}.get(change, buffer.getvalue())
    (tmp_path / "bank.npz").write_bytes(changed)
    with pytest.raises(ConfigurationError, match=r"bank\.npz: not a bank of schema 1"):
        load_banks([tmp_path / "bank.npz"])


def test_a_basis_keeps_what_residuals_differ_in() -> None:
    """Distances between projected residuals are those between whole ones, and it is orthonormal and bounded."""
    jobs = [past(seed) for seed in range(30)]
    basis = make_basis(jobs)
    assert basis.shape[0] == LENGTH
    assert basis.shape[1] <= DIMENSIONS
    assert np.allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=5e-3)
    new = past(77)
    short = projected(new, basis)
    for source, rows in new.images.items():
        assert np.allclose(
            np.linalg.norm(rows.astype(float), axis=1), np.linalg.norm(short.images[source], axis=1), 0.02
        )
        assert np.allclose(whole(short, basis).images[source], rows, atol=0.02)


def test_a_past_job_moves_to_another_basis() -> None:
    """Into the same numbers as if it had been projected on that one, where both contain it."""
    jobs = [past(seed) for seed in range(60)]
    one, other = make_basis(jobs[:30]), make_basis(jobs[30:])
    direct, detour = projected(jobs[0], other), moved(projected(jobs[0], one), one, other)
    assert all(np.allclose(direct.images[source], detour.images[source], atol=0.03) for source in direct.images)
    assert moved(direct, other, other) is direct


def test_the_window_is_the_newest_jobs_with_the_shipped_ones_behind() -> None:
    """The same job counts once, as its own."""
    own, shipped = [past(seed) for seed in range(3)], [past(seed) for seed in (7, 8, 1)]
    assert [int(job.job, 16) for job in newest_window(own, shipped, 4)] == [8, 0, 1, 2]
    assert len(newest_window(own, shipped, 100)) == 5


def test_an_old_revision_stays_until_the_new_one_has_five_jobs() -> None:
    """Then it leaves, and with it the jobs that have only one source left."""
    old = [past(seed, "a@1 b@1") for seed in range(6)]
    new = [past(100 + seed, "a@1 b@2") for seed in range(5)]
    assert len(newest_window(old + new[:4], (), 300)) == 10
    assert newest_window(old + new, (), 300) == tuple(new)
    many = [past(seed, "a@1 b@1 c@1") for seed in range(6)]
    assert {frozenset(job.images) for job in newest_window(many + new, (), 300)[:6]} == {frozenset({"a@1", "c@1"})}


def test_drift_is_seen_and_chance_is_not() -> None:
    """About 1 for sources that did not change, far above for one that did, and nothing with few jobs."""
    jobs = [past(seed) for seed in range(60)]
    still = drift(jobs)
    assert all(0.3 < value < 2 for value in still.values())
    changed = [
        PastJob(
            job.job, {s: (r + np.float16(0.1) if s == "b@1" and at >= 50 else r) for s, r in job.images.items()}, LENGTH
        )
        for at, job in enumerate(jobs)
    ]
    found = drift(changed)
    assert found["b@1"] > 3
    assert found["a@1"] == still["a@1"]
    assert drift(jobs[:19]) == {}
