"""Digests of model directories: every file counts, the order and the model card do not."""

import subprocess
import sys
from pathlib import Path

from attribution.weights import digest_of_directory, digest_of_file, matches


def _model(directory: Path, weights: bytes = b"weights") -> Path:
    (directory / "unet").mkdir(parents=True)
    (directory / "unet" / "model.safetensors").write_bytes(weights)
    (directory / "model_index.json").write_text("{}")
    return directory


def test_the_same_files_have_the_same_digest(tmp_path: Path) -> None:
    """A copy elsewhere is the same model; a card, or a hidden file, changes nothing."""
    first, second = _model(tmp_path / "a"), _model(tmp_path / "b")
    (second / "README.md").write_text("A card.")
    (second / ".cache").mkdir()
    (second / ".cache" / "lock").touch()
    assert digest_of_directory(first) == digest_of_directory(second)


def test_any_change_is_another_model(tmp_path: Path) -> None:
    """Weights, settings and names all count."""
    digests = {digest_of_directory(_model(tmp_path / "a")), digest_of_directory(_model(tmp_path / "b", b"others"))}
    renamed = _model(tmp_path / "c")
    (renamed / "unet").rename(renamed / "vae")
    digests.add(digest_of_directory(renamed))
    changed = _model(tmp_path / "d")
    (changed / "model_index.json").write_text('{"steps": 1}')
    digests.add(digest_of_directory(changed))
    assert len(digests) == 4


def test_golden_values(tmp_path: Path) -> None:
    """These hashes must never change, because calibrations contain them."""
    assert digest_of_directory(_model(tmp_path / "a")) == "sha256:7edcfdd54706970e"
    assert digest_of_file(tmp_path / "a" / "unet" / "model.safetensors") == "sha256:9a129038d9a00aed"


def test_matching(tmp_path: Path) -> None:
    """A revision that is cut short matches nothing."""
    directory = _model(tmp_path / "a")
    digest = digest_of_directory(directory)
    assert matches(digest, directory)
    assert not matches("sha256:" + "0" * 16, directory)
    assert not matches(digest[:-1], directory)
    assert not matches("sha256:", directory)


def test_the_command_prints_it(tmp_path: Path) -> None:
    """An operator gets the line for a catalog entry from the command line."""
    directory = _model(tmp_path / "a")
    command = [sys.executable, "-m", "attribution.weights", str(directory)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.split() == [digest_of_directory(directory), str(directory)]
