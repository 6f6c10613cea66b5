"""The check for wheels names what has none, with the extra that needs it; packages come from a folder."""

import io
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack.check_wheels import Pip, check

PYPROJECT = """
[project]
dependencies = ["fine"]
[project.optional-dependencies]
good = ["fine>=1"]
direct = ["lonely>=1"]
indirect = ["outer"]
"""


def add_wheel(folder: Path, name: str, metadata: str = "", version: str = "1.0") -> None:
    """A package that installs as it is."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Two packages with a wheel, one of which needs a third that has only its source."""
    folder = tmp_path / "packages"
    folder.mkdir()
    add_wheel(folder, "fine")
    add_wheel(folder, "outer", "Requires-Dist: lonely\n")
    with tarfile.open(folder / "lonely-1.0.tar.gz", "w:gz") as source:
        metadata = b"Metadata-Version: 2.1\nName: lonely\nVersion: 1.0\n"
        member = tarfile.TarInfo("lonely-1.0/PKG-INFO")
        member.size = len(metadata)
        source.addfile(member, io.BytesIO(metadata))
    return folder


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Checks a project with this environment's pip: `faults(pip_args, pyproject, pins)`."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    def check_project(pip_args: str, pyproject: str = PYPROJECT, pins: str = "") -> list[str]:
        monkeypatch.setenv("PIP_ARGS", pip_args)
        (tmp_path / "pyproject.toml").write_text(pyproject)
        (tmp_path / "constraints.txt").write_text(pins)
        return check(tmp_path / "pyproject.toml", Pip(Path(sys.executable)))

    return check_project


@pytest.mark.parametrize(
    ("pins", "named"),
    [("", ["lonely>=1", "lonely"]), ("lonely==1.0\n", ["lonely==1.0", "lonely==1.0"])],
    ids=["free", "pinned"],
)
def test_a_package_without_a_wheel_is_named(
    packages: Path, faults: Callable[..., list[str]], pins: str, named: list[str]
) -> None:
    """The extra's own package and one that another package needs, each with its extra; no other extra is named."""
    found = faults(f"--no-index --find-links {packages}", pins=pins)
    assert [fault.partition(", has no wheel for Python 3.")[0] for fault in found] == [
        f"{named[0]}, which the extra `direct` needs",
        f"{named[1]}, which the extra `indirect` needs",
    ]


def test_wheels_alone_pass(packages: Path, faults: Callable[..., list[str]]) -> None:
    """A project whose packages all have wheels has no fault."""
    assert faults(f"--no-index --find-links {packages}", PYPROJECT.partition("direct")[0]) == []


def test_another_fault_is_quoted(packages: Path, faults: Callable[..., list[str]]) -> None:
    """A pin that contradicts a requirement is no missing wheel: what pip says is passed on."""
    add_wheel(packages, "fine", version="2.0")
    pyproject = '[project]\ndependencies = []\n[project.optional-dependencies]\nnew = ["fine>=2"]'
    (fault,) = faults(f"--no-index --find-links {packages}", pyproject, "fine==1.0\n")
    assert fault.startswith("pip cannot install the extra `new`:\nERROR: ")


def test_without_an_index_nothing_is_said_of_wheels(faults: Callable[..., list[str]]) -> None:
    """Where the index cannot be reached, the check says that, and accuses no package."""
    (fault,) = faults("--retries 1 --index-url http://127.0.0.1:1/")
    assert fault.startswith("The package index cannot be reached")
