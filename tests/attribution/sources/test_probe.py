"""`sources probe`: each source is asked for one image, and what came of it is said."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from attribution.__main__ import main

Add = Callable[..., Path]


def _probe(directory: Path, *more: str) -> int:
    return main(["sources", "probe", "--catalog", str(directory), *more])


def test_every_enabled_source_is_asked(add: Add, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """State, time, size and price in a line, what it came to below, the images where they were wanted."""
    add("a", parameters="size = 32")
    add("b", platform="elsewhere", top="price_usd = 0.25")
    add("c", platform="elsewhere")
    directory = add("d", enabled="false", parameters='fail = "error"')
    assert _probe(directory, "--save", str(tmp_path / "generated")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["a", "b", "c", "spent"]
    assert lines[0].split()[1:] == ["done", "0.0", "s", "32×32", "$0.000"]
    assert lines[1].endswith("$0.250")
    assert lines[2].endswith("price unknown")
    assert lines[3] == "spent $0.250, and what c took"
    with Image.open(tmp_path / "generated" / "a.png") as generated:
        assert generated.size == (32, 32)
    assert not (tmp_path / "generated" / "d.png").exists()


@pytest.mark.parametrize(
    ("entry", "state", "sentence"),
    [
        ({"parameters": 'fail = "refused_prompt"'}, "refused_prompt", "will not generate this"),
        ({"parameters": 'fail = "black"'}, "refused_output", "blank"),
        ({"parameters": "sleep_seconds = 60"}, "timeout", "its time was over"),
        ({"adapter": "teleport"}, "unavailable", "there is no adapter"),
        ({"lifecycle": 'state = "no_api"'}, "no_api", "cannot be called"),
        ({"lifecycle": 'state = "retired"\nsince = 2026-01-01'}, "retired", "switched off"),
    ],
)
def test_what_did_not_generate_says_why(
    add: Add, capsys: pytest.CaptureFixture[str], entry: dict[str, str], state: str, sentence: str
) -> None:
    """In the words of a job; the exit code tells a script."""
    directory = add("a", enabled="false", **entry)
    assert _probe(directory, "a", "--timeout", "0.2") == 1
    line = capsys.readouterr().out.splitlines()[0]
    assert line.split()[1] == state
    assert sentence in line


def test_one_that_fails_spoils_the_exit_code_and_not_the_rest(add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    """All are asked, whatever came of those before."""
    add("a", parameters='fail = "unavailable"')
    assert _probe(add("b")) == 1
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[:2]] == [
        ["a", "unavailable"],
        ["b", "done"],
    ]


def test_what_nobody_foresaw_is_named_and_not_quoted(add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    """An exception's own words may hold a request, and that a key."""
    directory = add("a", parameters="size = -1")
    assert _probe(directory) == 1
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith("The source failed in a way nobody foresaw. (ValueError)")


def test_an_unknown_source_cannot_be_asked(add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence and exit code 2."""
    assert _probe(add("a"), "b") == 2
    assert capsys.readouterr().err == "attribution: The catalog knows no source called b.\n"


def test_nothing_to_ask_is_no_success(add: Add) -> None:
    """A script that probes an empty catalog should hear of it."""
    assert _probe(add("a", enabled="false")) == 1
