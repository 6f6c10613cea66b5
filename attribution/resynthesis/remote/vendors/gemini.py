"""Google's Gemini models that generate, by the Developer API: refusals have status 200 and say so where an image would be.

The models think about a caption before they generate it; nothing switches that off, and they do not tell what they made
of it. A seed is taken; that it repeats an image is not promised.
"""

from collections.abc import Mapping
from urllib.parse import quote

from attribution.errors import KeyRefused, OutputRefused, PromptRefused, QuotaExhausted, RateLimited, SourceError
from attribution.resynthesis.remote.keys import Header, Scheme
from attribution.resynthesis.remote.response_fields import find, from_base64, items, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, Vendor, VendorImage, meaning, taking
from attribution.resynthesis.remote.web import HttpResponse, Request

_ENDS: Mapping[str, type[SourceError]] = meaning(
    {
        PromptRefused: ("PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "MODEL_ARMOR", "LANGUAGE"),
        OutputRefused: (
            "SAFETY",
            "RECITATION",
            "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT",
            "IMAGE_RECITATION",
            "IMAGE_OTHER",
            "NO_IMAGE",
        ),
    }
)
_WELL = (None, "STOP", "FINISH_REASON_UNSPECIFIED")


class Gemini(Vendor):
    """`POST /models/{model}:generateContent`, answered at once."""

    name = "Gemini"
    base_url: str | None = "https://generativelanguage.googleapis.com/v1beta"
    scheme: Scheme = Header("x-goog-api-key")
    key = "gemini"
    options = taking(aspectRatio=str, imageSize=str, temperature=float)
    max_seed = 2**31 - 1
    words_at = ("error.details.0.reason",)
    words = meaning({KeyRefused: ("API_KEY_INVALID",)})
    message_at = ("error.message",)

    def order(self, wish: ImageRequest) -> Request:
        """An image alone: asked for words as well, it may answer with words alone."""
        image = {name: self.given.get(name) for name in ("aspectRatio", "imageSize")}
        settings = {
            "responseModalities": ["IMAGE"],
            "candidateCount": 1,
            "seed": wish.seed,
            "temperature": self.given.get("temperature"),
            "imageConfig": _told(image) or None,
        }
        contents = [{"role": "user", "parts": [{"text": wish.prompt}]}]
        return Request.json(self.path(), {"contents": contents, "generationConfig": _told(settings)})

    def path(self) -> str:
        """What is called, below the base URL."""
        return f"models/{quote(self.model, safe='')}:generateContent"

    def read(self, answer: HttpResponse) -> Reply:
        """Both the prompt and the image may have been blocked, and an image beside a bad end is none."""
        document = answer.document()
        if text(document, "promptFeedback.blockReason") is not None:
            raise PromptRefused(self.sentence(PromptRefused))
        candidates = items(document, "candidates")
        for candidate in candidates:
            end = text(candidate, "finishReason")
            if refused := _ENDS.get(end or ""):
                raise refused(self.sentence(refused))
            if end not in _WELL:
                raise SourceError(f"{self.name} did not finish the generated image.")
        return [
            VendorImage(from_base64(data))
            for candidate in candidates
            for part in items(candidate, "content.parts")
            if find(part, "thought") is not True  # sketches that it makes on the way
            and (data := text(part, "inlineData.data"))
        ]

    def failure(self, answer: HttpResponse) -> SourceError | None:
        """Limits by the minute say when they end, in the body; one by the day is a quota."""
        document = answer.document_or_none()
        if text(document, "error.status") != "RESOURCE_EXHAUSTED":
            return super().failure(answer)
        details = items(document, "error.details")
        violations = [each for detail in details for each in items(detail, "violations")]
        if any("PerDay" in (text(each, "quotaId") or "") for each in violations):
            return QuotaExhausted(f"The operator's account with {self.name} is used up for today.")
        pauses = [pause for detail in details if (pause := _seconds(text(detail, "retryDelay"))) is not None]
        return RateLimited(self.sentence(RateLimited), max(pauses, default=None))


def _told(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _seconds(duration: str | None) -> float | None:
    """Of a duration such as 7s or 2.5s."""
    try:
        return max(0.0, float((duration or "").removesuffix("s")))
    except ValueError:
        return None


VENDOR = Gemini
