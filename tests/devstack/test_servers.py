"""The servers as a whole: what users of them rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from devstack import Servers, servers
from devstack.state import fallbacks
from tests.waiting import wait_until

Register = Callable[[], dict[str, dict[str, int]]]

# Starts servers and a process with a child that ignores its stop signal, says so, and waits to be killed.
OWNER = """
import sys, time
from pathlib import Path
from devstack import servers
from devstack.process import ProcessSpec
directory = Path(sys.argv[1])
with servers(directory) as running:
    script = 'trap "" TERM; sleep 1000 & echo $! > "$0"; while :; do wait; sleep 0.1; done'
    argv = ("/bin/sh", "-c", script, str(directory / "grandchild"))
    running.supervisor.start([ProcessSpec("stubborn", argv, directory / "log" / "stubborn.log", grace=1.0)])
    print("up", flush=True)
    time.sleep(1000)
"""


def test_both_servers_answer(servers: Servers) -> None:
    """The addresses work as they are, and the durability that the design counts on is switched on."""
    with psycopg.connect(servers.database_url) as connection:
        version = "current_setting('server_version_num')::int / 10000"
        row = connection.execute(f"SELECT current_setting('fsync'), {version}").fetchone()
    assert row == ("on", 18)
    with redis.Redis.from_url(servers.redis_url) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(servers.database_url.replace("whodrew:", "whodrew:wrong"))


def test_a_killed_server_comes_back_with_its_data(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After kill -9 both servers answer at the same address again, and what was acknowledged is there.

    The path has spaces (see the fixture) and the locale does not exist: neither may matter.
    """
    monkeypatch.setenv("LC_ALL", "xx_NOWHERE")
    with servers(state_dir) as running:
        with psycopg.connect(running.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        with client_of(running) as client:
            client.set("kept", "42")
        for name in ("postgres", "valkey"):
            pid = running.supervisor.pid(name)
            assert pid
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: {running.supervisor.starts(name) for name in ("postgres", "valkey")} == {2})
        wait_until(lambda: answer(running.database_url) == 42)
        with client_of(running) as client:
            assert client.get("kept") == b"42"
    with servers(state_dir) as again:  # and over a stop and a start
        assert answer(again.database_url) == 42
        with client_of(again) as client:
            assert client.get("kept") == b"42"


def test_everything_dies_with_a_killed_owner(state_dir: Path, register: Register) -> None:
    """kill -9 of the supervisor ends servers, processes and their children; a new start waits for that, then works."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(state_dir)], stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout
        assert owner.stdout.readline() == "up\n"
        wait_until(lambda: (state_dir / "grandchild").exists() and len(register()) == 3)
        pids = [entry["pid"] for entry in register().values()]
        pids.append(int((state_dir / "grandchild").read_text()))
        assert all(running(pid) for pid in pids)
    finally:
        owner.kill()
        owner.communicate()
    with servers(state_dir) as again:  # waits for the reaper
        assert not any(running(pid) for pid in pids)
        with psycopg.connect(again.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_stale_pid_file_does_not_matter(state_dir: Path) -> None:
    """A stale pid file with the pid of another process (here: ours) neither prevents a start nor harms that process."""
    with servers(state_dir):
        (data,) = data_of(state_dir)
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n")
    (data.parent / "valkey" / "valkey.pid").write_text(f"{os.getpid()}\n")
    with servers(state_dir) as running:
        assert running.supervisor.starts("postgres") == 1


def test_servers_named_in_the_environment_are_used(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With both addresses given nothing is started at all."""
    monkeypatch.setenv("DATABASE__URL", "postgresql://elsewhere/db")
    monkeypatch.setenv("REDIS__URL", "redis://elsewhere/0")
    with servers(state_dir) as running:
        assert (running.database_url, running.redis_url) == ("postgresql://elsewhere/db", "redis://elsewhere/0")
        assert running.supervisor.names() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down to another account")
def test_root_finds_a_place_its_servers_can_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout under a directory closed to everybody else works for root: the data goes where Postgres may go."""
    monkeypatch.delenv("DATABASE__URL", raising=False)
    monkeypatch.setenv("REDIS__URL", "redis://elsewhere/0")
    tmp_path.chmod(0o700)
    state_dir = tmp_path / "state"
    try:
        with servers(state_dir) as running, psycopg.connect(running.database_url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert [data.parent for data in data_of(state_dir)] == [next(p for p in fallbacks(state_dir) if p.exists())]
        assert data_of(state_dir)[0].stat().st_uid != 0
    finally:
        done = subprocess.run(
            [sys.executable, "-m", "devstack", "clean"], env={**os.environ, "STATE_DIR": str(state_dir)}
        )
    assert done.returncode == 0
    assert data_of(state_dir) == []


def answer(database_url: str) -> int | None:
    """The row that must survive, None while the server is unavailable."""
    try:
        with psycopg.connect(database_url) as connection:
            row = connection.execute("SELECT answer FROM kept").fetchone()
            return row[0] if row else None
    except psycopg.OperationalError:
        return None


def client_of(running: Servers) -> redis.Redis:
    """A client that waits for a server that is coming back."""
    return redis.Redis.from_url(running.redis_url, retry=Retry(ConstantBackoff(0.2), 50))


def data_of(state_dir: Path) -> list[Path]:
    """The Postgres data directory, wherever it had to go."""
    return [p / "postgres" for p in (state_dir / "servers", *fallbacks(state_dir)) if (p / "postgres").exists()]


def running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
