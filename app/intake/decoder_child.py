"""The program of the decoding children: a process that loads the decoders once, and forks a confined child when asked.

It is started with an empty environment and one open socket, and has nothing else of the service: no settings, no
connections, no keys. Messages are JSON in both directions; open files come with them. The forking process itself never
reads a caller's bytes.
"""

import contextlib
import gc
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

MAX_MESSAGE = 64 * 1024
MAX_FILES = 4
_OPEN_FILES = 32
READY, FORK = b"ready", b"fork"


def main() -> None:
    """Loads everything, then forks a child for each socket that arrives, and answers with its pidfd."""
    given = json.loads(sys.argv[1])
    sys.path[:] = given["path"]
    from app.intake import decoding

    decoding.preload(given["trust_list"] and Path(given["trust_list"]), evidence=given["evidence"])
    control = socket.socket(fileno=0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the service, which ends this
    signal.signal(signal.SIGCHLD, lambda *_: _reap())
    gc.freeze()  # shared with the children as long as it is not written to
    control.send(READY)
    while True:
        message, files, _, _ = socket.recv_fds(control, len(FORK), 1)
        if not message:
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # its pid must not be free before it has a pidfd
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            control.close()
            with contextlib.suppress(OSError):  # the service has ended
                channel = socket.socket(fileno=files[0])
                _serve(channel, given["memory_bytes"], given["file_bytes"], given["evidence"])
            os._exit(0)
        os.close(files[0])
        child = os.pidfd_open(pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        socket.send_fds(control, [b"%d" % pid], [child])
        os.close(child)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


class _Missing:
    """The last finder of modules: notes what a confined child would have had to load."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(self, name: str, *_: Any) -> None:
        self.names.append(name)


def _serve(channel: socket.socket, memory_bytes: int, file_bytes: int, evidence: bool) -> None:
    """Confines this process and runs tasks until the channel is closed."""
    from app.intake import sandbox

    silent = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):  # messages of libtiff would fill a pipe that is not read
        os.dup2(silent, standard)
    if evidence:
        from attribution.evidence.credentials import renew_contexts

        renew_contexts()
    in_force = sandbox.confine(memory_bytes, file_bytes, _OPEN_FILES)
    missing = _Missing()
    sys.meta_path[:] = [missing]
    channel.send(json.dumps(in_force).encode())
    while True:
        message, files, _, _ = socket.recv_fds(channel, MAX_MESSAGE, MAX_FILES)
        if not message:
            return
        missing.names.clear()
        answer = _answer(json.loads(message), files)
        for file in files:
            os.close(file)
        channel.send(json.dumps(answer | {"missing": missing.names[:20]}).encode())


def _answer(message: dict[str, Any], files: list[int]) -> dict[str, Any]:
    from app.intake import decoding
    from attribution.errors import ImageError

    try:
        return {"value": decoding.run(message["task"], files, message["options"])}
    except (ImageError, ValueError) as error:
        return {"error": type(error).__name__, "detail": str(error)[:1000]}
    except MemoryError:
        return {"error": "MemoryError"}
    except OSError as error:
        return {"error": "OSError", "detail": str(error)[:1000]}
    except Exception as error:
        return {"error": "bug", "detail": repr(error)[:1000]}


if __name__ == "__main__":
    main()
