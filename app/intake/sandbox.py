"""Confines the process that calls it, for good: no files by name, no sockets, no other processes, no new privileges.

What it may still do is compute, and read and write what was opened for it. Landlock and seccomp are used where the
kernel has them; `confine` says what is in force. Imports nothing of the service: decoding children call this.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterable

# <linux/prctl.h>
_SET_PDEATHSIG, _SET_DUMPABLE, _SET_SECCOMP, _SET_NO_NEW_PRIVS = 1, 4, 22, 38
_FILTER_MODE = 2
# Numbers that all architectures share.
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_GET_VERSION = 1
# By the version of Landlock: what exists, and is therefore denied (<linux/landlock.h>).
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_TCP_RIGHTS, _TCP_SINCE = 0b11, 4
_SCOPES, _SCOPES_SINCE = 0b11, 6  # abstract Unix sockets, signals

# <linux/filter.h>, <linux/seccomp.h>, <linux/audit.h>
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
# Numbers on x86_64 and aarch64. Reading, writing, memory, threads, time; nothing takes a path, an address or a pid.
_CALLS: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "dup": (32, 23),
    "nanosleep": (35, 101),
    "getitimer": (36, 102),
    "setitimer": (38, 103),
    "getpid": (39, 172),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "exit": (60, 93),
    "uname": (63, 160),
    "ftruncate": (77, 46),
    "gettimeofday": (96, 169),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "time": (201, None),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "set_robust_list": (273, 99),
    "getrandom": (318, 278),
    "membarrier": (324, 283),
    "rseq": (334, 293),
}
_CLONE, _CLONE_THREAD = (56, 220), 0x00010000
_CLONE3 = 435  # its flags are in memory, which a filter cannot read; without it the C library uses clone
_TGKILL = (234, 131)  # abort() sends itself a signal
_FCNTL = (72, 25)
_HARMLESS_FCNTL = (0, 1, 2, 3, 1030)  # duplicate, read and set flags; not who gets signals


def confine(memory_bytes: int, file_bytes: int, open_files: int) -> list[str]:
    """Confines this process, which must have one thread. Returns what is in force besides the limits of resources.

    Args:
        memory_bytes: Its address space.
        file_bytes: The size of a file that it writes.
        open_files: How many files it may have open at once.
    """
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, open_files),
    ):
        resource.setrlimit(limit, (value, value))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    in_force = []
    if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        in_force.append("no_new_privileges")
        if _landlock(libc):
            in_force.append("landlock")
        if _seccomp(libc):
            in_force.append("seccomp")
    if "seccomp" not in in_force:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # threads, too: some evidence is then unreadable
    return in_force


# What `confine` returns where the kernel has everything.
COMPLETE = ("no_new_privileges", "landlock", "seccomp")


def _landlock(libc: ctypes.CDLL) -> bool:
    """Denies every file that is not open yet, TCP, and signals to others."""
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_GET_VERSION)
    if version < 1:
        return False
    denied = [(1 << _FILE_RIGHTS[min(version, max(_FILE_RIGHTS))]) - 1]
    if version >= _TCP_SINCE:
        denied.append(_TCP_RIGHTS)
    if version >= _SCOPES_SINCE:
        denied.append(_SCOPES)
    attributes = struct.pack(f"={len(denied)}Q", *denied)
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    restricted: bool = libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return restricted


def _seccomp(libc: ctypes.CDLL) -> bool:
    """Every call that is not in the list above fails with EPERM."""
    if platform.machine() not in _ARCHITECTURES:
        return False
    audit, column = _ARCHITECTURES[platform.machine()]
    program = b"".join(_program(audit, column, os.getpid()))
    instructions = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    given = Program(len(program) // 8, ctypes.cast(instructions, ctypes.c_void_p))
    return bool(libc.prctl(_SET_SECCOMP, _FILTER_MODE, ctypes.byref(given), 0, 0) == 0)


def _program(audit: int, column: int, pid: int) -> Iterable[bytes]:
    """The filter. The numbers of x32 on x86_64 have a bit of their own, so that no number in the list is one."""
    deny, allow = _instruction(_RETURN, _ERROR | errno.EPERM), _instruction(_RETURN, _ALLOW)
    yield from (_instruction(_LOAD, _ARCHITECTURE), _instruction(_EQUAL, audit, yes=1), deny)
    yield _instruction(_LOAD, _NUMBER)
    for numbers in _CALLS.values():
        number = numbers[column]
        if number is not None:
            yield from (_instruction(_EQUAL, number, no=1), allow)
    yield from (_instruction(_EQUAL, _CLONE3, no=1), _instruction(_RETURN, _ERROR | errno.ENOSYS))
    yield from (_instruction(_EQUAL, _CLONE[column], no=4), _instruction(_LOAD, _ARGUMENTS))
    yield from (_instruction(_ANY_BIT, _CLONE_THREAD, no=1), allow, deny)
    yield from (_instruction(_EQUAL, _TGKILL[column], no=4), _instruction(_LOAD, _ARGUMENTS))
    yield from (_instruction(_EQUAL, pid, no=1), allow, deny)
    yield from (_instruction(_EQUAL, _FCNTL[column], yes=1), deny, _instruction(_LOAD, _ARGUMENTS + 8))
    for command in _HARMLESS_FCNTL:
        yield from (_instruction(_EQUAL, command, no=1), allow)
    yield deny


def _instruction(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
