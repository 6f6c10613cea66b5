"""`sources probe`: one image of each source, and a line with the result."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.attribution.command_line import main

Add = Callable[..., Path]


def _probe(directory: Path, *more: str) -> int:
    return main(["sources", "probe", "--catalog", str(directory), *more])


def test_every_enabled_source_is_probed(add: Add, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each line has state, time, size and price; the sum is below; the images are saved."""
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
    assert lines[3] == "spent $0.250, and the unknown prices of c"
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
def test_failures_have_state_and_sentence(
    add: Add, capsys: pytest.CaptureFixture[str], entry: dict[str, str], state: str, sentence: str
) -> None:
    """A failure has the state and sentence of a job, and exit code 1."""
    directory = add("a", enabled="false", **entry)
    assert _probe(directory, "a", "--timeout", "0.2") == 1
    line = capsys.readouterr().out.splitlines()[0]
    assert line.split()[1] == state
    assert sentence in line


def test_failure_does_not_stop_the_others(add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    """All sources are probed, and the exit code is 1."""
    add("a", parameters='fail = "unavailable"')
    assert _probe(add("b")) == 1
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[:2]] == [
        ["a", "unavailable"],
        ["b", "done"],
    ]


def test_unexpected_exceptions_are_named_not_quoted(add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the type of an exception is printed: its message may contain a key."""
    directory = add("a", parameters="size = -1")
    assert _probe(directory) == 1
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith("The source failed unexpectedly. (ValueError)")


def test_unknown_source_is_an_error(add: Add, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown id is one sentence and exit code 2."""
    assert _probe(add("a"), "b") == 2
    assert capsys.readouterr().err == "error: The catalog knows no source called b.\n"


def test_nothing_to_probe_fails(add: Add) -> None:
    """Probing no source has exit code 1."""
    assert _probe(add("a", enabled="false")) == 1
