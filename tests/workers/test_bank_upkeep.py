"""What an operator does with the bank: an opt-out, a rebuild, export and import, and filling it from captions."""

import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from app.cli import main
from app.db.models import DEFAULT_TENANT, BankContribution
from app.settings import load_settings
from attribution.bank.files import pack_bank, unpack_bank
from attribution.embed.stage import feature_space
from attribution.errors import ConfigurationError
from tests.workers.harness import Bench
from tests.workers.processes import environment_of
from tests.workers.test_bank import THREE, contributions, delete, run, space_of
from workers.bank_cli import app
from workers.bank_rows import past_job_of
from workers.bank_snapshots import compile_snapshot
from workers.bank_upkeep import import_bank, rebuild
from workers.contribute import contribute
from workers.warm import warm

Make = Callable[..., Bench]
Command = Callable[..., str]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Bench], Command]:
    """Runs `workers bank …` with the settings of a bench; returns what it printed."""

    def of(here: Bench) -> Command:
        for name, value in environment_of(here.process.settings).items():
            monkeypatch.setenv(name, value)
        load_settings.cache_clear()

        def ran(*arguments: str, status: int = 0) -> str:
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == status, result.output
            return result.output

        return ran

    return of


def alike(one: dict[uuid.UUID, BankContribution], other: dict[uuid.UUID, BankContribution]) -> bool:
    """Whether contributions are the same to rounding."""
    return {job: (row.sources, row.counts) for job, row in one.items()} == {
        job: (row.sources, row.counts) for job, row in other.items()
    } and all(
        np.allclose(past_job_of(one[job]).images[source], past_job_of(other[job]).images[source], atol=2e-3)
        for job in one
        for source in one[job].sources
    )


def test_a_rebuild_equals_what_grew_job_by_job(bench: Make) -> None:
    """Also after projection, repeated captions and a deletion; and with a new basis it has the same distances."""
    here = bench(THREE)
    storage = here.process.storage
    jobs = run(here, *(f"hare {number % 35}" for number in range(36)))
    for _ in range(3):
        contribute(storage, 0.05)
        compile_snapshot(storage, space_of(here, jobs[0]))
    contribute(storage, 60)
    delete(here, jobs[3])
    before = compile_snapshot(storage, space_of(here, jobs[0]))
    grown = contributions(here)
    assert jobs[3] not in grown
    rebuild(storage, new_basis=False)
    assert alike(grown, contributions(here))
    after = compile_snapshot(storage, space_of(here, jobs[0]))
    assert before is not None
    assert after is not None
    assert [job.job for job in after.past] == [job.job for job in before.past]
    rebuild(storage, new_basis=True)
    again = contributions(here)
    assert set(again) == set(grown)
    assert {row.basis for row in again.values()} != {None}


def test_an_opt_out_deletes(bench: Make, command: Callable[[Bench], Command], capsys: pytest.CaptureFixture) -> None:
    """What a tenant's jobs contributed goes at once, nothing comes back, and what was imported stays."""
    here = bench(THREE)
    storage = here.process.storage
    jobs = run(here, "a hare", "a fox")
    contribute(storage, 60)
    waiting = here.submit(prompt="an owl", cache=False)
    command(here)
    assert main(["tenants", "bank", "default", "--contribute", "false"]) == 0
    assert "2 contributions deleted" in capsys.readouterr().out
    here.run()
    rebuild(storage, new_basis=False)
    assert main(["tenants", "bank", "default", "--contribute", "default"]) == 0
    rebuild(storage, new_basis=False)
    assert contributions(here) == {}
    assert here.job(waiting).contributes is None
    bank = compile_snapshot(storage, space_of(here, jobs[0]))
    assert bank is not None
    assert bank.past == ()


def test_export_and_import(bench: Make, command: Callable[[Bench], Command], tmp_path: Path) -> None:
    """What was exported comes back behind the installation's own, once however often, with its basis."""
    here = bench(THREE)
    storage = here.process.storage
    jobs = run(here, *(f"hare {number}" for number in range(30)))
    contribute(storage, 60)
    file = tmp_path / "bank.npz"
    ran = command(here)
    ran("export", str(file))
    exported = unpack_bank(file.read_bytes(), "here")
    assert pack_bank(exported) == file.read_bytes()
    assert not any(str(job) in str(exported.past) or job.hex in str(exported.past) for job in jobs)
    assert import_bank(storage, exported) == 30  # they are hidden behind the same jobs
    same = compile_snapshot(storage, exported.space)
    assert same is not None
    assert same.version == exported.version
    with storage.database.transaction() as session:
        session.execute(text("DELETE FROM bank_contributions"))
        session.execute(text("DELETE FROM bank_bases"))
    assert ran("import", str(file)).strip() == "30 jobs"
    assert ran("import", str(file)).strip() == "0 jobs"
    (own,) = run(here, "an owl")
    contribute(storage, 60)
    both = compile_snapshot(storage, exported.space)
    assert both is not None
    assert [job.job for job in both.past[:30]] == [job.job for job in exported.past]
    assert both.past[30].images["a@1"].shape == both.past[0].images["a@1"].shape
    assert contributions(here)[own].basis is not None
    assert exported.space in ran("show")
    assert "a@1  31 jobs" in ran("show")
    (tmp_path / "broken.npz").write_bytes(file.read_bytes()[:-100])
    assert "not a bank of schema 1" in ran("import", str(tmp_path / "broken.npz"), status=2)


def test_a_shipped_bank_is_there_at_once(bench: Make, tmp_path: Path) -> None:
    """Before anything was compiled, and behind what the installation's own jobs contribute later."""
    here = bench(THREE)
    jobs = run(here, "a hare", "a fox")
    contribute(here.process.storage, 60)
    bank = compile_snapshot(here.process.storage, space_of(here, jobs[0]))
    assert bank is not None
    (tmp_path / "bank.npz").write_bytes(pack_bank(bank))
    for job in jobs:
        delete(here, job)
    with here.process.storage.database.transaction() as session:
        session.execute(text("DELETE FROM bank_snapshots"))
    later = bench(THREE, bank={"shipped": [tmp_path / "bank.npz"]})
    shipped = later.process.storage.banks.newest(bank.space)
    assert shipped is not None
    assert shipped.version == bank.version
    run(later, "an owl")
    contribute(later.process.storage, 60)
    both = compile_snapshot(later.process.storage, bank.space)
    assert both is not None
    assert len(both.past) == 3
    assert [job.job for job in both.past[:2]] == [job.job for job in bank.past]


def test_a_worker_does_not_start_with_a_broken_bank(bench: Make, tmp_path: Path) -> None:
    """The error names the file; with banks switched off it is not read."""
    (tmp_path / "bank.npz").write_bytes(b"PK")
    here = bench(THREE, bank={"shipped": [tmp_path / "bank.npz"]})
    with pytest.raises(ConfigurationError, match=r"bank\.npz"):
        here.process.storage.banks.check()
    bench(THREE, bank={"shipped": [tmp_path / "bank.npz"], "enabled": False}).process.storage.banks.check()


def test_warming(bench: Make, command: Callable[[Bench], Command], tmp_path: Path) -> None:
    """A list of captions fills the bank once, as jobs with these captions would; the operator's rules refuse some."""
    here = bench(THREE, platform="local")
    process = here.process
    with process.storage.database.transaction() as session:
        insert = "INSERT INTO text_rules (tenant_id, name, kind, pattern) VALUES (:tenant, 'no', 'words', 'secret')"
        session.execute(text(insert), {"tenant": DEFAULT_TENANT})
    file = tmp_path / "captions.txt"
    file.write_text("a hare\n\na secret\na fox\nA HARE\n")
    ran = command(here)
    assert ran("warm", str(file), "--images-per-source", "2").strip().endswith("2 captions added")
    assert ran("warm", str(file), "--images-per-source", "2").strip().endswith("0 captions added")
    warmed = {row.caption_hash: row for row in contributions(here).values()}
    assert {row.tenant_id for row in warmed.values()} == {None}
    with process.storage.database.transaction() as session:
        session.execute(text("DELETE FROM bank_contributions"))
    run(here, "a hare")
    contribute(process.storage, 60)
    (row,) = contributions(here).values()
    same = past_job_of(warmed[row.caption_hash])
    assert all(np.array_equal(rows, same.images[source]) for source, rows in past_job_of(row).images.items())
    sources = process.models.local_sources()
    assert warm(process, ["a bee", "an ant"], sources, images=2, jobs=1, seconds=60) == 1
    assert warm(process, ["a cow"], sources, images=2, jobs=9, seconds=-1) == 0
    assert space_of(here, row.job_id) == feature_space(process.models.embedder().ref)
