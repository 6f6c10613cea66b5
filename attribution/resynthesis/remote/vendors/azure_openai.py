"""OpenAI's image models as Azure serves them: at the operator's own resource, under names that the operator gave.

There are two routes: v1 (`base_url` = https://NAME.openai.azure.com/openai/v1) takes the deployment's name as `model`;
the older one (…/openai, with `api_version`) has it in the path. The key is a resource's; tokens of Entra are not
fetched. That an empty account is said in OpenAI's own words is taken from OpenAI: Azure documents no such answer.
"""

from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import quote, urlencode

from attribution.errors import KeyRefused, OutputRefused, PromptRefused, SourceError
from attribution.resynthesis.remote.keys import Header
from attribution.resynthesis.remote.response_fields import find, items, text
from attribution.resynthesis.remote.vendor import ImageRequest, Reply, meaning, taking
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
    options = taking(
        api_version=str,
        size=str,
        quality=str,
        background=str,
        moderation=str,
        output_format=str,
    )
    words_at = ("error.code", "error.inner_error.code", "error.innererror.code", "error.type")
    words: ClassVar[Mapping[str, type[SourceError]]] = {
        **OpenAi.words,
        **meaning({PromptRefused: ("content_filter", "contentFilter", "ResponsibleAIPolicyViolation")}),
    }

    def order(self, wish: ImageRequest) -> Request:
        """One image of the deployment; who asks is told apart by `user`, which is what Azure has for it."""
        version = self.given.get("api_version")
        options = {name: value for name, value in self.given.items() if name != "api_version"}
        body = {"prompt": wish.prompt, "n": 1, **options, "user": wish.safety_identifier}
        if version is None:
            return Request.json("images/generations", {"model": self.model, **body})
        path = f"deployments/{quote(self.model, safe='')}/images/generations"
        return Request.json(f"{path}?{urlencode({'api-version': str(version)})}", body)

    def read(self, answer: HttpResponse) -> Reply:
        """An image that the filter took says so where the image would be."""
        for each in items(answer.document(), "data"):
            if _filtered(find(each, "content_filter_results")):
                raise OutputRefused(self.sentence(OutputRefused))
        return super().read(answer)

    def failure(self, answer: HttpResponse) -> SourceError | None:
        """A resource that is blocked for what was asked of it answers as a wrong key would, but for its words."""
        said = (text(answer.document_or_none(), "error.message") or "").lower()
        if _BLOCKED in said:
            return KeyRefused("Azure OpenAI has blocked the operator's resource for what was asked of it.")
        error = super().failure(answer)
        if isinstance(error, PromptRefused) and _FILTERED_IMAGE in said:
            return OutputRefused(self.sentence(OutputRefused))
        return error


def _filtered(results: object) -> bool:
    return isinstance(results, dict) and any(find(each, "filtered") is True for each in results.values())


VENDOR = AzureOpenAi
