"""Google's Gemini image models by the Developer API: refusals have status 200 and stand in the place of the image.

The models reason about a caption before they generate; this cannot be disabled, and its result is not reported. A seed
is accepted, but does not guarantee the same image.
"""

from collections.abc import Mapping
from urllib.parse import quote

from attribution.errors import KeyRefused, OutputRefused, PromptRefused, QuotaExhausted, RateLimited, SourceError
from attribution.resynthesis.remote.keys import Header, Scheme
from attribution.resynthesis.remote.response_fields import find, from_base64, items, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, Vendor, VendorImage, errors_by_code, option_types
from attribution.resynthesis.remote.web import HttpResponse, Request

_FINISH_ERRORS: Mapping[str, type[SourceError]] = errors_by_code(
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
_SUCCESSFUL = (None, "STOP", "FINISH_REASON_UNSPECIFIED")


class Gemini(Vendor):
    """`POST /models/{model}:generateContent`, answered at once."""

    name = "Gemini"
    base_url: str | None = "https://generativelanguage.googleapis.com/v1beta"
    scheme: Scheme = Header("x-goog-api-key")
    key = "gemini"
    options = option_types(aspectRatio=str, imageSize=str, temperature=float)
    max_seed = 2**31 - 1
    error_code_paths = ("error.details.0.reason",)
    error_codes = errors_by_code({KeyRefused: ("API_KEY_INVALID",)})
    message_paths = ("error.message",)

    def submit_request(self, image_request: ImageRequest) -> Request:
        """Only an image is requested: with text as well, the response may contain only text."""
        image = {name: self.parameters.get(name) for name in ("aspectRatio", "imageSize")}
        settings = {
            "responseModalities": ["IMAGE"],
            "candidateCount": 1,
            "seed": image_request.seed,
            "temperature": self.parameters.get("temperature"),
            "imageConfig": _without_none(image) or None,
        }
        contents = [{"role": "user", "parts": [{"text": image_request.prompt}]}]
        return Request.json(self.path(), {"contents": contents, "generationConfig": _without_none(settings)})

    def path(self) -> str:
        """The path below the base URL."""
        return f"models/{quote(self.model, safe='')}:generateContent"

    def parse_response(self, response: HttpResponse) -> Reply:
        """Prompt and image may be blocked; an image with an unsuccessful finish reason does not count."""
        document = response.document()
        if text(document, "promptFeedback.blockReason") is not None:
            raise PromptRefused(self.sentence(PromptRefused))
        candidates = items(document, "candidates")
        for candidate in candidates:
            end = text(candidate, "finishReason")
            if refused := _FINISH_ERRORS.get(end or ""):
                raise refused(self.sentence(refused))
            if end not in _SUCCESSFUL:
                raise SourceError(f"{self.name} did not finish the generated image.")
        return [
            VendorImage(from_base64(data))
            for candidate in candidates
            for part in items(candidate, "content.parts")
            if find(part, "thought") is not True  # intermediate drafts
            and (data := text(part, "inlineData.data"))
        ]

    def failure(self, response: HttpResponse) -> SourceError | None:
        """A limit per minute states its end in the body; a limit per day is a quota."""
        document = response.document_or_none()
        if text(document, "error.status") != "RESOURCE_EXHAUSTED":
            return super().failure(response)
        details = items(document, "error.details")
        violations = [each for detail in details for each in items(detail, "violations")]
        if any("PerDay" in (text(each, "quotaId") or "") for each in violations):
            return QuotaExhausted(f"The operator's account with {self.name} is used up for today.")
        pauses = [pause for detail in details if (pause := _seconds(text(detail, "retryDelay"))) is not None]
        return RateLimited(self.sentence(RateLimited), max(pauses, default=None))


def _without_none(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _seconds(duration: str | None) -> float | None:
    """The seconds of a duration such as 7s or 2.5s."""
    try:
        return max(0.0, float((duration or "").removesuffix("s")))
    except ValueError:
        return None
