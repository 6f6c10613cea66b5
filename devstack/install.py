"""Makes the virtual environment and installs what is missing: the first step of most targets in the Makefile.

Run as `python3 devstack/install.py EXTRA …` with the system's Python, never imported; standard library only, and
without syntax newer than Python 3.6, so that it can report that the Python is too old. It does nothing, in a
few milliseconds, when neither pyproject.toml nor constraints.txt nor the interpreter has changed since the last time.
`PIP_ARGS` is passed to pip.
"""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

NEEDED = (3, 11)
REPOSITORY = Path(__file__).resolve().parent.parent
VENV = REPOSITORY / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "whodrew.json"
CONSTRAINTS = REPOSITORY / "constraints.txt"


def main(extras: "list[str]") -> None:
    """Install the extras."""
    if sys.version_info < NEEDED:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"Python {NEEDED[0]}.{NEEDED[1]} or newer is needed, {sys.executable} is {found}.\n"
            "Name the one to use, for example: make demo PYTHON=/path/to/python3.12"
        )
    if not PYTHON.exists():
        make_environment()
    fingerprint = fingerprint_of_needs()
    stamp = json.loads(STAMP.read_text()) if STAMP.exists() else {}
    done = stamp.get("extras", [])
    if stamp.get("fingerprint") == fingerprint and set(extras) <= set(done):
        return
    together = sorted({*extras, *done})
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--progress-bar", "off"]
    command += shlex.split(os.environ.get("PIP_ARGS", ""))
    if CONSTRAINTS.exists():
        command += ["--constraint", str(CONSTRAINTS)]
    print(
        f"Installing {', '.join(together)} into .venv; the first time this downloads PyTorch and takes minutes.",
        flush=True,
    )
    # From the repository's root, so that no path with a space meets pip's syntax for extras.
    if subprocess.run([*command, "--editable", f".[{','.join(together)}]"], cwd=str(REPOSITORY)).returncode:
        sys.exit("pip could not install everything; its message is above. PIP_ARGS can pass it an index or a proxy.")
    STAMP.write_text(json.dumps({"fingerprint": fingerprint, "extras": together}))


def make_environment() -> None:
    """Make .venv; explain what to install where the system's Python cannot."""
    print(f"Making .venv with {sys.executable}", flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if made.returncode:
        if PYTHON.exists():
            shutil.rmtree(VENV)  # half an environment would be taken for a whole one
        sys.exit(
            f"{made.stdout.decode(errors='replace')}\n{sys.executable} cannot make a virtual environment. Debian and\n"
            "Ubuntu need one more package for it (apt-get install python3-venv); or name another Python, for example:\n"
            "make demo PYTHON=/path/to/python3.12"
        )


def fingerprint_of_needs() -> str:
    """Changes when an installation would come out differently."""
    parts = [(REPOSITORY / "pyproject.toml").read_bytes()]
    parts.append(CONSTRAINTS.read_bytes() if CONSTRAINTS.exists() else b"")
    parts.append(os.fsencode(str(REPOSITORY)))  # an editable installation points here
    parts.append((VENV / "pyvenv.cfg").read_bytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


if __name__ == "__main__":
    main(sys.argv[1:])
