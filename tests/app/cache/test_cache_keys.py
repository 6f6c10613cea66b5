"""A cache key changes with everything that changes the outcome, and with nothing else."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from app.cache.cache_keys import generated_image_key, pipeline_key, result_key
from attribution.catalog import Catalog, load_catalog

SOURCE = """
schema = 1
id = "a"
name = "A"
enabled = true
family = "fake"
platform = "elsewhere"
model = "fake"
revision = "{revision}"
license = "none"
memory_mb = 1
adapter = "fake"
[parameters]
{parameters}
[limits]
timeout_seconds = {timeout}
"""


@dataclass(frozen=True)
class Requested:
    """A source as a job requests it."""

    source: str = "a"
    model: str = "fake"
    revision: str = "1"
    state: str = "pending"


def catalog(folder: Path, revision: str = "1", parameters: str = "", timeout: int = 20) -> Catalog:
    """A catalog with one source."""
    (folder / "a.toml").write_text(SOURCE.format(revision=revision, parameters=parameters, timeout=timeout))
    return load_catalog([folder])


def image_key(folder: Path, caption: str = "a boat", seed: int = 1, k: int = 0, **source: Any) -> str:
    """The key of one image of that source."""
    return generated_image_key(caption, catalog(folder, **source).get("a"), None, seed, k)


@pytest.mark.parametrize(
    "change",
    [{"caption": "a ship"}, {"seed": 2}, {"k": 1}, {"revision": "2"}, {"parameters": "colors = 3"}],
    ids=lambda change: next(iter(change)),
)
def test_an_image_key_changes_with_what_is_generated(tmp_path: Path, change: dict[str, Any]) -> None:
    """Another caption, seed, k, revision or parameter is another image."""
    assert image_key(tmp_path) != image_key(tmp_path, **change)


def test_an_image_key_does_not_change_with_the_time_that_a_source_has(tmp_path: Path) -> None:
    """A longer timeout changes no pixel."""
    assert image_key(tmp_path) == image_key(tmp_path, timeout=60)


def test_a_result_key_changes_with_every_part_of_the_request(tmp_path: Path) -> None:
    """File, sources, images per source, seed, prompt and options each make another key."""
    known = catalog(tmp_path)
    requested = [Requested()]
    keys = [
        result_key("f1", requested, known, 4, None, None, {}),
        result_key("f2", requested, known, 4, None, None, {}),
        result_key("f1", [], known, 4, None, None, {}),
        result_key("f1", [Requested(state="retired")], known, 4, None, None, {}),
        result_key("f1", requested, known, 3, None, None, {}),
        result_key("f1", requested, known, 4, 0, None, {}),
        result_key("f1", requested, known, 4, None, "", {}),
        result_key("f1", requested, known, 4, None, None, {"distance": "cosine"}),
    ]
    assert len(set(keys)) == len(keys)


def test_a_skipped_source_has_the_key_of_a_pending_one(tmp_path: Path) -> None:
    """A row knows that a local-only job skips the source, a new request does not yet; both must find one result."""
    known, requested = catalog(tmp_path), Requested()
    skipped = replace(requested, state="skipped")
    assert result_key("f", [requested], known, 4, None, None) == result_key("f", [skipped], known, 4, None, None)


def test_keys_are_not_joined_texts() -> None:
    """Parts that give the same text when joined give different keys."""
    assert pipeline_key("a|b", "c") != pipeline_key("a", "b|c")
