"""Everything the method can say no with.

AttributionError
├── ImageError                 what was handed in is not an image we can take; `slug` names the kind
│   ├── UnsupportedImage       decodes as none of the accepted formats
│   ├── UndecodableImage       an accepted format, but truncated, empty or broken
│   └── ImageTooLarge          over a cap on bytes, pixels or frames
├── SourceError                a source generated nothing; `state` says how that is recorded
│   ├── PromptRefused          permanent: a refusal is never retried
│   ├── OutputRefused          permanent: what came back is a safety filter's blank
│   ├── RateLimited            try again later
│   ├── QuotaExhausted         permanent until the operator pays
│   ├── SourceTimeout          the deadline passed before the generated image was done
│   └── SourceUnavailable      not reachable, not loadable, out of memory
│       ├── KeyRefused         permanent: the operator has given no key, or one that the vendor does not take
│       ├── ConnectionFailed         no connection: nothing was sent
│       └── ResponseLost         sent, but no whole answer came: nobody knows what became of it
├── CaptionError               a captioner wrote nothing
│   ├── CaptionRefused         permanent: it will not describe this image
│   └── CaptionerUnavailable   it cannot be asked, or gave no answer that could be used
└── ConfigurationError         a catalog entry, a model directory or a calibration that cannot be used
    └── UnknownSource          ids that the catalog does not know; `ids` lists them

`permanent` is the raiser's word on whether trying again is pointless; retry loops only obey it.
"""

from collections.abc import Sequence
from typing import ClassVar

from attribution.ports import SourceState


class AttributionError(Exception):
    """Root of the method's errors. The message is a sentence a caller may be shown."""

    permanent: ClassVar[bool] = True


class ImageError(AttributionError):
    """The query or a reference is not an image we can take."""

    slug: ClassVar[str] = "image"


class UnsupportedImage(ImageError):
    """The bytes decode as none of the accepted formats."""

    slug: ClassVar[str] = "unsupported-image"


class UndecodableImage(ImageError):
    """An accepted format whose pixels cannot be read."""

    slug: ClassVar[str] = "undecodable-image"


class ImageTooLarge(ImageError):
    """Over a cap on bytes, pixels or frames."""

    slug: ClassVar[str] = "image-too-large"


class SourceError(AttributionError):
    """A source generated nothing; `state` is what its row will say."""

    state: ClassVar[SourceState] = SourceState.ERROR


class PromptRefused(SourceError):
    """The source will not generate this caption."""

    state: ClassVar[SourceState] = SourceState.REFUSED_PROMPT


class OutputRefused(SourceError):
    """The source generated, and its safety filter blanked the result."""

    state: ClassVar[SourceState] = SourceState.REFUSED_OUTPUT


class RateLimited(SourceError):
    """The source asks us to slow down, or our own limit for it does; after `retry_after` seconds, if known."""

    permanent: ClassVar[bool] = False
    state: ClassVar[SourceState] = SourceState.RATE_LIMITED

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class QuotaExhausted(SourceError):
    """The operator's account with the source is empty."""

    state: ClassVar[SourceState] = SourceState.QUOTA


class SourceTimeout(SourceError):
    """The deadline passed before the generated image was done."""

    state: ClassVar[SourceState] = SourceState.TIMEOUT


class SourceUnavailable(SourceError):
    """The source cannot be reached or loaded just now."""

    permanent: ClassVar[bool] = False
    state: ClassVar[SourceState] = SourceState.UNAVAILABLE


class KeyRefused(SourceUnavailable):
    """The operator has given no key for the source, or one that the vendor does not take."""

    permanent: ClassVar[bool] = True


class ConnectionFailed(SourceUnavailable):
    """There was no connection: nothing was sent, so nothing was ordered."""


class ResponseLost(SourceUnavailable):
    """It was sent and no whole answer came: nobody knows whether the vendor generated, and bills."""


class CaptionError(AttributionError):
    """A captioner wrote nothing."""


class CaptionRefused(CaptionError):
    """The captioner will not describe this image."""


class CaptionerUnavailable(CaptionError):
    """The captioner cannot be asked, or gave no usable answer, as often as it was to be tried."""


class ConfigurationError(AttributionError):
    """The operator's files or settings cannot be used as they stand."""


class UnknownSource(ConfigurationError):
    """Somebody named sources that the catalog does not know."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = tuple(ids)
        super().__init__(f"The catalog knows no source called {', '.join(self.ids)}.")
