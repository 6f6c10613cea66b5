"""The account of the servers: Postgres refuses to run as root, so root runs both as an ordinary account."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import DevstackError

# Postgres looks its uid up, so only accounts with a passwd entry will do.
ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """An account that root can change to."""

    name: str
    uid: int
    gid: int

    def can_run(self, argv: Sequence[str | Path]) -> bool:
        """Whether this account can execute a command: tried for real, which covers modes, ACLs and mounts."""
        try:
            done = subprocess.run(
                [os.fspath(part) for part in argv],
                user=self.uid, group=self.gid, extra_groups=[], cwd="/", env={"LC_ALL": "C"},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except OSError:
            return False
        return done.returncode == 0

    def can_enter(self, directory: Path) -> bool:
        """Whether every directory from the root down to this one is accessible for the account."""
        return self.can_run(["/bin/sh", "-c", 'cd -- "$1"', "sh", directory])


def server_account(data: Path) -> Account | None:
    """The account for the servers, or None for the present account.

    Existing data keeps its owner: the checkout may have been used by an ordinary user before.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (uid := data.stat().st_uid) != 0:
        return _account(pwd.getpwuid(uid))
    for name in ACCOUNTS:
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    raise DevstackError(f"Postgres does not run as root, and none of the accounts {ACCOUNTS} exists")


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def change_owner(path: Path, account: Account | None) -> None:
    """Make the servers' account the owner of a path; nothing to do when that is the present account."""
    if account is not None:
        os.chown(path, account.uid, account.gid)
