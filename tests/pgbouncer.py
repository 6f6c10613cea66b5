"""PgBouncer in transaction mode before a Postgres, with two sessions for all clients."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from devstack.account import change_owner, server_account
from tests.waiting import wait_until

# Debian's place is not on every account's path.
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def pgbouncer(database_url: str, folder: Path) -> Iterator[str]:
    """The address of the database through it. `folder` is one that all accounts may enter."""
    assert PROGRAM is not None
    target = make_url(database_url)
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    users, configuration = folder / "users.txt", folder / "pgbouncer.ini"
    users.write_text(f'"{target.username}" "{target.password}"\n')
    configuration.write_text(
        f"""
        [databases]
        {target.database} = host={target.host} port={target.port}
        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {port}
        unix_socket_dir =
        auth_type = scram-sha-256
        auth_file = {users}
        pool_mode = transaction
        default_pool_size = 2
        """.replace("        ", "")
    )
    account = server_account(folder)  # it refuses to run as root
    for file in (users, configuration):
        change_owner(file, account)
    identity: dict[str, Any] = (
        {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}
    )
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([PROGRAM, configuration], stdout=log, stderr=log, **identity)
    try:
        wait_until(lambda: "process up" in (folder / "log").read_text(), 20)
        yield target.set(port=port).render_as_string(hide_password=False)
    finally:
        process.terminate()
        process.wait()
