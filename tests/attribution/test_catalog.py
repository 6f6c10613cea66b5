"""The catalog: what a source's file may contain, and the sentence for every mistake in it."""

from datetime import date
from pathlib import Path

import pytest

from attribution.catalog import Catalog, LifecycleState, Limits, SeedSupport, Source, load_catalog
from attribution.errors import ConfigurationError, UnknownSource
from attribution.ports import SourceState

ENTRY = """
schema = 1
id = "zoo-unet"
name = "Zoo UNet"
enabled = true
family = "latent-diffusion"
platform = "local"
model = "zoo/models/unet"
revision = "sha256:abcd"
license = "Apache-2.0"
memory_mb = 200
adapter = "diffusers"
price_usd = 0
[lifecycle]
state = "live"
[parameters]
steps = 20
guidance = 3.0
dtype = "float32"
safe = true
[limits]
timeout_seconds = 60
max_prompt_chars = 200
"""

REMOTE = """
schema = 1
id = "flux"
name = "FLUX"
enabled = false
family = "rectified-flow-transformer"
platform = "bfl"
model = "flux-2-pro"
revision = "undated"
license = "terms of service"
terms = "https://example.com/terms"
adapter = "bfl"
price_usd = 0.03
seed = "yes"
sizes = ["1024x1024", "16:9", "any"]
images_per_source = 2
[lifecycle]
state = "deprecated"
until = 2026-12-01
successor = "flux-3"
[limits]
concurrency = 24
per_minute = 0.5
"""


def _write(directory: Path, name: str = "a.toml", text: str = ENTRY) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(text)
    return directory


def _only(directory: Path) -> Source:
    (source,) = load_catalog([directory]).sources
    return source


def _three(directory: Path) -> Catalog:
    for name, source, enabled in [("2", "b", "true"), ("1", "z", "true"), ("3", "a", "false")]:
        text = ENTRY.replace("zoo-unet", source).replace("enabled = true", f"enabled = {enabled}")
        _write(directory, f"{name}.toml", text)
    return load_catalog([directory])


def test_an_entry_is_read_as_written(tmp_path: Path) -> None:
    """Every key arrives with its type."""
    source = _only(_write(tmp_path / "sources"))
    assert (source.id, source.enabled, source.memory_mb, source.price_usd) == ("zoo-unet", True, 200, 0.0)
    assert source.parameters == {"steps": 20, "guidance": 3.0, "dtype": "float32", "safe": True}
    assert (source.limits.timeout_seconds, source.limits.max_prompt_chars) == (60.0, 200)
    assert source.lifecycle.state is LifecycleState.LIVE


def test_remote_entry_is_read(tmp_path: Path) -> None:
    """A remote source needs no memory, is external, and has limits, terms and a successor."""
    source = _only(_write(tmp_path, text=REMOTE))
    assert (source.memory_mb, source.external, source.directory) == (0, True, None)
    assert source.limits == Limits(concurrency=24, per_minute=0.5)
    assert (source.seed, source.sizes, source.images_per_source) == (SeedSupport.YES, ("1024x1024", "16:9", "any"), 2)
    assert (source.terms, source.lifecycle.successor) == ("https://example.com/terms", "flux-3")


@pytest.mark.parametrize(
    ("text", "external", "seed"),
    [
        (ENTRY, False, SeedSupport.YES),
        (REMOTE.replace('seed = "yes"', ""), True, SeedSupport.UNCONFIRMED),
        (REMOTE.replace("[lifecycle]", "external = false\n[lifecycle]"), False, SeedSupport.YES),
    ],
)
def test_defaults_depend_on_platform(tmp_path: Path, text: str, external: bool, seed: SeedSupport) -> None:
    """A source of another platform is external and its seeds unconfirmed, unless the file sets them."""
    source = _only(_write(tmp_path, text=text))
    assert (source.external, source.seed) == (external, seed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('platform = "bfl"', 'platform = "local"', "memory_mb is missing"),
        ('seed = "yes"', 'seed = "maybe"', "seed must be 'yes', 'unconfirmed' or 'no'"),
        ('"16:9"', '"wide"', "sizes must hold sizes such as 1024x1024"),
        ('"16:9"', "9", r"sizes\.1 must be a string"),
        ('"https://example.com/terms"', '"see there"', "terms must be the https address"),
        ("images_per_source = 2", "images_per_source = 0", "images_per_source must be above 0"),
        ("concurrency = 24", "concurrency = 1.5", "limits.concurrency must be a whole number"),
        ("per_minute = 0.5", "per_minute = -1", "limits.per_minute must be above 0"),
        ('adapter = "bfl"', 'adapter = "none"', "adapter can be 'none' only for a source that is retired"),
        ('"flux-3"', "3", "lifecycle.successor must be a string"),
    ],
)
def test_mistakes_in_a_remote_entry_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The message names file and key."""
    with pytest.raises(ConfigurationError, match=message) as raised:
        load_catalog([_write(tmp_path, "flux.toml", REMOTE.replace(old, new))])
    assert "flux.toml: " in str(raised.value)


def test_local_source_cannot_be_external(tmp_path: Path) -> None:
    """A local source that is marked external is a contradiction."""
    with pytest.raises(ConfigurationError, match="external cannot be true"):
        load_catalog([_write(tmp_path, text=ENTRY.replace("[lifecycle]", "external = true\n[lifecycle]"))])


def test_deprecated_source_warns_until_its_last_day(tmp_path: Path) -> None:
    """Until its last day there is a warning with the successor; from the next day on it is retired."""
    source = _only(_write(tmp_path, text=REMOTE))
    warning = "FLUX will be switched off on 2026-12-01. Its successor is flux-3."
    assert (source.warning(date(2026, 12, 1)), source.obstacle(date(2026, 12, 1))) == (warning, None)
    gone = "FLUX was switched off on 2026-12-01. Its successor is flux-3."
    assert source.warning(date(2026, 12, 2)) is None
    assert source.obstacle(date(2026, 12, 2)) == (SourceState.RETIRED, gone)


def test_a_directory_is_relative_to_the_parent_of_the_catalog(tmp_path: Path) -> None:
    """Weights are found relative to the catalog, not to the working directory; a hub id has no directory."""
    source = _only(_write(tmp_path / "sources"))
    assert source.directory == tmp_path / "zoo/models/unet"
    _write(tmp_path / "sources", text=ENTRY.replace("zoo/models/unet", "o/hub").replace("sha256:abcd", "0" * 40))
    assert _only(tmp_path / "sources").directory is None


def test_tables_may_be_left_out(tmp_path: Path) -> None:
    """By default a source is live, without parameters and with the default limits."""
    source = _only(_write(tmp_path, text=ENTRY.split("price_usd")[0]))
    assert source.lifecycle.state is LifecycleState.LIVE
    assert (source.parameters, source.price_usd, source.limits.max_prompt_chars) == ({}, None, None)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 2", "schema must be 1"),
        ('id = "zoo-unet"', 'id = "Zoo Unet"', "id must be lower-case"),
        ('id = "zoo-unet"', "", "id is missing"),
        ('license = "Apache-2.0"', 'license = ""', "license must not be empty"),
        ("memory_mb = 200", "memory_mb = 0", "memory_mb must be above 0"),
        ("memory_mb = 200", "memory_mb = true", "memory_mb must be a whole number"),
        ("enabled = true", "enabled = 1", "enabled must be true or false"),
        ("price_usd = 0", "price_usd = -1", "price_usd must be at least 0"),
        ("price_usd = 0", "prize_usd = 0", "prize_usd is not a known key"),
        ('state = "live"', 'state = "dead"', "lifecycle.state must be 'live'"),
        ('state = "live"', 'state = "deprecated"', "lifecycle needs until"),
        ('state = "live"', 'state = "retired"', "lifecycle needs since"),
        ('state = "live"', 'state = "retired"\nsince = "2026"', "lifecycle.since must be a date"),
        ('state = "live"', 'stat = "live"', "lifecycle.stat is not a known key"),
        ("steps = 20", "steps = [20]", "parameters.steps must be a string"),
        ("timeout_seconds = 60", "timeout_seconds = inf", "limits.timeout_seconds must be a finite number"),
        ("timeout_seconds = 60", "timeout = 60", "limits.timeout is not a known key"),
        ("schema = 1", "schema = ", "not readable as TOML"),
    ],
)
def test_every_mistake_names_file_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The sentence is enough to find the line."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_catalog([_write(tmp_path, text=ENTRY.replace(old, new))])
    assert "a.toml" in str(caught.value)


def test_plain_value_is_not_a_table(tmp_path: Path) -> None:
    """A plain value in the place of a table is a mistake."""
    text = ENTRY.split("[lifecycle]")[0] + "limits = 3\n"
    with pytest.raises(ConfigurationError, match="limits must be a table"):
        load_catalog([_write(tmp_path, text=text)])


def test_two_files_cannot_share_an_id(tmp_path: Path) -> None:
    """The second file of an id is a mistake, not a replacement."""
    _write(tmp_path)
    with pytest.raises(ConfigurationError, match="zoo-unet"):
        load_catalog([_write(tmp_path, "b.toml")])


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """A mistyped directory is an error, not an empty catalog."""
    with pytest.raises(ConfigurationError, match="nowhere"):
        load_catalog([tmp_path / "nowhere"])


def test_order_is_by_file_name_within_each_directory(tmp_path: Path) -> None:
    """Catalog order decides ties, so it must not depend on the file system."""
    _three(tmp_path / "one")
    _write(tmp_path / "two", "0.toml")
    catalog = load_catalog([tmp_path / "one", tmp_path / "two"])
    assert [source.id for source in catalog.sources] == ["z", "b", "a", "zoo-unet"]


def test_selection(tmp_path: Path) -> None:
    """Enabled ones by default; named ones even if disabled; always in catalog order."""
    catalog = _three(tmp_path)

    def chosen(include: list[str] | None, exclude: list[str]) -> list[str]:
        return [source.id for source in catalog.select(include, exclude)]

    assert chosen(None, []) == ["z", "b"]
    assert chosen(None, ["z"]) == ["b"]
    assert chosen(["a", "b"], []) == ["b", "a"]
    assert chosen([], []) == []
    besides = [source.id for source in catalog.select([], [], ["a", "b"])]
    assert besides == ["b", "a"]
    assert [source.id for source in catalog.select(None, [], ["a"])] == ["z", "b", "a"]
    assert catalog.get("a").id == "a"


def test_unknown_ids_are_all_named(tmp_path: Path) -> None:
    """One error lists all unknown ids."""
    catalog = _three(tmp_path)
    with pytest.raises(UnknownSource) as caught:
        catalog.select(["a", "x"], ["y"])
    assert caught.value.ids == ("x", "y")
    with pytest.raises(UnknownSource):
        catalog.get("x")


@pytest.mark.parametrize(
    ("lifecycle", "state"),
    [
        ('state = "live"', None),
        ('state = "deprecated"\nuntil = 2026-12-31', None),
        ('state = "deprecated"\nuntil = 2026-01-31', SourceState.RETIRED),
        ('state = "retired"\nsince = 2026-01-31', SourceState.RETIRED),
        ('state = "no_api"', SourceState.NO_API),
        ('state = "no_api"\nnote = "Only in a browser."', SourceState.NO_API),
    ],
)
def test_obstacles(tmp_path: Path, lifecycle: str, state: SourceState | None) -> None:
    """An unavailable source has a state and a sentence; a deprecated one is retired after its last day."""
    source = _only(_write(tmp_path, text=ENTRY.replace('state = "live"', lifecycle)))
    obstacle = source.obstacle(date(2026, 11, 22))
    assert (obstacle and obstacle[0]) == state
    assert obstacle is None or obstacle[1].endswith(".")


def test_the_shipped_catalog_reads() -> None:
    """Every file in `sources/` is well-formed, and no hub model is enabled without a pinned commit."""
    catalog = load_catalog([Path(__file__).parents[2] / "sources"])
    ids = {source.id for source in catalog.sources}
    assert {"sd-1-5", "sd-2-1", "sdxl", "sd-3-5-medium", "flux-1-dev", "pixart-sigma"} <= ids
    for source in catalog.sources:
        assert not source.enabled or source.revision != "main", source.id


def test_a_catalog_with_some_local_sources() -> None:
    """Other local sources are left out, remote ones stay, and one that is not there or not local is an error."""
    catalog = load_catalog([Path(__file__).parents[2] / "sources"])
    part = catalog.with_local(["sdxl", "zoo-dit"])
    assert [source.id for source in part.sources if source.is_local] == ["sdxl", "zoo-dit"]
    remote = [source.id for source in catalog.sources if not source.is_local]
    assert [source.id for source in part.sources if not source.is_local] == remote
    for name in ("sdxxl", "gpt-image-2"):
        with pytest.raises(ConfigurationError, match=f"no local source {name}"):
            catalog.with_local(["sdxl", name])
