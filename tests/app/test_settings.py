"""The settings: strict, frozen, and without a secret that works by default."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what must be given."""
    monkeypatch.setenv("DATABASE__URL", "postgresql://app:secret@localhost/app")
    monkeypatch.setenv("REDIS__URL", "redis://localhost")


@pytest.mark.parametrize("name", ["DATABASE__URL", "REDIS__URL"])
def test_a_missing_address_stops_the_process(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What has no default must be given, or nothing starts."""
    monkeypatch.delenv(name)
    with pytest.raises(ValidationError, match=name.split("__")[0].lower()):
        Settings()


def test_a_misspelt_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that does not exist is not ignored."""
    monkeypatch.setenv("JOB__LEESE", "5")
    with pytest.raises(ValidationError, match="leese"):
        Settings()


def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`NAME_FILE` stands for `NAME`, as container secrets are mounted, and the value is not shown."""
    file = tmp_path / "url"
    file.write_text("postgresql://app:from-a-file@localhost/app\n")
    monkeypatch.delenv("DATABASE__URL")
    monkeypatch.setenv("DATABASE__URL_FILE", str(file))
    settings = Settings()
    assert settings.database.url.get_secret_value() == "postgresql://app:from-a-file@localhost/app"
    assert "from-a-file" not in repr(settings)


def test_a_secret_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A path that cannot be read stops the process."""
    monkeypatch.setenv("REDIS__URL_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Settings()


@pytest.mark.parametrize(("text", "seconds"), [("7", 7), ("0.5", 0.5), ("PT2M", 120)])
def test_durations_are_seconds_or_iso(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    """A bare number means seconds."""
    monkeypatch.setenv("JOB__LEASE", text)
    assert Settings().job.lease == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["0", "-1", "soon"])
def test_a_duration_that_is_none_is_an_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Zero, less, or words are refused."""
    monkeypatch.setenv("JOB__LEASE", text)
    with pytest.raises(ValidationError, match="lease"):
        Settings()


def test_settings_do_not_change() -> None:
    """They are read once."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().job.attempts = 9


@pytest.mark.parametrize(
    ("captioners", "says"),
    [
        ('{"other": "nobody:"}', "no captioner 'nobody'"),
        ('{"blip": "fake:"}', "called blip already"),
        ('{"An other": "fake:"}', "no name for a captioner"),
        ('{"other": "blip:somewhere?beams=3"}', "beams"),
    ],
)
def test_a_misspelt_captioner_stops_the_process(monkeypatch: pytest.MonkeyPatch, captioners: str, says: str) -> None:
    """Each that is offered can be read, and has a name of its own."""
    monkeypatch.setenv("MODELS__CAPTIONERS", captioners)
    with pytest.raises(ValidationError, match=says):
        Settings()


@pytest.mark.parametrize(
    ("embedders", "says"),
    [
        ('{"other": "nobody:"}', "no embedder 'nobody:'"),
        ('{"open_clip": "fake:"}', "called open_clip already"),
        ('{"An other": "fake:"}', "no name for an embedder"),
    ],
)
def test_a_misspelt_embedder_stops_the_process(monkeypatch: pytest.MonkeyPatch, embedders: str, says: str) -> None:
    """Each that is offered can be read, and has a name of its own."""
    monkeypatch.setenv("MODELS__EMBEDDERS", embedders)
    with pytest.raises(ValidationError, match=says):
        Settings()
