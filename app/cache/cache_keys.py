"""Cache keys: hashes of everything that a generated image, or a whole result, depends on.

A key changes with everything that could change the outcome, and with nothing else. A key does not reveal what it was
computed from, so it may be kept when a job's texts are deleted.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attribution.catalog import Catalog, Source
from attribution.ports import SourceState


class RequestedSource(Protocol):
    """A source as a job requests it, whether its row was read or is still to be inserted."""

    @property
    def source(self) -> str:
        """The source's id."""
        ...

    @property
    def model(self) -> str:
        """The source's model at acceptance."""
        ...

    @property
    def revision(self) -> str:
        """The model's revision at acceptance."""
        ...

    @property
    def state(self) -> str:
        """`pending`, or why the source is not tested."""
        ...


# A source that a job skips because it is local only is keyed as pending: `local_only` is compared by itself.
_PENDING, _SKIPPED = SourceState.PENDING, SourceState.SKIPPED


def generated_image_key(caption: str, source: Source, dtype: str | None, seed: int, k: int) -> str:
    """The key of the k-th image of a source.

    Args:
        seed: The derived seed, also where the source takes none.
        dtype: The installation's setting, which overrides the source's own; None where it is not set.
    """
    return _digest(["generated_image/1", caption, *_generation_of(source), dtype, seed, k])


def result_key(
    image_sha256: str,
    requested: Iterable[RequestedSource],
    catalog: Catalog,
    images_per_source: int,
    seed: int | None,
    prompt: str | None,
    *options: Mapping[str, Any] | None,
) -> str:
    """The key of a whole result: the uploaded file, and everything that the caller requested about it.

    The models that caption and embed are not part of it (see `app.cache.results`), but a name that the caller gave is.
    """
    entries = {source.id: source for source in catalog.sources}
    sources = [
        [each.source, each.model, each.revision, _PENDING if each.state == _SKIPPED else each.state]
        + (_generation_of(entries[each.source]) if each.source in entries else [])
        for each in requested
    ]
    return _digest(["answer/2", image_sha256, sources, images_per_source, seed, prompt, *options])


def pipeline_key(*parts: object) -> str:
    """The fingerprint of what turns generated images into a result: models, distance, thresholds."""
    return _digest(["method/1", *parts])


def _generation_of(source: Source) -> list[object]:
    parameters = sorted(source.parameters.items())
    limit = source.limits.max_prompt_chars
    return [source.id, source.model, source.revision, source.adapter, parameters, limit]


def _digest(parts: list[Any]) -> str:
    # JSON, because joining with a separator would give ("a|b", "c") and ("a", "b|c") the same key.
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("ascii")).hexdigest()
