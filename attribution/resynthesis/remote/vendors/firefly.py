"""Adobe Firefly: the client's id and secret are exchanged for a token; image addresses expire after an hour.

Image 3 uses the synchronous route of Adobe's OpenAPI document. That route takes no model, so every other model uses the
asynchronous route, which takes the model's version; it is not in the OpenAPI document and follows Adobe's guides. A
prompt with denied words is generated without them, and the response reports it: such an image is not of the caption
and is refused.
"""

from collections.abc import Mapping
from typing import Any

from attribution.errors import OutputRefused, PromptRefused, SourceError
from attribution.resynthesis.remote.response_fields import find, items, number, required_text, text
from attribution.resynthesis.remote.tokens import ClientCredentials
from attribution.resynthesis.remote.vendor import (
    ImageRequest,
    Option,
    Reply,
    StillGenerating,
    Vendor,
    VendorImage,
    errors_by_code,
    option_types,
)
from attribution.resynthesis.remote.web import HttpResponse, Request

_SYNCHRONOUS_MODEL = "image3"
_TOKEN_URL = "https://ims-na1.adobelogin.com/ims/token/v3"  # noqa: S105 - an address, no token
_SCOPE = "openid,AdobeID,session,additional_info,read_organizations,firefly_api,ff_apis"


class Firefly(Vendor):
    """`POST /images/generate`, or `/images/generate-async` and the status address of its response."""

    name = "Adobe Firefly"
    base_url = "https://firefly-api.adobe.io/v3"
    hosts = ("adobe.io",)
    key = "firefly"
    key_format = "`client_id:client_secret`"
    options = option_types(
        width=int,
        height=int,
        contentClass=str,
        negativePrompt=str,
        visualIntensity=int,
        promptBiasingLocaleCode=str,
        token_url=str,
    )
    max_prompt = 1_024
    max_seed = 2**31 - 1  # the range is not documented
    error_code_paths = ("error_code", "result.error_code", "errors.0.code")
    error_codes = errors_by_code(
        {PromptRefused: ("prompt_unsafe", "language_not_supported"), OutputRefused: ("output_media_unsafe",)}
    )
    message_paths = ("validation_errors.0.msg", "message", "error_code")

    def __init__(self, model: str, options: Mapping[str, Option] | None = None) -> None:
        super().__init__(model, options)
        address = str(self.parameters.pop("token_url", _TOKEN_URL))
        self.scheme = ClientCredentials(self.name, address, _SCOPE, "x-api-key")

    def submit_request(self, image_request: ImageRequest) -> Request:
        """One image."""
        options = {name: value for name, value in self.parameters.items() if name not in ("width", "height")}
        size = {name: self.parameters[name] for name in ("width", "height") if name in self.parameters}
        body = {
            "prompt": image_request.prompt,
            "numVariations": 1,
            "seeds": None if image_request.seed is None else [image_request.seed],
            "size": size or None,
            **options,
        }
        if self.model == _SYNCHRONOUS_MODEL:
            return Request.json("images/generate", body, {"accept": "application/json"})
        return Request.json("images/generate-async", body, {"x-model-version": self.model})

    def parse_response(self, response: HttpResponse) -> Reply:
        """The images, or the address to poll."""
        document = response.document()
        return (
            self._images(document)
            if self.model == _SYNCHRONOUS_MODEL
            else StillGenerating(required_text(document, "statusUrl"))
        )

    def parse_poll(self, response: HttpResponse, task: str) -> Reply:
        """A failed task contains the same codes as an error."""
        document = response.document()
        status = text(document, "status")
        if status == "succeeded":
            return self._images(find(document, "result"))
        if status in ("failed", "canceled", "cancelled"):
            kind = self.error_class(document)
            if kind is not None:
                raise kind(self.sentence(kind))
            raise SourceError("Adobe Firefly accepted the request, but could not generate the image.")
        return StillGenerating(task)

    def _images(self, result: Any) -> Reply:
        if find(result, "promptHasDeniedWords") is True or find(result, "promptHasBlockedArtists") is True:
            raise OutputRefused("Adobe Firefly omitted words of the caption, so its image does not show this caption.")
        return [
            VendorImage(required_text(each, "image.url"), number(each, "seed")) for each in items(result, "outputs")
        ]
