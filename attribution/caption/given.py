"""The caller's own prompt in the captioner's place: the papers' "natural prompt" setting."""

from PIL.Image import Image

from attribution.ports import BY_CALLER, ModelRef

GIVEN = ModelRef("given", BY_CALLER)


class GivenCaptioner:
    """Says what it was told, whatever the image."""

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def ref(self) -> ModelRef:
        """Marks the caption as the caller's."""
        return GIVEN

    def describe(self, image: Image) -> str:
        """The caller's prompt."""
        return self._text
