"""The hooks that see a query image and its caption before anything is drawn. The default installation has none.

Screening fails closed: a hook that raises ends the stage as an error, and the job is never drawn.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from PIL.Image import Image

from app.errors import Screened


class Hook(Protocol):
    """Says no to an image or to a caption, with a sentence for the caller; None lets it pass."""

    def check_image(self, image: Image) -> str | None:
        """Judges the canonical query image, RGB."""
        ...

    def check_caption(self, caption: str) -> str | None:
        """Judges the text that sources would be given."""
        ...


def load_hooks(names: Sequence[str]) -> tuple[Hook, ...]:
    """The objects that `package.module:name` settings point to. Raises ImportError or AttributeError at start."""
    hooks = []
    for name in names:
        module, _, attribute = name.partition(":")
        hooks.append(cast(Hook, getattr(import_module(module), attribute)))
    return tuple(hooks)


def screen_image(hooks: Sequence[Hook], image: Image) -> None:
    """Raises Screened at the first hook that says no."""
    for hook in hooks:
        if sentence := hook.check_image(image):
            raise Screened(sentence)


def screen_caption(hooks: Sequence[Hook], caption: str) -> None:
    """Raises Screened at the first hook that says no."""
    for hook in hooks:
        if sentence := hook.check_caption(caption):
            raise Screened(sentence)
