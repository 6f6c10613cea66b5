"""`sources check`: mistakes in a catalog are reported with file and key."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from attribution.errors import ConfigurationError
from attribution.sources.check import Severity, check

TODAY = date(2026, 11, 27)
Add = Callable[..., Path]
FAIR = 'terms = "https://example.com/terms"\nprice_usd = 0.01\nseed = "yes"'


def _findings(directory: Path) -> list[tuple[str, str, str]]:
    return [(finding.severity.value, finding.key, finding.sentence) for finding in check([directory], TODAY)]


def test_correct_sources_have_no_findings(add: Add) -> None:
    """A complete local source and a complete external one have no findings."""
    add("a")
    assert _findings(add("b", platform="elsewhere", top=FAIR)) == []


@pytest.mark.parametrize(
    ("entry", "severity", "key", "sentence"),
    [
        ({"adapter": "teleport"}, "error", "", "there is no adapter 'teleport'"),
        ({"parameters": 'fail = "often"'}, "error", "", "fail must be"),
        ({"parameters": "color = 3"}, "error", "", "color is not a known key"),
        ({"adapter": "diffusers"}, "error", "revision", "is not a commit of fake/a"),
        ({"adapter": "diffusers", "enabled": "false"}, "note", "revision", "is not a commit of fake/a"),
        ({"adapter": "diffusers", "revision": "sha256:0123456789abcdef"}, "error", "revision", "which does not exist"),
        ({"lifecycle": 'successor = "x"'}, "error", "lifecycle.successor", "there is no source x"),
        ({"lifecycle": 'state = "no_api"'}, "warning", "enabled", "every job reports this source as not tested"),
        (
            {"lifecycle": 'state = "retired"\nsince = 2026-11-28', "enabled": "false"},
            "error",
            "lifecycle.since",
            "2026-11-28 is in the future; use deprecated",
        ),
        (
            {"lifecycle": 'state = "deprecated"\nuntil = 2026-11-26', "enabled": "false"},
            "warning",
            "lifecycle.until",
            "the day has passed: change the state to retired",
        ),
        (
            {"lifecycle": 'state = "deprecated"\nuntil = 2026-11-27'},
            "warning",
            "lifecycle.until",
            "will be switched off on 2026-11-27",
        ),
        (
            {"lifecycle": 'state = "deprecated"\nuntil = 2027-11-27'},
            "note",
            "lifecycle.until",
            "will be switched off on 2027-11-27",
        ),
        (
            {"platform": "elsewhere", "top": FAIR, "revision": "unversioned"},
            "note",
            "revision",
            "may change under the same name",
        ),
        ({"platform": "elsewhere", "top": FAIR.replace("terms", "#")}, "warning", "terms", "its terms are missing"),
        ({"platform": "elsewhere", "top": FAIR.replace("price", "#")}, "warning", "price_usd", "budgets count"),
        (
            {"platform": "elsewhere", "top": FAIR.replace('"yes"', '"no"')},
            "warning",
            "images_per_source",
            "set 2 or more",
        ),
        (
            {"top": 'sizes = ["512x512", "1:1"]', "adapter": "diffusers", "parameters": "width = 64\nheight = 64"},
            "error",
            "parameters",
            "64x64 is none of its sizes: 512x512, 1:1",
        ),
    ],
)
def test_each_mistake_is_reported(add: Add, entry: dict[str, str], severity: str, key: str, sentence: str) -> None:
    """Each mistake is reported once, with its severity and key."""
    found = [each for each in _findings(add("a", **entry)) if sentence in each[2]]
    assert [(each[0], each[1]) for each in found] == [(severity, key)]


def test_unavailable_successor_is_reported(add: Add) -> None:
    """A successor that is retired itself is a warning."""
    add("a", enabled="false", lifecycle='state = "retired"\nsince = 2026-01-01\nsuccessor = "b"')
    (finding,) = _findings(add("b", enabled="false", lifecycle='state = "retired"\nsince = 2026-02-01'))
    assert finding == ("warning", "lifecycle.successor", "b is not available any more either")


def test_all_files_are_read_despite_mistakes(add: Add) -> None:
    """Findings are in catalog order and name the file; a duplicate id is one of the mistakes."""
    add("a", top="color = 3")
    add("b", adapter="teleport")
    directory = add("c")
    (directory / "d.toml").write_text((directory / "c.toml").read_text())
    findings = check([directory], TODAY)
    assert [str(finding).partition(directory.as_posix())[2].partition("; there are")[0] for finding in findings] == [
        "/a.toml: color is not a known key",
        "/b.toml: there is no adapter 'teleport'",
        f"/d.toml: id: c is also described in {directory}/c.toml",
    ]
    assert {finding.severity for finding in findings} == {Severity.ERROR}


def test_missing_directory_is_an_error(tmp_path: Path) -> None:
    """A missing directory must not pass every check."""
    with pytest.raises(ConfigurationError, match="does not exist"):
        check([tmp_path / "nowhere"], TODAY)
