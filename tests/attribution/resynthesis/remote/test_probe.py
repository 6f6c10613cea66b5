"""`sources probe` and `sources check` of vendors, as an operator runs them, at the stub."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from attribution.resynthesis.remote.http_client import HttpClient, default_connections
from stub_vendors import Stub
from tests.attribution.command_line import main

ENTRY = """
schema = 1
id = "{vendor}"
name = "{vendor}"
enabled = true
family = "f"
platform = "{vendor}"
model = "sd3.5-large"
revision = "unversioned"
license = "none"
terms = "https://example.com/terms"
adapter = "{vendor}"
seed = "yes"
price_usd = 0.25
[parameters]
base_url = "{url}"
key = "{key}"
{parameters}
"""


@pytest.fixture
def place(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A catalog of two vendors at the stub; only one's key is set."""
    for vendor, path, parameters in (("bfl", "/v1", ""), ("stability", "/v2beta", 'aspect_ratio = "1:1"')):
        text = ENTRY.format(vendor=vendor, url=stub.base_url(vendor, path), key=f"mine_{vendor}", parameters=parameters)
        (tmp_path / f"{vendor}.toml").write_text(text)
    monkeypatch.setenv("VENDOR_KEYS__MINE_STABILITY", "stub-key-of-stability")
    default_connections.cache_clear()
    yield tmp_path
    web = default_connections().web
    assert isinstance(web, HttpClient)
    web.close()
    default_connections.cache_clear()


def test_a_source_without_its_key_is_not_asked(place: Path, stub: Stub, capsys: pytest.CaptureFixture[str]) -> None:
    """The line of the source without a key names the setting; the other source generates."""
    assert main(["sources", "probe", "--catalog", str(place)]) == 1
    bfl, stability, spent = capsys.readouterr().out.splitlines()
    assert bfl.split()[1] == "unavailable"
    assert "set VENDOR_KEYS__MINE_BFL." in bfl
    assert stability.split()[1] == "done"
    assert spent == "spent $0.250"
    assert stub.billed() | {"bfl": 0, "stability": 1} == stub.billed()


@pytest.mark.parametrize(
    ("scenario", "state", "cost"),
    [
        ("refused_prompt", "refused_prompt", "$0.000"),
        ("refused_output", "refused_output", "$0.250"),
        ("rate_limited", "rate_limited", "$0.000"),
        ("server_error", "unavailable", "$0.000"),
        ("html", "error", "$0.250"),
        ("broken", "error", "$0.250"),
    ],
)
def test_a_probe_says_what_a_failure_cost(
    place: Path, capsys: pytest.CaptureFixture[str], scenario: str, state: str, cost: str
) -> None:
    """A withheld image is billed; an unknown outcome counts as billed."""
    code = main(["sources", "probe", "stability", "--catalog", str(place), "--prompt", f"a hat [{scenario}]"])
    line = capsys.readouterr().out.splitlines()[0]
    assert (code, line.split()[1]) == (1, state)
    assert cost in line
    assert "stub-key" not in line


def test_a_check_names_the_key_that_is_missing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing key is an error for an enabled source, a note for a disabled one; nothing is sent."""
    assert main(["sources", "check", "--catalog", str(place)]) == 1
    errors = [line for line in capsys.readouterr().out.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert "bfl.toml: parameters.key: " in errors[0]
    assert "set VENDOR_KEYS__MINE_BFL." in errors[0]
    file = place / "bfl.toml"
    file.write_text(file.read_text().replace("enabled = true", "enabled = false"))
    assert main(["sources", "check", "--catalog", str(place)]) == 0
    assert "note     " in capsys.readouterr().out


def test_a_check_names_a_parameter_that_its_vendor_does_not_have(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown parameter is an error in a disabled file, too."""
    file = place / "bfl.toml"
    file.write_text(file.read_text().replace("enabled = true", "enabled = false") + "color = 3\n")
    assert main(["sources", "check", "--catalog", str(place)]) == 1
    assert "has no parameter 'color'" in capsys.readouterr().out
