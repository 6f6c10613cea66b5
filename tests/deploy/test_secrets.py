"""The scripts that give servers their passwords, run with the real servers; and the command that pins images."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError
from sqlalchemy import make_url

import devstack
from devstack.binaries import find
from tests.conftest import REPOSITORY
from tests.waiting import wait_until

PASSWORD = "a1b2c3d4e5f6"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder as containers have one."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name in ("redis_password", "service_password"):
        (folder / name).write_text(PASSWORD)
    return folder


def on_path(folder: Path, **scripts: str) -> dict[str, str]:
    """The environment with these commands before all others."""
    folder.mkdir()
    for name, text in scripts.items():
        file = folder / name.replace("_", "-")
        file.write_text(text)
        file.chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture
def broker(tmp_path: Path, secrets: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Valkey, started by the script of its container, on a Unix socket."""
    environment = on_path(
        tmp_path / "bin",
        docker_entrypoint='#!/bin/sh\nexec "$@"\n',
    )
    (tmp_path / "bin" / "docker-entrypoint").rename(tmp_path / "bin" / "docker-entrypoint.sh")
    (tmp_path / "bin" / "valkey-server").symlink_to(find(tmp_path, None).valkey)
    command = ["sh", str(REPOSITORY / "docker/valkey.sh"), "--port", "0", "--unixsocket", str(tmp_path / "socket")]
    process = subprocess.Popen(
        [*command, "--dir", str(tmp_path)], env=environment | {"SECRETS": str(secrets)}, stdout=subprocess.DEVNULL
    )
    yield process
    process.terminate()
    process.wait(10)


def test_valkey_has_its_password_and_no_list_of_processes_shows_it(
    broker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """The arguments are those of the compose file, and SIGTERM reaches the server."""
    socket = str(tmp_path / "socket")
    wait_until((tmp_path / "socket").exists)
    with Redis(unix_socket_path=socket, password=PASSWORD) as client:
        assert client.ping()
    with Redis(unix_socket_path=socket) as stranger, pytest.raises(AuthenticationError):
        stranger.ping()
    arguments = Path(f"/proc/{broker.pid}/cmdline").read_bytes()
    assert b"valkey-server" in arguments
    assert PASSWORD.encode() not in arguments
    broker.terminate()
    assert broker.wait(10) == 0


def test_the_services_role_is_made_with_its_password(servers: devstack.Servers, secrets: Path, tmp_path: Path) -> None:
    """By the script that Postgres' image runs for a new database."""
    url = make_url(servers.database_url)
    environment = on_path(tmp_path / "bin") | {
        "SECRETS": str(secrets),
        "POSTGRES_USER": url.username or "",
        "POSTGRES_DB": url.database or "",
        "PGHOST": url.host or "",
        "PGPORT": str(url.port),
        "PGPASSWORD": str(url.password or ""),
    }
    (tmp_path / "bin" / "psql").symlink_to(find(tmp_path, None).postgres.with_name("psql"))
    subprocess.run(["sh", str(REPOSITORY / "docker/service_role.sh")], env=environment, check=True)
    mine = url.set(username="whodrew_service", password=PASSWORD).render_as_string(hide_password=False)
    with psycopg.connect(mine) as connection:
        found = connection.execute("SELECT rolname, rolsuper FROM pg_roles WHERE rolname = user").fetchone()
    assert found == ("whodrew_service", False)
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute("DROP ROLE whodrew_service")


@pytest.mark.parametrize("answer", ["sha256:" + "ab" * 32, "no such image", ""])
def test_images_are_pinned_by_the_registrys_digests(tmp_path: Path, answer: str) -> None:
    """A line for each variable that compose has; where the registry gives no digest, nothing is written for it."""
    environment = on_path(tmp_path / "bin", docker=f'#!/bin/sh\necho "{answer}"\n')
    found = subprocess.run(
        [sys.executable, REPOSITORY / "docker/pin_images.py"], env=environment, capture_output=True, text=True
    )
    variables = re.findall(r"^#(\w+_IMAGE)=(.+)$", (REPOSITORY / ".env.example").read_text(), re.MULTILINE)
    if answer.startswith("sha256:"):
        assert found.returncode == 0
        assert sorted(found.stdout.splitlines()) == sorted(f"{name}={tag}@{answer}" for name, tag in variables)
    else:
        assert found.returncode != 0
        assert found.stdout == ""
