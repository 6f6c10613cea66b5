"""The protocol of screening hooks, with their input and output. Hash lists and text rules are hooks, too."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Protocol, cast

from PIL.Image import Image

from attribution.image import decode_own, encode_png


class QueryImage:
    """A job's canonical image; its bytes are read, and its pixels decoded, when a hook first uses them."""

    def __init__(self, tenant_id: uuid.UUID, job_id: uuid.UUID, read: Callable[[], bytes]) -> None:
        self.tenant_id = tenant_id
        self.job_id = job_id
        self._read = read

    @cached_property
    def image(self) -> Image:
        """The canonical image, RGB. Raises StorageUnavailable."""
        return decode_own(self._read())

    @cached_property
    def png(self) -> bytes:
        """The canonical image as PNG. Raises StorageUnavailable."""
        return encode_png(self.image)


@dataclass(frozen=True, slots=True)
class ScreenedCaption:
    """The text that a job's sources would be given: the captioner's, or the caller's prompt."""

    tenant_id: uuid.UUID
    job_id: uuid.UUID
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A refusal: the kind of screening, the name of the list or rule, and a sentence for the caller."""

    kind: str
    name: str
    sentence: str


class Hook(Protocol):
    """Refuses an image or a caption by returning a hit; None lets it pass. A hook that raises lets nothing pass.

    It is called from several threads at once.
    """

    def check_image(self, query: QueryImage) -> Hit | None:
        """Checks the query image."""
        ...

    def check_caption(self, caption: ScreenedCaption) -> Hit | None:
        """Checks the text."""
        ...


def load_hooks(names: Sequence[str]) -> tuple[Hook, ...]:
    """The objects that `package.module:name` settings point to. Raises ImportError or AttributeError at start."""
    hooks = []
    for name in names:
        module, _, attribute = name.partition(":")
        hooks.append(cast(Hook, getattr(import_module(module), attribute)))
    return tuple(hooks)
