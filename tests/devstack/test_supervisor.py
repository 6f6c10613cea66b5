"""Processes are kept alive, and ended when their time has come."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from devstack import process
from devstack.errors import StartFailed
from devstack.process import ProcessSpec
from devstack.servers import supervised
from devstack.state import StateDirectory
from devstack.supervisor import Supervisor
from tests.waiting import wait_until


def shell(state: StateDirectory, name: str, script: str, **more: object) -> ProcessSpec:
    """A process that is a shell script."""
    return ProcessSpec(name, ("/bin/sh", "-c", script), state.log / f"{name}.log", **more)  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_dies_is_started_again(state: StateDirectory, supervisor: Supervisor) -> None:
    """A killed process comes back under its name with another pid."""
    supervisor.start([shell(state, "sleeper", "exec sleep 1000")])
    first = supervisor.pid("sleeper")
    assert first
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervisor.pid("sleeper") not in (None, first))
    assert supervisor.starts("sleeper") == 2


def test_a_dead_supervisor_leaves_no_process(state: StateDirectory, supervisor: Supervisor) -> None:
    """When a process is killed, the children it had end before it is started again."""
    note = state.directory / "child"
    supervisor.start([shell(state, "parent", f'sleep 1000 & echo $! > "{note}"; wait')])
    wait_until(lambda: note.exists() and note.read_text().strip())
    child = int(note.read_text())
    parent = supervisor.pid("parent")
    assert parent
    assert alive(child)
    os.kill(parent, signal.SIGKILL)
    wait_until(lambda: not alive(child))


def test_stopping_is_patient_but_not_for_ever(state: StateDirectory) -> None:
    """The stop signal first, SIGKILL for who ignores it; children end too."""
    note = state.directory / "stubborn"
    with supervised(state) as supervisor:
        supervisor.start(
            [
                shell(state, "polite", f'trap "echo bye; exit" INT; echo > "{note}"; while :; do sleep 0.05; done',
                      stop_signal=signal.SIGINT),
                shell(state, "stubborn", 'trap "" TERM; echo ready; while :; do sleep 0.05; done', grace=0.3),
            ]
        )  # fmt: skip
        logs = [state.log / "stubborn.log", note]
        while not all(log.exists() and log.read_text() for log in logs):
            pass
        pids = [supervisor.pid("polite"), supervisor.pid("stubborn")]
    assert not any(alive(pid) for pid in pids if pid)
    assert (state.log / "polite.log").read_text() == "bye\n"


def test_who_never_gets_up_is_reported_with_its_log(state: StateDirectory, supervisor: Supervisor) -> None:
    """The error names the process, how it ended, and what it said last."""
    with pytest.raises(StartFailed, match=r"(?s)broken did not start: it ended with code 3.*no such luck"):
        supervisor.start([shell(state, "broken", "echo no such luck; exit 3", ready=lambda: False)])


def test_a_missing_program_is_reported(state: StateDirectory, supervisor: Supervisor) -> None:
    """A command that does not exist is a failed start like any other."""
    with pytest.raises(StartFailed, match="cannot run /no/such/program"):
        supervisor.start([ProcessSpec("ghost", ("/no/such/program",), state.log / "ghost.log", ready=lambda: False)])


def test_a_failing_preparation_does_not_stop_the_loop(state: StateDirectory, supervisor: Supervisor) -> None:
    """What cannot be prepared is tried again; the others stay looked after."""
    tries: list[int] = []

    def prepare() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OSError("not yet")

    supervisor.start([shell(state, "late", "exec sleep 1000", prepare=prepare)])
    assert supervisor.starts("late") == 3


def test_a_killed_reaper_is_replaced(state: StateDirectory, supervisor: Supervisor) -> None:
    """The safety net may be killed as well; the next change weaves a new one with everything in it."""
    supervisor.start([shell(state, "first", "exec sleep 1000")])
    reaper = supervisor._reaper.pid
    os.kill(reaper, signal.SIGKILL)
    wait_until(lambda: not alive(reaper))
    supervisor.start([shell(state, "second", "exec sleep 1000")])
    wait_until(lambda: supervisor._reaper.pid != reaper)
    assert len(supervisor._reaper._groups) == 2


def test_a_full_log_is_cut(state: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that stays up for months does not fill the disk."""
    monkeypatch.setattr(process, "MAX_LOG_BYTES", 10)
    log = state.log / "chatty.log"
    log.write_text("more than ten bytes")
    process.cut(log)
    assert log.read_text() == ""
    assert log.with_name("chatty.log.1").read_text() == "more than ten bytes"
