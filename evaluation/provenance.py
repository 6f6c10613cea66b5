"""The provenance of a figure: its command, time, machine and versions.

A command's output carries it as `made`. It contains no local paths: of a folder elsewhere only the name.
"""

import json
import os
import platform
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from evaluation.store import ROOT, digest, write

LIBRARIES = (
    "whodrew", "numpy", "scipy", "scikit-learn", "scikit-image", "pillow", "torch", "open_clip_torch", "transformers",
    "diffusers", "peft", "timm", "onnxruntime", "matplotlib",
)  # fmt: skip
# Without VNNI or AMX, products of 8-bit numbers may saturate on x86; the others change the last digits of products.
INSTRUCTIONS = (
    "avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip
_PATH = re.compile(r"(?<![^:,=])/[^:,#?]+")


@dataclass(frozen=True, slots=True)
class _Run:
    arguments: tuple[str, ...] = ()
    started: float = field(default_factory=time.monotonic)


_run: ContextVar[_Run | None] = ContextVar("run", default=None)


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[None]:
    """Results written in this context were made by `python -m evaluation` with these arguments."""
    token = _run.set(_Run(tuple(arguments)))
    try:
        yield
    finally:
        _run.reset(token)


def made() -> dict[str, Any]:
    """Command, time in UTC, seconds since the command began, machine and versions."""
    run = _run.get() or _Run()
    return {
        "command": command(run.arguments),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - run.started, 1),
        "machine": machine(),
        "versions": versions(),
    }


def command(arguments: Sequence[str]) -> str:
    """As typed in the repository."""
    return shlex.join(["python", "-m", "evaluation", *map(_portable, arguments)])


def _portable(argument: str) -> str:
    """Also within a specification such as onnx:local-dir:DIRECTORY#layer=2."""
    return _PATH.sub(lambda found: _named(Path(found[0])), argument)


def _named(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else f"…/{path.name}"


def machine() -> dict[str, Any]:
    """Processor with the instructions that products depend on, cores, memory in GiB and operating system."""
    return {
        "processor": _processor(),
        "instructions": _instructions(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": _system(),
    }


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _instructions() -> str:
    """Those of INSTRUCTIONS that the processor has; "not known" where the system lists none (Linux does)."""
    listed = (_cpuinfo("flags") or _cpuinfo("Features") or "").split()
    return " ".join(name for name in INSTRUCTIONS if name in listed) if listed else "not known"


def _cpuinfo(key: str) -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def weights(directory: Path) -> dict[str, str]:
    """sha256 of every file of weights below a directory, by path."""
    files = sorted(path for path in directory.rglob("*") if path.suffix in {".safetensors", ".onnx"})
    return {path.relative_to(directory).as_posix(): digest(path) for path in files}


def versions() -> dict[str, str]:
    """Of Python and of what measures; a library that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def save(path: Path | None, document: dict[str, Any]) -> None:
    """Writes the document with its provenance; without a path it is printed as it is."""
    save_plain(path, document if path is None else document | {"made": made()})


def save_plain(path: Path | None, document: dict[str, Any]) -> None:
    """Writes the document alone, whole or not at all: for files that must be reproducible to the byte."""
    if path is None:
        print(json.dumps(document))
    else:
        write(path, (json.dumps(document, indent=2) + "\n").encode())
        print(f"written to {path}")
