"""The command `whodrew`: every command of the table exists where the table says."""

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from whodrew.cli import COMMANDS, main

ML = ("torch", "diffusers", "transformers", "open_clip")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_mounted(name: str, capsys: pytest.CaptureFixture) -> None:
    """Its help is printed by the package that the table names."""
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code in (0, None)
    assert name in capsys.readouterr().out


def test_help_imports_no_package() -> None:
    """The list of commands is printed where nothing but the package itself can be imported."""
    forbidden = [*ML, "app", "attribution", "devstack", "evaluation", "typer"]
    script = f"""
import sys
for name in {forbidden}:
    sys.modules[name] = None
from whodrew.cli import main
sys.exit(main([]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in COMMANDS)


def test_a_missing_wheel_is_a_sentence() -> None:
    """Where a package's wheels are missing, the exit code is 2 and the sentence names what is not installed."""
    script = (
        "import sys; sys.modules['typer'] = None; from whodrew.cli import main; sys.exit(main(['attribute', 'x.png']))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 2
    assert "attribute needs typer, which is not installed" in done.stderr


def test_an_unknown_command_is_named(capsys: pytest.CaptureFixture) -> None:
    """The exit code is 2, and the sentence says how to list the commands."""
    assert main(["nothing"]) == 2
    assert "whodrew --help" in capsys.readouterr().err
