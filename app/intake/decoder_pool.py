"""The parent's side of the decoding children: starts and kills them, hands them open files, and reads their answers.

A child serves one tenant only: one that a hostile file took over would see nothing but that tenant's other files. What
it answers is JSON, and is never trusted further than that.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from asyncio import Event, Lock, get_running_loop
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from anyio import CancelScope, fail_after

import app
import attribution
from app.intake import decoder_child
from app.intake.decoder_child import FORK, MAX_MESSAGE, READY
from app.intake.decoder_turns import DecoderTurns, NoDecoderFree
from app.intake.sandbox import COMPLETE
from app.telemetry.metrics import DECODER_SANDBOX

log = structlog.get_logger(__name__)

# Seconds. Loading takes half of one, on a busy computer far more; forking takes milliseconds.
_LOADING, _FORKING = 60.0, 10.0
# Modules whose absence is reported once each: `decoding.preload` should load them.
_MOST_REPORTED = 100
# Some Pythons need the second one. Libraries that make a thread for each core would make them in each child.
_INHERITED = ("LD_LIBRARY_PATH",)
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class DecoderDied(Exception):
    """The child ended, or answered something that is no answer; it is replaced."""


@dataclass(frozen=True, slots=True)
class ChildSettings:
    """The limits of each child, and its program; `trust_list` is read before anything of a caller is.

    `evidence`: whether children can read evidence.
    """

    memory_bytes: int
    file_bytes: int
    trust_list: Path | None
    evidence: bool
    program: str = decoder_child.__file__


@dataclass(frozen=True, slots=True)
class _Child:
    channel: socket.socket
    pidfd: int
    pid: int
    tenant_id: uuid.UUID | None

    async def ask(self, message: bytes, files: Sequence[int]) -> dict[str, Any]:
        """Raises DecoderDied."""
        try:
            socket.send_fds(self.channel, [message], files)
            given = await get_running_loop().sock_recv(self.channel, MAX_MESSAGE)
            answer = json.loads(given)
        except (OSError, ValueError, RecursionError) as error:
            raise DecoderDied from error
        if not isinstance(answer, dict):
            raise DecoderDied
        return answer

    @property
    def dead(self) -> bool:
        """Whether it has ended, or has said something without being asked."""
        try:
            self.channel.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def end(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        self.channel.close()
        os.close(self.pidfd)


class DecoderPool:
    """Belongs to one event loop; nothing starts before the first task. `close` ends all children."""

    def __init__(self, settings: ChildSettings, total: int, per_tenant: int, longest_wait: float) -> None:
        self._settings = settings
        self._turns = DecoderTurns(total, per_tenant)
        self._longest_wait = longest_wait
        self._idle: deque[_Child] = deque()
        self._total = total
        self._busy = 0
        self._starting = Lock()
        self._missing: set[str] = set()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    async def run(
        self,
        tenant_id: uuid.UUID | None,
        task: str,
        files: Sequence[int],
        options: Mapping[str, Any],
        patience: float,
    ) -> dict[str, Any]:
        """The answer of a child: `value`, or `error` and `detail`. A canceled task's child is killed.

        Args:
            tenant_id: Whose file it is; None for a child that is used once.
            task: The name of one of `decoding.TASKS`.
            files: Open files, in the order of the task's arguments. They stay open here.
            options: The task's other arguments.
            patience: After so many seconds the child is killed.

        Raises:
            NoDecoderFree: No child became free in time, or none can be started.
            TimeoutError: The child did not answer in time.
            DecoderDied: The child ended.
        """
        message = json.dumps({"task": task, "options": options}).encode()
        async with self._turns.take(tenant_id, self._longest_wait):
            self._busy += 1
            try:
                child = await self._child(tenant_id)
                try:
                    with fail_after(patience):
                        answer = await child.ask(message, files)
                except BaseException:
                    child.end()
                    raise
            finally:
                self._busy -= 1
            if tenant_id is None:
                child.end()
            else:
                self._idle.append(child)
        for name in answer.get("missing") or ():
            if name not in self._missing and len(self._missing) < _MOST_REPORTED:
                self._missing.add(name)
                log.warning("decoder_module_missing", module=str(name)[:200])
        return answer

    def pids(self) -> list[int]:
        """Of the children that wait for a task."""
        return [child.pid for child in self._idle]

    def close(self) -> None:
        """Ends the children, and the process that forks them."""
        while self._idle:
            self._idle.pop().end()
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None
        if self._control is not None:
            self._control.close()
            self._control = None

    async def _child(self, tenant_id: uuid.UUID | None) -> _Child:
        """An idle child of the tenant, or a new one in place of another tenant's that has been idle longest."""
        for child in reversed(self._idle):
            if child.tenant_id == tenant_id:
                self._idle.remove(child)
                if not child.dead:
                    return child
                child.end()
                break
        while self._idle and len(self._idle) + self._busy > self._total:
            self._idle.popleft().end()
        async with self._starting:
            with CancelScope(shield=True):  # half a conversation would end the forking process for all callers
                child = await self._fork(tenant_id)
        return child

    async def _fork(self, tenant_id: uuid.UUID | None) -> _Child:
        if self._server is not None and self._server.poll() is not None:
            self.close()
        try:
            control = self._control or await self._start()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                socket.send_fds(control, [FORK], [theirs.fileno()])
            with fail_after(_FORKING):
                pid, pidfd = await self._forked(control)
        except (OSError, TimeoutError) as error:
            log.error("decoder_not_started", error=str(error) or type(error).__name__)
            self.close()
            raise NoDecoderFree from error
        ours.setblocking(False)
        child = _Child(ours, pidfd, pid, tenant_id)
        try:
            with fail_after(_FORKING):
                in_force = json.loads(await get_running_loop().sock_recv(ours, MAX_MESSAGE))
        except (OSError, TimeoutError, ValueError) as error:
            child.end()
            raise NoDecoderFree from error
        for part in COMPLETE:
            DECODER_SANDBOX.labels(part).set(part in in_force)
        if missing := [part for part in COMPLETE if part not in in_force]:
            log.warning("decoder_sandbox_incomplete", missing=missing)
        return child

    async def _start(self) -> socket.socket:
        given = {
            "path": list(dict.fromkeys([*map(_root, (app, attribution)), *filter(None, sys.path)])),
            "memory_bytes": self._settings.memory_bytes,
            "file_bytes": self._settings.file_bytes,
            "trust_list": self._settings.trust_list and str(self._settings.trust_list.absolute()),
            "evidence": self._settings.evidence,
        }
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        with theirs:
            self._server = subprocess.Popen(  # noqa: S603 - our own words
                [sys.executable, "-I", "-S", self._settings.program, json.dumps(given)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=_ENVIRONMENT | {name: os.environ[name] for name in _INHERITED if name in os.environ},
            )
        self._control = control
        with fail_after(_LOADING):
            if await get_running_loop().sock_recv(control, len(READY)) != READY:
                raise OSError("the decoders cannot be loaded; standard error says why")
        return control

    async def _forked(self, control: socket.socket) -> tuple[int, int]:
        """The pid and pidfd of the new child."""
        loop = get_running_loop()
        readable = Event()
        loop.add_reader(control, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(control)
        message, files, _, _ = socket.recv_fds(control, 32, 1)
        if not message:
            raise OSError("the forking process has ended")
        return int(message), files[0]


def _root(package: Any) -> str:
    return str(Path(package.__file__).parent.parent)
