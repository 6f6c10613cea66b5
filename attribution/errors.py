"""The method's exceptions.

AttributionError
├── ImageError                 the input is not an acceptable image; `slug` names the kind
│   ├── UnsupportedImage       decodes as none of the accepted formats
│   ├── UndecodableImage       an accepted format, but truncated, empty or broken
│   └── ImageTooLarge          over a cap on bytes, pixels or frames
├── SourceError                a source generated nothing; `state` says how that is recorded
│   ├── PromptRefused          permanent: a refusal is never retried
│   ├── OutputRefused          permanent: a safety filter withheld the image
│   ├── RateLimited            try again later
│   ├── QuotaExhausted         permanent: the operator's account is used up
│   ├── SourceTimeout          the deadline passed before the generated image was done
│   └── SourceUnavailable      not reachable, not loadable, out of memory
│       ├── DeviceMemoryExhausted  too many images at once, or a model too large
│       ├── KeyRefused         permanent: there is no key, or the vendor rejects it
│       ├── ConnectionFailed   no connection: nothing was sent
│       └── ResponseLost       sent, but no whole response came: the outcome is unknown
├── CaptionError               a captioner wrote nothing
│   ├── CaptionRefused         permanent: it refuses to describe this image
│   └── CaptionerUnavailable   it cannot be reached, or its response is unusable
└── ConfigurationError         a catalog entry, a model directory or a calibration that cannot be used
    └── UnknownSource          unknown ids, listed in `ids`

`permanent` says that a retry is useless; retry loops only read it.
"""

from collections.abc import Sequence
from typing import ClassVar

from attribution.ports import SourceState

# Of what a caller sent, in a sentence.
_MOST_NAMED, _LONGEST_NAME = 20, 100


class AttributionError(Exception):
    """Root of the method's errors. The message is a sentence that callers may see."""

    permanent: ClassVar[bool] = True


class ImageError(AttributionError):
    """The query image or a reference image is not acceptable."""

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
    """A source generated nothing; `state` is recorded for it."""

    state: ClassVar[SourceState] = SourceState.ERROR


class PromptRefused(SourceError):
    """The source refuses to generate this caption."""

    state: ClassVar[SourceState] = SourceState.REFUSED_PROMPT


class OutputRefused(SourceError):
    """The source generated an image, and its safety filter withheld it."""

    state: ClassVar[SourceState] = SourceState.REFUSED_OUTPUT


class RateLimited(SourceError):
    """The source's rate limit, or our own for it, is reached; retry after `retry_after` seconds, if known."""

    permanent: ClassVar[bool] = False
    state: ClassVar[SourceState] = SourceState.RATE_LIMITED

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class QuotaExhausted(SourceError):
    """The operator's account with the source is used up."""

    state: ClassVar[SourceState] = SourceState.QUOTA


class SourceTimeout(SourceError):
    """The deadline passed before the generated image was done."""

    state: ClassVar[SourceState] = SourceState.TIMEOUT


class SourceUnavailable(SourceError):
    """The source cannot be reached or loaded at the moment."""

    permanent: ClassVar[bool] = False
    state: ClassVar[SourceState] = SourceState.UNAVAILABLE


class DeviceMemoryExhausted(SourceUnavailable):
    """The device has not enough memory for this many images."""


class KeyRefused(SourceUnavailable):
    """There is no key for the source, or the vendor rejects it."""

    permanent: ClassVar[bool] = True


class ConnectionFailed(SourceUnavailable):
    """There was no connection: nothing was sent, so nothing was submitted."""


class ResponseLost(SourceUnavailable):
    """The request was sent and no whole response came: whether the vendor generated and bills is unknown."""


class CaptionError(AttributionError):
    """A captioner wrote nothing."""


class CaptionRefused(CaptionError):
    """The captioner refuses to describe this image."""


class CaptionerUnavailable(CaptionError):
    """The captioner cannot be reached, or its responses are unusable, after all attempts."""


class ConfigurationError(AttributionError):
    """The operator's files or settings contain a mistake."""


class UnknownSource(ConfigurationError):
    """The catalog does not contain the named sources."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = tuple(ids)
        named = ", ".join(each[:_LONGEST_NAME] for each in self.ids[:_MOST_NAMED])
        rest = len(self.ids) - _MOST_NAMED
        super().__init__(f"The catalog knows no source called {named}{f' and {rest:,} others' if rest > 0 else ''}.")
