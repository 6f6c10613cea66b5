"""The pool: loaded generators stay within the memory bound, the least recently used goes first."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from attribution.catalog import Source
from attribution.errors import SourceUnavailable
from attribution.ports import Caption, Deadline, Generator, ModelRef, SourceState
from attribution.resynthesis import resynthesize
from attribution.resynthesis.fake import FakeGenerator
from attribution.resynthesis.pool import GeneratorPool

BASE = Source(1, "a", "A", True, "f", "local", "m", "1", "none", 100, "fake", root=Path())


def _counting() -> tuple[list[str], Callable[[Source], Generator]]:
    built: list[str] = []

    def build(source: Source) -> Generator:
        built.append(source.id)
        return FakeGenerator(source.id, ModelRef(source.model, source.revision))

    return built, build


def _source(name: str, memory_mb: int = 100) -> Source:
    return replace(BASE, id=name, memory_mb=memory_mb)


def test_a_loaded_generator_is_kept() -> None:
    """The same source is built once."""
    built, build = _counting()
    pool = GeneratorPool(build, 300)
    assert pool.get(_source("a")) is pool.get(_source("a"))
    assert built == ["a"]


def test_the_least_recently_used_goes_first() -> None:
    """The least recently used generator is unloaded; the sum never exceeds the limit."""
    _, build = _counting()
    pool = GeneratorPool(build, 300)
    for name in ("a", "b", "c", "a"):
        pool.get(_source(name))
    pool.get(_source("d", 150))
    assert pool.loaded == ("a", "d")


def test_the_room_is_made_before_loading() -> None:
    """Two models are not loaded at once if only one fits."""
    loaded_while_building = []

    def build(source: Source) -> Generator:
        loaded_while_building.append(pool.loaded)
        return FakeGenerator(source.id, ModelRef("m", "1"))

    pool = GeneratorPool(build, 150)
    pool.get(_source("a"))
    pool.get(_source("b"))
    assert loaded_while_building == [(), ()]


def test_what_never_fits_is_unavailable() -> None:
    """A source that needs more than the limit is refused, and nothing is unloaded."""
    _, build = _counting()
    pool = GeneratorPool(build, 150)
    pool.get(_source("a"))
    with pytest.raises(SourceUnavailable, match="200 MB"):
        pool.get(_source("b", 200))
    assert pool.loaded == ("a",)


def test_another_description_is_another_generator() -> None:
    """A changed revision of the same id is loaded again."""
    built, build = _counting()
    pool = GeneratorPool(build, 300)
    pool.get(_source("a"))
    pool.get(replace(_source("a"), revision="2"))
    assert built == ["a", "a"]
    assert pool.loaded == ("a",)


def test_clearing_lets_go() -> None:
    """`clear` unloads all generators."""
    _, build = _counting()
    pool = GeneratorPool(build, 300)
    pool.get(_source("a"))
    pool.clear()
    assert pool.loaded == ()


def test_a_handle_loads_when_it_generates() -> None:
    """A handle loads nothing until it generates; a source that cannot be loaded is unavailable."""
    built, build = _counting()
    handle = GeneratorPool(build, 300).handle(_source("a"))
    assert (handle.source, str(handle.ref), built) == ("a", "m@1", [])
    assert handle.generate("a hat", (1,), Deadline.after(9))

    too_big = GeneratorPool(build, 50).handle(_source("a"))
    result = resynthesize(too_big, Caption("a hat", ModelRef("c", "1")), (1,), Deadline.after(9))
    assert result.state is SourceState.UNAVAILABLE


def test_what_jobs_wait_for_makes_room_last() -> None:
    """Of loaded generators the least recently used goes first, but those that are needed go after all others."""
    _, build = _counting()
    pool = GeneratorPool(build, 300)
    for name in ("a", "b", "c"):
        pool.get(_source(name))
    pool.get(_source("d"), needed={"a", "d"})
    assert pool.loaded == ("a", "c", "d")
    pool.get(_source("e", 200), needed={"a", "c", "d"})
    assert pool.loaded == ("d", "e")
