"""The documents: what they say about settings, commands and files is so."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
# What a document may name without its being in the repository.
# Settings that may have any name in a group of their own, and the form of all.
FREE = ("VENDOR_KEYS__", "GROUP__NAME")
ELSEWHERE = (".env", ".venv", ".state", "image.png", "/etc/", "/path", "/srv/", "/var/", "/run/")


def test_settings_are_documented_as_they_are():
    """docs/settings.md is what its generator writes from the Settings class; if not, run the generator."""
    command = [sys.executable, "docs/generate_settings.py", "--check"]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_variants_are_documented_as_they_were_measured():
    """docs/variants.md and its figures are what the generator writes from docs/benchmark/results; if not, run it."""
    command = [sys.executable, "docs/generate_variants.py", "--check"]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr


def test_vendors_are_documented_as_they_are_tested():
    """docs/vendors.md is what its generator writes from the contracts of the adapters; if not, run the generator."""
    command = [sys.executable, "docs/generate_vendors.py", "--check"]
    found = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_every_setting_is_described(variables):
    """Every variable has a line in docs/settings.md."""
    text = (REPOSITORY / "docs" / "settings.md").read_text()
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", text, re.MULTILINE)) == variables


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(path):
    """Every relative link in a document names a file that exists."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_variables_exist(path, variables):
    """Every GROUP__NAME in a document is a setting."""
    named = {name.removesuffix("_FILE") for name in re.findall(r"\b[A-Z_]+__[A-Z_]+\b", path.read_text())}
    assert {name for name in named if not name.startswith(FREE)} <= variables


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_make_targets_exist(path):
    """Every `make TARGET` in a document is in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`|\" )make ([a-z][a-z-]+)", path.read_text(), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_files_named_in_code_exist(path):
    """Every file that a document names in code font, by a path with a known ending, is in the repository."""
    for name in re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|toml|md|json|ini|yml|png|mjs))`", path.read_text()):
        if not name.startswith(ELSEWHERE):
            assert (REPOSITORY / name).exists(), name
