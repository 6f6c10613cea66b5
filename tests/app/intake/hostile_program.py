"""A decoding child that a hostile file has taken over: the child's own program, with other tasks than the real ones.

What a file can make a decoder do, these do on purpose. Started by `DecoderPool` in place of the real program.
"""

# ruff: noqa: PTH101, PTH104, PTH108, PTH116, PTH208

import ctypes
import fcntl
import gc
import json
import os
import resource
import socket
import sys
from collections.abc import Callable
from typing import Any

sys.path[:] = json.loads(sys.argv[1])["path"]
from app.intake import decoder_child, decoding  # noqa: E402


def attack(*files: int, secret: str, folder: str, port: int, parent: int) -> dict[str, Any]:
    """The outcome of each attempt: None where it succeeded, otherwise the error; and what the child has anyway."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: Any) -> None:
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)

    attempts: dict[str, Callable[[], Any]] = {
        "read a secret's file": lambda: os.open(secret, os.O_RDONLY),
        "read the service's environment": lambda: os.open(f"/proc/{parent}/environ", os.O_RDONLY),
        "read the service's memory": lambda: os.open(f"/proc/{parent}/mem", os.O_RDONLY),
        "trace the service": lambda: call("ptrace", 0x4206, parent, 0, 0),
        "learn whether a blob exists": lambda: os.stat(secret),
        "list a folder": lambda: os.listdir(folder),
        "write a file": lambda: os.open(folder + "/new", os.O_WRONLY | os.O_CREAT),
        "delete a blob": lambda: os.unlink(secret),
        "rename a blob": lambda: os.rename(secret, secret + "2"),
        "make it readable for all": lambda: os.chmod(secret, 0o777),
        "open a TCP socket": lambda: socket.create_connection(("127.0.0.1", port), timeout=1),
        "open a UDP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "open a Unix socket": lambda: socket.socket(socket.AF_UNIX),
        "make a pair of sockets": socket.socketpair,
        "start a process": os.fork,
        "run a program": lambda: os.execv("/bin/sh", ["sh", "-c", "true"]),
        "signal the service": lambda: os.kill(parent, 0),
        "signal everybody": lambda: os.kill(-1, 0),
        "limit the service": lambda: call("prlimit", parent, 7, None, None),
        "become another user": lambda: os.setuid(12_345),
        "allow itself more memory": lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
        "be dumpable": lambda: call("prctl", 4, 1, 0, 0, 0),
        "have signals sent": lambda: fcntl.fcntl(files[0], fcntl.F_SETOWN, parent),
        "map a device": lambda: os.open("/dev/mem", os.O_RDWR),
        "load a filter of its own": lambda: call("syscall", 321, 0, None, 0),
    }
    outcomes: dict[str, str | None] = {}
    for name, attempt in attempts.items():
        try:
            attempt()
        except Exception as error:
            outcomes[name] = type(error).__name__
        else:
            outcomes[name] = None
    return {"outcomes": outcomes, "environment": dict(os.environ), "open_files": _open_files(), "files": len(files)}


def _open_files() -> int:
    found = 0
    for number in range(3, 256):
        try:
            os.close(os.dup(number))
        except OSError:
            continue
        found += 1
    return found


def lie(*files: int, **_: Any) -> dict[str, Any]:
    """What the file itself says that the child is to answer, and to write where the file says its results."""
    size = os.lseek(files[0], 0, os.SEEK_END)
    os.lseek(files[0], 0, os.SEEK_SET)
    said = json.loads(os.read(files[0], size))
    for file, data in zip(files[1:], said["write"], strict=False):
        os.write(file, bytes.fromhex(data))
    if "raw" in said:
        (channel,) = [each for each in gc.get_objects() if isinstance(each, socket.socket) and each.fileno() >= 0]
        channel.send(bytes.fromhex(said["raw"]))
    answer: dict[str, Any] = said.get("answer", {})
    return answer


decoding.TASKS.update({"attack": attack, **dict.fromkeys(decoding.TASKS, lie)})

if __name__ == "__main__":
    decoder_child.main()
