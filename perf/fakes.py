"""A service over fake sources, to measure its own cost: real servers, real workers, no models."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from devstack.stack import Stack, stack
from devstack.state import remove

WORKERS = {"worker-light": ("light",), "worker-models": ("caption", "embed"), "worker-remote": ("remote",)}
_SOURCE = """
schema = 1
id = "{id}"
name = "{id}"
enabled = true
family = "fake"
platform = "{platform}"
model = "fake"
revision = "1"
license = "none"
memory_mb = 1
adapter = "fake"
[parameters]
{parameters}
[limits]
timeout_seconds = {timeout}
"""


def fake_source(source: str, parameters: str, timeout: float = 20, platform: str = "bench") -> str:
    """The catalog file of a fake source with these TOML parameters; its images wait for `timeout` seconds at most."""
    return _SOURCE.format(id=source, parameters=parameters, timeout=timeout, platform=platform)


@contextmanager
def fake_service(
    sources: Mapping[str, str],
    timeout: float = 20,
    captioner: str = "fake:",
    workers: Mapping[str, tuple[str, ...]] = WORKERS,
    environment: Mapping[str, str] | None = None,
    platform: str = "bench",
) -> Iterator[Stack]:
    """A service over these sources (id → TOML parameters); see `service_over`."""
    catalog = {name: fake_source(name, parameters, timeout, platform) for name, parameters in sources.items()}
    with service_over(catalog, captioner, workers, environment) as running:
        yield running


@contextmanager
def service_over(
    catalog: Mapping[str, str],
    captioner: str = "fake:",
    workers: Mapping[str, tuple[str, ...]] = WORKERS,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Stack]:
    """A service over a catalog (id → file), without models, on a temporary state directory.

    If it has workers, they are warm.
    """
    with TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        directory = Path(folder) / "sources"
        directory.mkdir()
        for name, text in catalog.items():
            (directory / f"{name}.toml").write_text(text)
        settings = {
            "CATALOG__DIRECTORIES": f'["{directory}"]',
            "MODELS__CAPTIONER": captioner,
            "MODELS__EMBEDDER": "fake:",
            "MODELS__CALIBRATIONS": "[]",
        }
        state = Path(folder) / "state"
        with stack(state, workers=workers, environment=settings | dict(environment or {})) as running:
            if workers:
                running.wait_until_warm()
            yield running
        remove(state)
