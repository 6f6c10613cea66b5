"""`sources check`: what is wrong with a catalog, or soon will be, is said with file and key."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from attribution.errors import ConfigurationError
from attribution.sources.check import check
from attribution.sources.finding import Severity

TODAY = date(2026, 11, 27)
Add = Callable[..., Path]
FAIR = 'terms = "https://example.com/terms"\nprice_usd = 0.01\nseed = "yes"'


def _said(directory: Path) -> list[tuple[str, str, str]]:
    return [(finding.severity.value, finding.key, finding.sentence) for finding in check([directory], TODAY)]


def test_nothing_is_said_of_what_is_well(add: Add) -> None:
    """A local source and an external one with everything that belongs to it."""
    add("a")
    assert _said(add("b", platform="elsewhere", top=FAIR)) == []


@pytest.mark.parametrize(
    ("entry", "severity", "key", "sentence"),
    [
        ({"adapter": "teleport"}, "error", "", "there is no adapter 'teleport'"),
        ({"parameters": 'fail = "often"'}, "error", "", "parameters.fail cannot be 'often'"),
        ({"parameters": "color = 3"}, "error", "", "a fake knows no 'color'"),
        ({"adapter": "diffusers"}, "error", "revision", "is not a commit of fake/a"),
        ({"adapter": "diffusers", "enabled": "false"}, "note", "revision", "is not a commit of fake/a"),
        ({"adapter": "diffusers", "revision": "sha256:0123456789abcdef"}, "error", "revision", "which does not exist"),
        ({"lifecycle": 'successor = "x"'}, "error", "lifecycle.successor", "there is no source x"),
        ({"lifecycle": 'state = "no_api"'}, "warning", "enabled", "every job reports it as not tested"),
        (
            {"lifecycle": 'state = "retired"\nsince = 2026-11-28', "enabled": "false"},
            "error",
            "lifecycle.since",
            "2026-11-28 has not come; use deprecated",
        ),
        (
            {"lifecycle": 'state = "deprecated"\nuntil = 2026-11-26', "enabled": "false"},
            "warning",
            "lifecycle.until",
            "the day has passed: make it retired",
        ),
        (
            {"lifecycle": 'state = "deprecated"\nuntil = 2026-11-27'},
            "warning",
            "lifecycle.until",
            "is to be switched off on 2026-11-27",
        ),
        (
            {"lifecycle": 'state = "deprecated"\nuntil = 2027-11-27'},
            "note",
            "lifecycle.until",
            "is to be switched off on 2027-11-27",
        ),
        (
            {"platform": "elsewhere", "top": FAIR, "revision": "unversioned"},
            "note",
            "revision",
            "may change under the same name",
        ),
        ({"platform": "elsewhere", "top": FAIR.replace("terms", "#")}, "warning", "terms", "which terms is not said"),
        ({"platform": "elsewhere", "top": FAIR.replace("price", "#")}, "warning", "price_usd", "budgets count"),
        (
            {"platform": "elsewhere", "top": FAIR.replace('"yes"', '"no"')},
            "warning",
            "images_per_source",
            "advise 2 or more",
        ),
        (
            {"top": 'sizes = ["512x512", "1:1"]', "adapter": "diffusers", "parameters": "width = 64\nheight = 64"},
            "error",
            "parameters",
            "64x64 is none of its sizes: 512x512, 1:1",
        ),
    ],
)
def test_what_is_wrong_is_said(add: Add, entry: dict[str, str], severity: str, key: str, sentence: str) -> None:
    """Once each, with how bad it is."""
    found = [said for said in _said(add("a", **entry)) if sentence in said[2]]
    assert [(said[0], said[1]) for said in found] == [(severity, key)]


def test_a_successor_that_is_gone_itself_helps_nobody(add: Add) -> None:
    """The chain is followed one step, which is where it breaks."""
    add("a", enabled="false", lifecycle='state = "retired"\nsince = 2026-01-01\nsuccessor = "b"')
    (said,) = _said(add("b", enabled="false", lifecycle='state = "retired"\nsince = 2026-02-01'))
    assert said == ("warning", "lifecycle.successor", "b cannot be asked any more either")


def test_all_files_are_read_whatever_is_wrong_with_some(add: Add) -> None:
    """In catalog order, the file in each line; an id that is there twice is one of the mistakes."""
    add("a", top="color = 3")
    add("b", adapter="teleport")
    directory = add("c")
    (directory / "d.toml").write_text((directory / "c.toml").read_text())
    findings = check([directory], TODAY)
    assert [str(finding).partition(directory.as_posix())[2].partition("; there are")[0] for finding in findings] == [
        "/a.toml: color is not a key this version knows",
        "/b.toml: there is no adapter 'teleport'",
        f"/d.toml: id: c is described in {directory}/c.toml too",
    ]
    assert {finding.severity for finding in findings} == {Severity.ERROR}


def test_a_directory_that_is_not_there_is_no_catalog(tmp_path: Path) -> None:
    """It would pass every check."""
    with pytest.raises(ConfigurationError, match="does not exist"):
        check([tmp_path / "nowhere"], TODAY)
