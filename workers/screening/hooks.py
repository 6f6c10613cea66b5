"""The protocol of screening hooks, with their input and output. Hash lists and text rules are hooks, too."""

import base64
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, Protocol, cast

import httpx
from PIL.Image import Image
from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError

from app.egress import EgressClient, check_url
from app.errors import AddressRefused, AddressUnavailable
from app.settings import EgressSettings, ScreeningSettings
from attribution.image import decode_own, encode_png


class QueryImage:
    """A job's canonical image; its bytes are read, and its pixels decoded, when a hook first uses them."""

    def __init__(self, tenant_id: uuid.UUID, job_id: uuid.UUID, read: Callable[[], bytes]) -> None:
        self.tenant_id = tenant_id
        self.job_id = job_id
        self._read = read

    @cached_property
    def image(self) -> Image:
        """The canonical image, RGB. Raises StorageUnavailable."""
        return decode_own(self._read())

    @cached_property
    def png(self) -> bytes:
        """The canonical image as PNG. Raises StorageUnavailable."""
        return encode_png(self.image)


@dataclass(frozen=True, slots=True)
class ScreenedCaption:
    """The text that a job's sources would be given: the captioner's, or the caller's prompt."""

    tenant_id: uuid.UUID
    job_id: uuid.UUID
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A refusal: the kind of screening, the name of the list or rule, and a sentence for the caller."""

    kind: str
    name: str
    sentence: str


class Hook(Protocol):
    """Refuses an image or a caption by returning a hit; None lets it pass. A hook that raises lets nothing pass.

    It is called from several threads at once.
    """

    def check_image(self, query: QueryImage) -> Hit | None:
        """Checks the query image."""
        ...

    def check_caption(self, caption: ScreenedCaption) -> Hit | None:
        """Checks the text."""
        ...


def load_hooks(names: Sequence[str]) -> tuple[Hook, ...]:
    """The objects that `package.module:name` settings point to. Raises ImportError or AttributeError at start."""
    hooks = []
    for name in names:
        module, _, attribute = name.partition(":")
        hooks.append(cast(Hook, getattr(import_module(module), attribute)))
    return tuple(hooks)


_MAX_REASON = 200


class ModerationFailed(Exception):
    """The service did not answer as its contract requires: nothing passes."""


class _Verdict(BaseModel):
    model_config = ConfigDict(extra="ignore")

    flagged: StrictBool
    reason: str = ""


class Moderation:
    """The service at the address that the settings name, which need not be a public one.

    Raises AddressRefused, at start, for an address that cannot be called.
    """

    def __init__(self, settings: ScreeningSettings, outbound: EgressSettings) -> None:
        assert settings.endpoint is not None
        # The operator's own address: exempt from what callers' addresses must be, and from nothing else.
        host = httpx.URL(settings.endpoint).raw_host.decode("ascii")
        rules = outbound.model_copy(update={"allow": (host,), "https_only": False})
        self._url = check_url(settings.endpoint, rules)
        self._timeout = settings.endpoint_timeout
        self._headers = {"content-type": "application/json", "accept": "application/json"}
        if settings.endpoint_token is not None:
            self._headers["authorization"] = f"Bearer {settings.endpoint_token.get_secret_value()}"
        self._outbound = EgressClient(rules)

    def check_image(self, query: QueryImage) -> Hit | None:
        """Sends the canonical image as PNG. Raises ModerationFailed."""
        image = base64.b64encode(query.png).decode("ascii")
        return self._post({"image": image}, query)

    def check_caption(self, caption: ScreenedCaption) -> Hit | None:
        """Sends the text. Raises ModerationFailed."""
        return self._post({"caption": caption.text}, caption)

    def _post(self, subject: dict[str, Any], about: QueryImage | ScreenedCaption) -> Hit | None:
        request = {"tenant_id": str(about.tenant_id), "job_id": str(about.job_id)} | subject
        try:
            response = self._outbound.post(self._url, json.dumps(request).encode(), self._headers, self._timeout)
        except (AddressRefused, AddressUnavailable) as error:
            raise ModerationFailed("the moderation service did not answer in time") from error
        if response.status != 200:
            raise ModerationFailed(f"the moderation service answered with status {response.status}")
        try:
            verdict = _Verdict.model_validate_json(response.body)
        except ValidationError:
            # Not `from` it: pydantic quotes the response, which may describe the image, and this is logged.
            raise ModerationFailed("the moderation service's response does not follow its contract") from None
        if not verdict.flagged:
            return None
        reason = verdict.reason[:_MAX_REASON]
        sentence = f"The moderation service refused the {'image' if 'image' in subject else 'text'}"
        return Hit("endpoint", "moderation", f"{sentence}: {reason}" if reason else f"{sentence}.")
