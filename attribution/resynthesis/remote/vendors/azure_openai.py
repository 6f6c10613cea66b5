"""OpenAI's image models on Azure: at the operator's own resource, under deployment names that the operator chose.

There are two routes: v1 (`base_url` = https://NAME.openai.azure.com/openai/v1) takes the deployment's name as `model`;
the older one (…/openai, with `api_version`) has it in the path. The key belongs to the resource; Entra tokens are not
supported. The error codes for an empty account are OpenAI's: Azure documents none.
"""

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote, urlencode

from attribution.errors import KeyRefused, OutputRefused, PromptRefused, SourceError
from attribution.resynthesis.remote.keys import Header
from attribution.resynthesis.remote.response_fields import find, items, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, errors_by_code, option_types
from attribution.resynthesis.remote.vendors.openai import OpenAi
from attribution.resynthesis.remote.web import HttpResponse, Request

_BLOCKED = "resource has been temporarily blocked"
_FILTERED_IMAGE = "generated image was filtered"


class AzureOpenAi(OpenAi):
    """`model` is the deployment's name."""

    name = "Azure OpenAI"
    base_url = None
    scheme = Header("api-key")
    key = "azure_openai"
    options = option_types(
        api_version=str,
        size=str,
        quality=str,
        background=str,
        moderation=str,
        output_format=str,
    )
    error_code_paths = ("error.code", "error.inner_error.code", "error.innererror.code", "error.type")
    error_codes: ClassVar[Mapping[str, type[SourceError]]] = {
        **OpenAi.error_codes,
        **errors_by_code({PromptRefused: ("content_filter", "contentFilter", "ResponsibleAIPolicyViolation")}),
    }

    def submit_request(self, image_request: ImageRequest) -> Request:
        """One image of the deployment; the tenant's identifier is sent as `user`, Azure's field for it."""
        version = self.parameters.get("api_version")
        options = {name: value for name, value in self.parameters.items() if name != "api_version"}
        body = {"prompt": image_request.prompt, "n": 1, **options, "user": image_request.safety_identifier}
        if version is None:
            return Request.json("images/generations", {"model": self.model, **body})
        path = f"deployments/{quote(self.model, safe='')}/images/generations"
        return Request.json(f"{path}?{urlencode({'api-version': str(version)})}", body)

    def parse_response(self, response: HttpResponse) -> Reply:
        """A filtered image is reported in the place of the image."""
        for each in items(response.document(), "data"):
            if _filtered(find(each, "content_filter_results")):
                raise OutputRefused(self.sentence(OutputRefused))
        return super().parse_response(response)

    def failure(self, response: HttpResponse) -> SourceError | None:
        """A blocked resource has the same status as a wrong key; the message distinguishes them."""
        message = (text(response.document_or_none(), "error.message") or "").lower()
        if _BLOCKED in message:
            return KeyRefused("Azure OpenAI has blocked the operator's resource because of earlier requests.")
        error = super().failure(response)
        if isinstance(error, PromptRefused) and _FILTERED_IMAGE in message:
            return OutputRefused(self.sentence(OutputRefused))
        return error


def _filtered(results: object) -> bool:
    return isinstance(results, dict) and any(find(each, "filtered") is True for each in results.values())
