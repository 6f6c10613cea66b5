"""Adobe Firefly: a client's id and secret are traded for a token; images are at addresses that last an hour.

Image 3 is drawn by the route that answers at once, as Adobe's OpenAPI document has it. That route names no model, so
every other model is ordered by the one that answers later, which asks for its version; Adobe's document lacks this
route: it is built to its guides. A prompt with words that Firefly will not draw is drawn without them, and the answer
says so: that is no drawing of the caption, and is refused.
"""

from collections.abc import Mapping
from typing import Any

from attribution.errors import OutputRefused, PromptRefused, SourceError
from attribution.resynthesise.remote.reading import find, items, needed, number, text
from attribution.resynthesise.remote.tokens import ClientCredentials
from attribution.resynthesise.remote.vendor import Option, Picture, Reply, Vendor, Waiting, Wish, meaning, taking
from attribution.resynthesise.remote.web import Answer, Request

_AT_ONCE = "image3"
_TOKEN_URL = "https://ims-na1.adobelogin.com/ims/token/v3"  # noqa: S105 - an address, no token
_SCOPE = "openid,AdobeID,session,additional_info,read_organizations,firefly_api,ff_apis"


class Firefly(Vendor):
    """`POST /images/generate`, or `/images/generate-async` and the status address that it names."""

    name = "Adobe Firefly"
    base_url = "https://firefly-api.adobe.io/v3"
    hosts = ("adobe.io",)
    key = "firefly"
    key_holds = "`client_id:client_secret`"
    options = taking(
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
    words_at = ("error_code", "result.error_code", "errors.0.code")
    words = meaning(
        {PromptRefused: ("prompt_unsafe", "language_not_supported"), OutputRefused: ("output_media_unsafe",)}
    )
    message_at = ("validation_errors.0.msg", "message", "error_code")

    def __init__(self, model: str, options: Mapping[str, Option] | None = None) -> None:
        super().__init__(model, options)
        address = str(self.given.pop("token_url", _TOKEN_URL))
        self.scheme = ClientCredentials(self.name, address, _SCOPE, "x-api-key")

    def order(self, wish: Wish) -> Request:
        """One image."""
        options = {name: value for name, value in self.given.items() if name not in ("width", "height")}
        size = {name: self.given[name] for name in ("width", "height") if name in self.given}
        body = {
            "prompt": wish.prompt,
            "numVariations": 1,
            "seeds": None if wish.seed is None else [wish.seed],
            "size": size or None,
            **options,
        }
        if self.model == _AT_ONCE:
            return Request.json("images/generate", body, {"accept": "application/json"})
        return Request.json("images/generate-async", body, {"x-model-version": self.model})

    def read(self, answer: Answer) -> Reply:
        """The images, or where to ask for them."""
        document = answer.document()
        return self._pictures(document) if self.model == _AT_ONCE else Waiting(needed(document, "statusUrl"))

    def read_task(self, answer: Answer, task: str) -> Reply:
        """Of a status that has failed, the words are those of an error."""
        document = answer.document()
        status = text(document, "status")
        if status == "succeeded":
            return self._pictures(find(document, "result"))
        if status in ("failed", "canceled", "cancelled"):
            kind = self.meaning_of(document)
            if kind is not None:
                raise kind(self.sentence(kind))
            raise SourceError("Adobe Firefly took the order, and could not draw it.")
        return Waiting(task)

    def _pictures(self, result: Any) -> Reply:
        if find(result, "promptHasDeniedWords") is True or find(result, "promptHasBlockedArtists") is True:
            raise OutputRefused("Adobe Firefly left words of the caption out, so its image is not of this caption.")
        return [Picture(needed(each, "image.url"), number(each, "seed")) for each in items(result, "outputs")]


VENDOR = Firefly
