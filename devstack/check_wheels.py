"""Checks that every extra installs from wheels alone, and names the packages that have none for this platform.

Run as `python3 devstack/check_wheels.py [PYPROJECT]` with the system's Python; standard library only. pip resolves all
requirements with `--only-binary=:all:` in an environment of its own and installs nothing. From an index that offers
metadata by itself, as PyPI does, pip downloads no packages either. `PIP_ARGS` is passed to pip.
"""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
PLATFORM = f"Python {sys.version_info.major}.{sys.version_info.minor} on {sysconfig.get_platform()}"


def main(arguments: Sequence[str]) -> None:
    """Check, and print one sentence, or one per fault and end with status 1."""
    pyproject = Path(arguments[0]).resolve() if arguments else PYPROJECT
    with tempfile.TemporaryDirectory() as folder:
        faults = check(pyproject, Pip(make_environment(Path(folder))))
    if faults:
        sys.exit("\n".join(faults))
    print(f"Every extra installs from wheels alone for {PLATFORM}.")


@dataclass(frozen=True)
class Pip:
    """The pip of a Python."""

    python: Path

    def resolve(self, requirements: Iterable[str], *options: str) -> "subprocess.CompletedProcess[str]":
        """Finds wheels for the requirements and for what they need; the status says whether there are."""
        command = [str(self.python), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
        command += ["--dry-run", "--ignore-installed", "--only-binary=:all:", *options]
        command += shlex.split(os.environ.get("PIP_ARGS", ""))
        return subprocess.run([*command, *requirements], capture_output=True, text=True)

    def without_wheel(self, output: str) -> list[str]:
        """The packages that pip did not find, from what it printed.

        Of a pinned one it says only that something conflicts with the pin, hence the second question.
        """
        pins = sorted(set(re.findall(r"The user requested \(constraint\) (\S+)", output)))
        output += "".join(self.resolve([pin], "--no-deps").stderr for pin in pins)
        return sorted(set(re.findall(r"No matching distribution found for ([^\s;(]+)", output)))


def check(pyproject: Path, pip: Pip) -> list[str]:
    """A sentence for each package that an extra needs and that has no wheel, or for what else pip cannot do."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    groups = {"the base dependencies": project["dependencies"]}
    groups |= {f"the extra `{name}`": lines for name, lines in project["optional-dependencies"].items()}
    constraints = pyproject.with_name("constraints.txt")
    options = ["--constraint", str(constraints)] if constraints.exists() else []
    tried = pip.resolve((line for lines in groups.values() for line in lines), *options)
    if tried.returncode == 0:
        return []
    if "after connection broken by" in tried.stderr:
        return ["The package index cannot be reached, so nothing is known. PIP_ARGS can pass pip an index or a proxy."]
    faults = [fault for name, lines in groups.items() if lines for fault in find_faults(pip, name, lines, options)]
    return faults or [f"Each extra installs from wheels, but not all of them together:\n{tried.stderr.strip()}"]


def find_faults(pip: Pip, name: str, requirements: Sequence[str], options: Sequence[str]) -> Iterator[str]:
    """The sentences for one extra. pip stops at the first package that it does not find."""
    tried = pip.resolve(requirements, *options)
    if tried.returncode == 0:
        return
    packages = pip.without_wheel(tried.stdout + tried.stderr)
    for package in packages:
        yield f"{package}, which {name} needs, has no wheel for {PLATFORM}: replace it, or pin a version that has one."
    if not packages:
        yield f"pip cannot install {name}:\n{tried.stderr.strip()}"


def make_environment(folder: Path) -> Path:
    """A virtual environment with the newest pip, as older ones download every wheel that they resolve; its Python."""
    made = subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], capture_output=True, text=True)
    if made.returncode:
        sys.exit(f"{made.stdout}{sys.executable} cannot make a virtual environment (Debian: install python3-venv).")
    python = folder / "venv" / "bin" / "python"
    upgrade = [str(python), "-m", "pip", "install", "--quiet", "--upgrade", "pip"]
    # Where this fails, the bundled pip answers as well, only more slowly.
    subprocess.run([*upgrade, *shlex.split(os.environ.get("PIP_ARGS", ""))], capture_output=True)
    return python


if __name__ == "__main__":
    main(sys.argv[1:])
