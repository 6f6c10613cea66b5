"""The operator's command line for hash lists and text rules."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app.cli import main
from app.db.database import Database
from app.db.models import AuditEntry, HashList, HashListEntry, Tenant, TextRule
from app.settings import Settings, load_settings

Run = Callable[..., tuple[int, str, str]]
A, B, C = (digit * 64 for digit in "abc")


@pytest.fixture
def run(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs `python -m app screening …` on the test's database: exit status, standard output, standard error."""
    monkeypatch.setenv("DATABASE__URL", settings.database.url.get_secret_value())
    monkeypatch.setenv("REDIS__URL", settings.redis.url.get_secret_value())
    load_settings.cache_clear()

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["screening", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def hashes(database: Database, name: str) -> set[str]:
    """The hashes of the lists of that name."""
    with database.transaction() as session:
        found = session.scalars(select(HashListEntry.pdq).join(HashList).where(HashList.name == name))
        return {each.hex() for each in found}


def actions(database: Database) -> list[str]:
    """The actions in the audit log, oldest first."""
    with database.transaction() as session:
        return list(session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


def test_a_list_is_imported_and_deleted(run: Run, database: Database, tmp_path: Path) -> None:
    """Imported, shown, replaced by the next import, deleted; each change is audited."""
    file = tmp_path / "list.csv"
    file.write_text(f"hash,type,quality\n{A},pdq,100\n{A},pdq,100\n{B},pdq,90\nabc,md5,\n{C},pdq,3\n")
    status, out, _ = run("import", "--list", "house list", "--max-distance", "20", str(file))
    assert status == 0
    assert out.splitlines() == [
        "house list: 2 hashes",
        "ignored: 1 lines whose type is not PDQ",
        "ignored: 1 lines whose quality is below 50",
    ]
    assert run("lists")[1].startswith("house list\t2 hashes\tdistance 20\t")
    assert hashes(database, "house list") == {A, B}
    file.write_text(f"{C}\n")
    assert run("import", "--list", "house list", str(file))[0] == 0
    assert hashes(database, "house list") == {C}
    assert run("remove", "--list", "house list") == (0, "", "")
    assert run("lists") == (0, "", "")
    assert hashes(database, "house list") == set()
    assert actions(database) == ["hash_list.saved", "hash_list.saved", "hash_list.deleted"]


def test_an_invalid_file_changes_nothing(run: Run, database: Database, tmp_path: Path) -> None:
    """An error in the last of ten thousand lines leaves the list as it was, and names the line."""
    file = tmp_path / "list.csv"
    file.write_text(f"{A}\n")
    run("import", "--list", "house list", str(file))
    with database.transaction() as session:
        before = session.scalars(select(HashList)).one()
    generate = random.Random(1)
    file.write_text("".join(f"{generate.randbytes(32).hex()}\n" for _ in range(10_000)) + "oops\n")
    status, out, complaint = run("import", "--list", "house list", str(file))
    assert (status, out) == (2, "")
    assert f"{file}: line 10001: 'oops' is not a PDQ hash" in complaint
    assert "nothing was changed" in complaint
    assert hashes(database, "house list") == {A}
    with database.transaction() as session:
        assert session.scalars(select(HashList)).one().updated_at == before.updated_at
    assert actions(database) == ["hash_list.saved"]
    assert run("import", "--list", "another", str(file))[0] == 2
    assert "another" not in run("lists")[1]


def test_unknown_names_are_errors(run: Run, tmp_path: Path) -> None:
    """A file, a list, a rule, a tenant that does not exist: a sentence, and exit status 2."""
    assert run("import", "--list", "x", str(tmp_path / "nowhere.csv"))[::2] == (
        2,
        f"{tmp_path}/nowhere.csv cannot be read: No such file or directory.\n",
    )
    assert run("remove", "--list", "x")[::2] == (2, "There is no hash list 'x'; `lists` shows them.\n")
    assert run("rules", "remove", "x")[::2] == (2, "There is no text rule 'x'; `rules list` shows them.\n")
    assert run("lists", "--tenant", "x")[::2] == (2, "There is no tenant 'x'; `tenants list` shows them.\n")


def test_a_tenants_lists_and_rules_are_separate(run: Run, database: Database, tmp_path: Path) -> None:
    """A list for all tenants and one of a tenant may have the same name; each is shown and deleted by itself."""
    with database.transaction() as session:
        session.add(Tenant(name="acme"))
    file = tmp_path / "list.csv"
    file.write_text(f"{A}\n")
    run("import", "--list", "x", str(file))
    run("import", "--list", "x", "--tenant", "acme", str(file))
    run("rules", "add", "r", "--regex", "(?i)knife")
    run("rules", "add", "r", "gun", "kitchen knife", "--tenant", "acme")
    assert run("rules", "list")[1] == "r\tregex\t(?i)knife\n"
    assert run("rules", "list", "--tenant", "acme")[1] == "r\twords\tgun, kitchen knife\n"
    assert run("remove", "--list", "x")[0] == run("rules", "remove", "r")[0] == 0
    assert run("lists")[1] == run("rules", "list")[1] == ""
    assert run("lists", "--tenant", "acme")[1].startswith("x\t1 hashes")
    assert run("rules", "remove", "r", "--tenant", "acme")[0] == 0
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(TextRule)) == 0


def test_a_bad_rule_is_refused(run: Run, database: Database) -> None:
    """A pattern that RE2 refuses is an error, and so are phrases beside a pattern; nothing is stored."""
    assert run("rules", "add", "r", "gun", "--regex", "gun")[0] == run("rules", "add", "r")[0] == 2
    status, _, complaint = run("rules", "add", "r", "--regex", "(")
    assert status == 2
    assert "missing )" in complaint
    assert run("rules", "list")[1] == ""
    assert actions(database) == []


def test_a_rule_is_replaced(run: Run) -> None:
    """Adding a rule of an existing name changes it."""
    run("rules", "add", "r", "gun")
    run("rules", "add", "r", "--regex", "knife")
    assert run("rules", "list")[1] == "r\tregex\tknife\n"
