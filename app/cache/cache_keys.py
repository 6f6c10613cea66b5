"""Names questions by hashes: what must be the same for a generated image, or a whole answer, to be used again.

A hash changes with everything that could change the outcome, and with nothing else. What it is made of is forgotten
with the job: whoever holds only the hash cannot read the question off it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attribution.catalog import Catalog, Source
from attribution.ports import SourceState


class CachedRequest(Protocol):
    """A source as a job asks it, whether its row is still to be inserted or was read."""

    @property
    def source(self) -> str:
        """The source's id."""
        ...

    @property
    def model(self) -> str:
        """What it generated with when the job was accepted."""
        ...

    @property
    def revision(self) -> str:
        """Of the model."""
        ...

    @property
    def state(self) -> str:
        """`pending`, or why it is not asked."""
        ...


# What a job leaves out because it is local only follows from that, and is known for a row alone.
_PENDING, _SKIPPED = SourceState.PENDING, SourceState.SKIPPED


def generated_image_key(caption: str, source: Source, dtype: str | None, seed: int, k: int) -> str:
    """Of the k-th generating. `seed` is the one it is asked with, also where the source takes none; `dtype` overrides
    the source's own."""
    return _digest(["generated_image/1", caption, *_generated_by(source), dtype, seed, k])


def result_key(
    image_sha256: str,
    asked: Iterable[CachedRequest],
    catalog: Catalog,
    images_per_source: int,
    seed: int | None,
    prompt: str | None,
    *how: Mapping[str, Any] | None,
) -> str:
    """Of a file and everything that was asked about it, `how` it is to be answered included.

    Which models describe and compare is not part of it, but the name of one that was asked for is.
    """
    entries = {source.id: source for source in catalog.sources}
    sources = [
        [each.source, each.model, each.revision, _PENDING if each.state == _SKIPPED else each.state]
        + (_generated_by(entries[each.source]) if each.source in entries else [])
        for each in asked
    ]
    return _digest(["answer/2", image_sha256, sources, images_per_source, seed, prompt, *how])


def pipeline_key(*parts: object) -> str:
    """Of what turns generated images into an answer: models, distance, thresholds."""
    return _digest(["method/1", *parts])


def _generated_by(source: Source) -> list[object]:
    parameters = sorted(source.parameters.items())
    limit = source.limits.max_prompt_chars
    return [source.id, source.model, source.revision, source.adapter, parameters, limit]


def _digest(question: list[Any]) -> str:
    # JSON, because joining with a separator would let ("a|b", "c") and ("a", "b|c") be the same question.
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode("ascii")).hexdigest()
