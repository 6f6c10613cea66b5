"""The sources of one installation, and which of them a request uses."""

from collections.abc import Collection, Sequence
from datetime import date

from attribution.catalog.source import Source
from attribution.errors import UnknownSource


class Catalog:
    """The sources this installation knows, in catalog order."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources: tuple[Source, ...] = tuple(sources)
        self._by_id = {source.id: source for source in self.sources}

    def __contains__(self, source_id: object) -> bool:
        return source_id in self._by_id

    def get(self, source_id: str) -> Source:
        """The source of that id. Raises UnknownSource."""
        if source_id not in self._by_id:
            raise UnknownSource([source_id])
        return self._by_id[source_id]

    def available(self, today: date) -> tuple[Source, ...]:
        """The enabled sources that can be used today: those that the installation needs workers and models for."""
        return tuple(source for source in self.sources if source.enabled and source.obstacle(today) is None)

    def select(
        self, include: Sequence[str] | None, exclude: Sequence[str], besides: Collection[str] = ()
    ) -> tuple[Source, ...]:
        """The enabled sources, or exactly those of `include`, without those of `exclude`; always in catalog order.

        Sources in `besides` are always selected: the caller supplies reference images of them. A disabled source in
        `include` is selected, too, so that the result says why it was not tested.
        Raises UnknownSource with every id that is not in the catalog.
        """
        unknown = [name for name in (*(include or ()), *exclude, *besides) if name not in self._by_id]
        if unknown:
            raise UnknownSource(unknown)
        return tuple(
            source
            for source in self.sources
            if source.id in besides
            or ((source.enabled if include is None else source.id in include) and source.id not in exclude)
        )
