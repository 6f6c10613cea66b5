"""`python -m app tenants|keys|audit …`: what an operator does before callers can use the API."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from app.access import tenant_repository
from app.cli import main
from app.db.database import Database
from app.settings import Settings, load_settings

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Runs a command; returns its exit status and what it printed."""
    monkeypatch.setenv("DATABASE__URL", settings.database.url.get_secret_value())
    monkeypatch.setenv("REDIS__URL", settings.redis.url.get_secret_value())
    load_settings.cache_clear()

    def ran(*arguments: str) -> tuple[int, str]:
        status = main(arguments)
        return status, capsys.readouterr().out

    return ran


def test_a_tenant_and_its_first_key(run: Run, client: TestClient):
    """Standard output is the key and nothing else; it has its scopes until it is revoked."""
    assert run("tenants", "create", "acme")[0] == 0
    status, printed = run("keys", "create", "--tenant", "acme", "--name", "ci", "--scopes", "read", "--expires", "90d")
    assert status == 0
    key = printed.removesuffix("\n")
    assert re.fullmatch(r"wd_\w{8}_\w{49}", key)
    mine = {"Authorization": f"Bearer {key}"}
    assert client.get("/attribute", headers=mine).status_code == 200
    assert client.get("/keys", headers=mine).status_code == 403
    listed = run("keys", "list", "--tenant", "acme")[1]
    assert key not in listed
    assert re.search(r"read  ci  expires \d{4}-", listed)
    key_id = listed.split()[0]
    assert run("keys", "revoke", key_id)[0] == 0
    assert "revoked" in run("keys", "list", "--tenant", "acme")[1]
    log = run("audit", "list", "--tenant", "acme", "--subject", key_id)[1]
    assert re.findall(r"operator  ([\w.]+)", log) == ["key.revoked", "key.created"]


def test_limits_and_retention_of_a_tenant(run: Run, database: Database):
    """Given values are set, others stay, and `default` removes one."""
    run("tenants", "create", "acme")
    run("tenants", "limit", "acme", "--requests-per-minute", "60", "--concurrent-jobs", "5")
    run("tenants", "limit", "acme", "--requests-per-minute", "default")
    run("tenants", "limit", "acme", "--jobs-per-day", "500", "--bytes-per-day", "50000000000")
    run("tenants", "retain", "acme", "--images", "12h", "--results", "30d")
    with database.transaction() as session:
        row = tenant_repository.get_by_name(session, "acme")
    assert (row.requests_per_minute, row.concurrent_jobs) == (None, 5)
    assert (row.jobs_per_day, row.bytes_per_day) == (500, 50_000_000_000)
    assert (row.retain_images, row.retain_captions, row.retain_results) == (
        timedelta(hours=12),
        None,
        timedelta(days=30),
    )
    shown = (
        "acme  concurrent_jobs=5  jobs_per_day=500  bytes_per_day=50000000000  retain_images=0.5d  retain_results=30d"
    )
    assert shown in run("tenants", "list")[1]
    assert "tenant.retention_changed" in run("audit", "list")[1]


def test_the_spending_of_a_tenant(run: Run, database: Database):
    """Amounts and local_only are set one by one, shown, audited, and removed with `default`."""
    run("tenants", "create", "acme")
    run("tenants", "spend", "acme", "--budget-usd", "0.50", "--local-only", "true")
    run("tenants", "spend", "acme", "--max-budget-usd", "2")
    assert "acme  budget_usd=0.5  max_budget_usd=2  local_only=true" in run("tenants", "list")[1]
    run("tenants", "spend", "acme", "--budget-usd", "default", "--local-only", "false")
    with database.transaction() as session:
        row = tenant_repository.get_by_name(session, "acme")
    assert (row.budget_usd, row.max_budget_usd, row.local_only) == (None, 2, False)
    assert "tenant.spending_changed" in run("audit", "list")[1]
    assert run("tenants", "spend", "acme", "--budget-usd", "1e3") == (2, "")


def test_a_tenant_is_disabled_and_enabled(run: Run, client: TestClient):
    """Its keys are refused meanwhile, also those of the tenant `default`."""
    run("tenants", "disable", "default")
    assert client.get("/sources").status_code == 401
    assert "disabled since" in run("tenants", "list")[1]
    run("tenants", "enable", "default")
    assert "disabled" not in run("tenants", "list")[1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "create", "--tenant", "unknown", "--name", "x", "--scopes", "read"],
        ["keys", "revoke", "00000000-0000-0000-0000-000000000000"],
        ["tenants", "create", "default"],
        ["tenants", "disable", "unknown"],
        ["audit", "list", "--tenant", "unknown"],
    ],
)
def test_an_error_is_a_sentence(run: Run, arguments: list[str]):
    """Exit status 2, and nothing on standard output."""
    assert run(*arguments) == (2, "")


@pytest.mark.parametrize(
    "wrong",
    [["--scopes", "root"], ["--scopes", "read", "--expires", "1y"], ["--scopes", "read", "--expires", "0s"], []],
)
def test_invalid_arguments_are_refused(run: Run, wrong: list[str]):
    """Exit status 2, and no key is created."""
    assert run("keys", "create", "--name", "x", *wrong) == (2, "")
