"""Starts a supervised command: sets the parent-death signal, changes to the account, and executes the command.

Run as `python -I -S launcher.py OWNER SIGNAL UID GID command…`, never imported; standard library only. It is
a program because the same work in a `preexec_fn` would run Python between fork and exec of a process with threads.
OWNER is the pid that must still be our parent, SIGNAL what the kernel sends us when the thread that started us
ends; UID and GID are -1 to keep the present account.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(owner: int, death: int, uid: int, gid: int, command: list[str]) -> None:
    """Become the command, or exit 127 with a line saying why not."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)  # a job started with `&` inherits an ignored SIGINT
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":  # after setuid, which would clear it
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death, 0, 0, 0)
    if os.getppid() != owner:  # it ended before the signal was set
        raise SystemExit("the owner is gone")
    try:
        os.execv(command[0], command)  # noqa: S606 - the whole point
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error}\n")
        raise SystemExit(127) from error


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:5]]
    main(numbers[0], numbers[1], numbers[2], numbers[3], sys.argv[5:])
