"""Hugging Face's router to inference providers: one key and one bill, and the API of each provider.

`parameters.provider` names the provider. The weights behind a model are its choice, so the catalog should name the
provider, and `provider_model` if it uses another name for the model. Providers that the router only polls (Replicate,
wavespeed, zai-org) are not supported: their addresses would have to be built.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from attribution.errors import ConfigurationError, SourceError, SourceUnavailable
from attribution.resynthesis.remote.response_fields import find, from_base64, items, number, required_text, text
from attribution.resynthesis.remote.vendor import ImageRequest, Option, Reply, Vendor, VendorImage, option_types
from attribution.resynthesis.remote.web import HttpResponse, Request

_Options: TypeAlias = dict[str, Any]


class HuggingFace(Vendor):
    """`POST /{provider}/…`, answered at once."""

    name = "Hugging Face"
    base_url = "https://router.huggingface.co"
    key = "huggingface"
    options = option_types(
        provider=str,
        provider_model=str,
        width=int,
        height=int,
        num_inference_steps=int,
        guidance_scale=float,
        negative_prompt=str,
        scheduler=str,
    )
    max_seed = 2**31 - 1  # no limit is documented; all models accept this
    message_paths = ("error", "error.message", "message", "detail")

    def __init__(self, model: str, options: Mapping[str, Option] | None = None) -> None:
        super().__init__(model, options)
        name = str(self.parameters.pop("provider", "hf-inference"))
        if name not in _PROVIDERS:
            raise ConfigurationError(f"Hugging Face: provider must be one of {', '.join(_PROVIDERS)}, not {name!r}.")
        self._provider = _PROVIDERS[name]
        self._provider_name = name
        self._provider_model = str(self.parameters.pop("provider_model", model))

    def submit_request(self, image_request: ImageRequest) -> Request:
        """In the provider's own format."""
        options = {
            name: value for name, value in {**self.parameters, "seed": image_request.seed}.items() if value is not None
        }
        path = self._provider.path.format(model=self._provider_model)
        return Request.json(
            f"{self._provider_name}/{path}", self._provider.body(self._provider_model, image_request.prompt, options)
        )

    def parse_response(self, response: HttpResponse) -> Reply:
        """In the provider's own format."""
        return self._provider.read(response)

    def failure(self, response: HttpResponse) -> SourceError | None:
        """While a model is loading, the response estimates the time."""
        seconds = find(response.document_or_none(), "estimated_time")
        if response.status == 503 and isinstance(seconds, int | float):
            return SourceUnavailable(f"Hugging Face is still loading the model, for another {seconds:.0f} seconds.")
        return None


@dataclass(frozen=True, slots=True)
class _Provider:
    path: str
    body: Callable[[str, str, _Options], dict[str, Any]]
    read: Callable[[HttpResponse], Reply]


def _hf_body(_model: str, prompt: str, options: _Options) -> dict[str, Any]:
    return {"inputs": prompt, "parameters": options}


def _hf_response(response: HttpResponse) -> Reply:
    kind = response.headers.get("content-type", "")
    if not kind.startswith("image/"):
        raise SourceError("Hugging Face responded with something that is not an image.")
    return [VendorImage(response.body)]


def _fal_body(_model: str, prompt: str, options: _Options) -> dict[str, Any]:
    if "width" in options and "height" in options:
        options["image_size"] = {"width": options.pop("width"), "height": options.pop("height")}
    return {"prompt": prompt, **options}


def _fal_response(response: HttpResponse) -> Reply:
    document = response.document()
    flags, seed = items(document, "has_nsfw_concepts"), number(document, "seed")
    if any(flag is True for flag in flags):
        return []
    return [
        VendorImage(required_text(each, "url"), seed, text(document, "prompt")) for each in items(document, "images")
    ]


def _together_body(model: str, prompt: str, options: _Options) -> dict[str, Any]:
    if "num_inference_steps" in options:
        options["steps"] = options.pop("num_inference_steps")
    return {"model": model, "prompt": prompt, "response_format": "base64", **options}


def _nscale_body(model: str, prompt: str, options: _Options) -> dict[str, Any]:
    """It has no option for steps."""
    options.pop("num_inference_steps", None)
    if "width" in options and "height" in options:
        options["size"] = f"{options.pop('width')}x{options.pop('height')}"
    return {"model": model, "prompt": prompt, "response_format": "b64_json", **options}


def _base64_response(response: HttpResponse) -> Reply:
    return [VendorImage(from_base64(required_text(each, "b64_json"))) for each in items(response.document(), "data")]


_PROVIDERS = {
    "hf-inference": _Provider("models/{model}", _hf_body, _hf_response),
    "fal-ai": _Provider("{model}", _fal_body, _fal_response),
    "together": _Provider("v1/images/generations", _together_body, _base64_response),
    "nscale": _Provider("v1/images/generations", _nscale_body, _base64_response),
}
