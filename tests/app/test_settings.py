"""The settings: strict, frozen, and without a secret that works by default."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the required settings."""
    monkeypatch.setenv("DATABASE__URL", "postgresql://app:secret@localhost/app")
    monkeypatch.setenv("REDIS__URL", "redis://localhost")


@pytest.mark.parametrize("name", ["DATABASE__URL", "REDIS__URL"])
def test_a_missing_address_stops_the_process(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A required setting that is missing is an error at start."""
    monkeypatch.delenv(name)
    with pytest.raises(ValidationError, match=name.split("__")[0].lower()):
        Settings()


def test_a_misspelled_name_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_missing_secret_file_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A path that cannot be read stops the process."""
    monkeypatch.setenv("REDIS__URL_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Settings()


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7), ("0.5", 0.5), ("90s", 90), ("2m", 120), ("1h30m", 5_400), ("1d0.5s", 86_400.5)]
)
def test_durations_are_seconds_or_have_units(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    """A bare number means seconds."""
    monkeypatch.setenv("JOB__LEASE", text)
    assert Settings().job.lease == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["0", "0m", "-1", "soon", "", "m", "5m1h", "PT2M", "1e3", "٣"])
def test_an_invalid_duration_is_an_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Zero, less, words, and units in another order are refused."""
    monkeypatch.setenv("JOB__LEASE", text)
    with pytest.raises(ValidationError, match="lease"):
        Settings()


def test_settings_do_not_change() -> None:
    """They are read once."""
    with pytest.raises(ValidationError, match="frozen"):
        setattr(Settings().job, "attempts", 9)  # noqa: B010 - the type checker knows that it is read-only


@pytest.mark.parametrize(
    ("captioners", "says"),
    [
        ('{"other": "unknown:"}', "no captioner 'unknown'"),
        ('{"blip": "fake:"}', "called blip already"),
        ('{"An other": "fake:"}', "cannot be the name of a captioner"),
        ('{"other": "blip:somewhere?beams=3"}', "beams"),
    ],
)
def test_a_misspelled_captioner_stops_the_process(monkeypatch: pytest.MonkeyPatch, captioners: str, says: str) -> None:
    """Every offered one has a valid spec and a name of its own."""
    monkeypatch.setenv("MODELS__CAPTIONERS", captioners)
    with pytest.raises(ValidationError, match=says):
        Settings()


@pytest.mark.parametrize(
    ("embedders", "says"),
    [
        ('{"other": "unknown:"}', "no embedder 'unknown:'"),
        ('{"open_clip": "fake:"}', "called open_clip already"),
        ('{"An other": "fake:"}', "cannot be the name of an embedder"),
    ],
)
def test_a_misspelled_embedder_stops_the_process(monkeypatch: pytest.MonkeyPatch, embedders: str, says: str) -> None:
    """Every offered one has a valid spec and a name of its own."""
    monkeypatch.setenv("MODELS__EMBEDDERS", embedders)
    with pytest.raises(ValidationError, match=says):
        Settings()
