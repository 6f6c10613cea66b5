"""Hugging Face's router to inference providers: one key and one bill, and each provider's own way of speaking.

`parameters.provider` is who generates; which weights answer is up to it, so the catalog should name the provider, and
`provider_model` where it calls the model something else. Providers that the router only polls (Replicate, wavespeed,
zai-org) are not here: the addresses would have to be built.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from attribution.errors import ConfigurationError, SourceError, SourceUnavailable
from attribution.resynthesis.remote.response_fields import find, from_base64, items, needed, number, text
from attribution.resynthesis.remote.vendor import ImageRequest, Option, Reply, Vendor, VendorImage, taking
from attribution.resynthesis.remote.web import HttpResponse, Request

_Options: TypeAlias = dict[str, Any]


class HuggingFace(Vendor):
    """`POST /{provider}/…`, answered at once."""

    name = "Hugging Face"
    base_url = "https://router.huggingface.co"
    key = "huggingface"
    options = taking(
        provider=str,
        provider_model=str,
        width=int,
        height=int,
        num_inference_steps=int,
        guidance_scale=float,
        negative_prompt=str,
        scheduler=str,
    )
    max_seed = 2**31 - 1  # no limit is documented; this is what all models take
    message_at = ("error", "error.message", "message", "detail")

    def __init__(self, model: str, options: Mapping[str, Option] | None = None) -> None:
        super().__init__(model, options)
        name = str(self.given.pop("provider", "hf-inference"))
        if name not in _PROVIDERS:
            raise ConfigurationError(f"Hugging Face: provider must be one of {', '.join(_PROVIDERS)}, not {name!r}.")
        self._provider = _PROVIDERS[name]
        self._at = name
        self._called = str(self.given.pop("provider_model", model))

    def order(self, wish: ImageRequest) -> Request:
        """In the provider's own words."""
        options = {name: value for name, value in {**self.given, "seed": wish.seed}.items() if value is not None}
        path = self._provider.path.format(model=self._called)
        return Request.json(f"{self._at}/{path}", self._provider.body(self._called, wish.prompt, options))

    def read(self, answer: HttpResponse) -> Reply:
        """As the provider shapes it."""
        return self._provider.read(answer)

    def failure(self, answer: HttpResponse) -> SourceError | None:
        """A model that is not in memory yet says when it will be."""
        seconds = find(answer.document_or_none(), "estimated_time")
        if answer.status == 503 and isinstance(seconds, int | float):
            return SourceUnavailable(f"Hugging Face is still loading the model, for another {seconds:.0f} seconds.")
        return None


@dataclass(frozen=True, slots=True)
class _Provider:
    path: str
    body: Callable[[str, str, _Options], dict[str, Any]]
    read: Callable[[HttpResponse], Reply]


def _own_body(_model: str, prompt: str, options: _Options) -> dict[str, Any]:
    return {"inputs": prompt, "parameters": options}


def _own_answer(answer: HttpResponse) -> Reply:
    kind = answer.headers.get("content-type", "")
    if not kind.startswith("image/"):
        raise SourceError("Hugging Face answered with something that is not an image.")
    return [VendorImage(answer.body)]


def _fal_body(_model: str, prompt: str, options: _Options) -> dict[str, Any]:
    if "width" in options and "height" in options:
        options["image_size"] = {"width": options.pop("width"), "height": options.pop("height")}
    return {"prompt": prompt, **options}


def _fal_answer(answer: HttpResponse) -> Reply:
    document = answer.document()
    flags, seed = items(document, "has_nsfw_concepts"), number(document, "seed")
    if any(flag is True for flag in flags):
        return []
    return [VendorImage(needed(each, "url"), seed, text(document, "prompt")) for each in items(document, "images")]


def _together_body(model: str, prompt: str, options: _Options) -> dict[str, Any]:
    if "num_inference_steps" in options:
        options["steps"] = options.pop("num_inference_steps")
    return {"model": model, "prompt": prompt, "response_format": "base64", **options}


def _nscale_body(model: str, prompt: str, options: _Options) -> dict[str, Any]:
    """It takes no steps."""
    options.pop("num_inference_steps", None)
    if "width" in options and "height" in options:
        options["size"] = f"{options.pop('width')}x{options.pop('height')}"
    return {"model": model, "prompt": prompt, "response_format": "b64_json", **options}


def _base64_answer(answer: HttpResponse) -> Reply:
    return [VendorImage(from_base64(needed(each, "b64_json"))) for each in items(answer.document(), "data")]


_PROVIDERS = {
    "hf-inference": _Provider("models/{model}", _own_body, _own_answer),
    "fal-ai": _Provider("{model}", _fal_body, _fal_answer),
    "together": _Provider("v1/images/generations", _together_body, _base64_answer),
    "nscale": _Provider("v1/images/generations", _nscale_body, _base64_answer),
}

VENDOR = HuggingFace
