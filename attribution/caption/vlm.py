"""Captions by a vision-language model behind any OpenAI-compatible `/chat/completions`, as arXiv 2510.24278 had ChatGPT
write them.

A refusal in any form never becomes a caption. Requests use the method's HTTP client with the key that the operator
named; each is reserved with a gate and settled, like those of sources.
"""

import json
import re
from base64 import b64encode
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any

from PIL.Image import Image

from attribution.caption.spec import VlmOptions
from attribution.errors import (
    CaptionerUnavailable,
    CaptionRefused,
    ConfigurationError,
    ConnectionFailed,
    KeyRefused,
    ResponseLost,
    SourceError,
)
from attribution.image import encode_png
from attribution.ports import Deadline, ModelRef, SourceState
from attribution.resynthesis.remote.failure import UNKNOWN, retry_after
from attribution.resynthesis.remote.gate import Gate, OpenGate
from attribution.resynthesis.remote.keys import read_key, setting_of
from attribution.resynthesis.remote.response_fields import find, items, text
from attribution.resynthesis.remote.web import Connections, HttpResponse, Request

_MOST_BYTES = 4_000_000
_PAUSE = 1.0  # seconds before the second attempt, unless the server states a time; doubled each time
_MESSAGE_LENGTH = 200
_SHORTEST_SECRET = 6
# Error codes of refusals, in contrast to those of invalid requests.
_REFUSALS = ("content_filter", "content_policy_violation", "moderation_blocked", "ResponsibleAIPolicyViolation")
_EXHAUSTED = ("insufficient_quota", "billing_hard_limit_reached")
# The beginnings of refusals in plain text; descriptions do not begin like this.
_REFUSAL_TEXT = re.compile(
    r"(?:i'?m|i am|we'?re|we are) (?:\w+ )?(?:sorry|unable|afraid|not (?:able|comfortable|permitted|allowed))\b"
    r"|sorry ?[,.!:–-]|(?:my |our )?apologies\b|i apologi[sz]e\b|as an ai\b"
    r"|(?:unfortunately,? |however,? )?(?:i|we) (?:can'?t|cannot|can not|won'?t|will not|must decline|decline to)\b",
    re.IGNORECASE,
)
_APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"


class _AttemptFailed(Exception):
    """One attempt failed: the state of the call, what is billed, whether and when to retry."""

    def __init__(
        self,
        sentence: str,
        state: SourceState,
        *,
        billed: int = 0,
        retry: bool = False,
        pause: float | None = None,
        refused: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.state, self.billed, self.retry, self.pause, self.refused = state, billed, retry, pause, refused


class VlmCaptioner:
    """One model at one address. Threads may share it: it keeps no state of a request."""

    def __init__(self, model: str, options: VlmOptions, connections: Connections) -> None:
        self._model = model
        self._options = options
        self._connections = connections
        self._prompt = _prompt(options)
        identity = json.dumps([options.base_url, self._prompt, options.temperature, options.max_tokens])
        # A hash of address, instruction and sampling, because the model's weights are not known.
        self.ref = ModelRef(f"vlm/{model}", f"sha256:{sha256(identity.encode()).hexdigest()[:16]}")

    def describe(self, image: Image) -> str:
        """The caption of one RGB image. Raises CaptionError."""
        return self.describe_with(image, OpenGate())

    def describe_with(self, image: Image, gate: Gate) -> str:
        """The same, with every call reserved by the gate. Raises CaptionError, and what the gate raises."""
        request = self._request(image)
        deadline = Deadline.after(self._options.timeout)
        pause = _PAUSE
        for last in (*[False] * (self._options.attempts - 1), True):
            try:
                return self._once(request, gate, deadline)
            except _AttemptFailed as error:
                wait = pause if error.pause is None else error.pause
                if error.refused:
                    raise CaptionRefused(str(error)) from None
                if last or not error.retry or wait >= deadline.remaining():
                    raise CaptionerUnavailable(str(error)) from None
            self._connections.sleep(wait)
            pause *= 2
        raise AssertionError("unreachable")

    def _once(self, request: Request, gate: Gate, deadline: Deadline) -> str:
        headers = self._headers()
        reservation = gate.open(0, 1)
        try:
            response = self._send(request, headers, deadline)
            caption = self._read(response) if response.good else self._refuse(response)
        except _AttemptFailed as error:
            reservation.close(error.state, error.billed)
            raise
        except BaseException:
            reservation.close(SourceState.ERROR, 1)
            raise
        reservation.close(SourceState.DONE, 1)
        return caption

    def _request(self, image: Image) -> Request:
        options = self._options
        url = "data:image/png;base64," + b64encode(encode_png(image)).decode()
        content = [{"type": "text", "text": self._prompt}, {"type": "image_url", "image_url": {"url": url}}]
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "temperature": float(options.temperature) if options.temperature else None,
            "max_tokens": options.max_tokens or None,
        }
        return Request.json("chat/completions", body)

    def _headers(self) -> dict[str, str]:
        if not self._options.key:
            return {}
        try:
            key = read_key(self._options.key, self._connections.secrets, self._model)
        except KeyRefused as error:
            raise CaptionerUnavailable(str(error)) from None
        return {"authorization": f"Bearer {key}"}

    def _send(self, request: Request, headers: dict[str, str], deadline: Deadline) -> HttpResponse:
        url = f"{self._options.base_url.rstrip('/')}/{request.to}"
        try:
            return self._connections.web.send(request, url, headers, deadline, _MOST_BYTES)
        except ConnectionFailed:
            raise _AttemptFailed(f"{self._model} cannot be reached.", SourceState.UNAVAILABLE, retry=True) from None
        except ResponseLost:
            broke = f"The connection to {self._model} broke before it had responded."
            raise _AttemptFailed(broke, SourceState.UNAVAILABLE, billed=1) from None
        except SourceError as error:
            late = f"{self._model} had not responded after {self._options.timeout:g} seconds."
            wrong = f"{self._model} responded with something that cannot be read."
            sentence = late if error.state is SourceState.TIMEOUT else wrong
            raise _AttemptFailed(sentence, error.state, billed=1) from None

    def _read(self, response: HttpResponse) -> str:
        """The caption of a successful response. Raises _AttemptFailed."""
        document = response.document_or_none()
        choice = find(document, "choices.0")
        if not isinstance(choice, dict):
            raise _AttemptFailed(
                f"{self._model} responded with something that is not a chat completion.", SourceState.ERROR, billed=1
            )
        caption = " ".join(_message_text(find(choice, "message.content")).split()).strip()
        if len(caption) > 1 and caption[0] + caption[-1] in ('""', "''", "“”"):
            caption = caption[1:-1].strip()
        withheld = text(choice, "message.refusal") or find(choice, "finish_reason") == "content_filter"
        if withheld or not caption or _REFUSAL_TEXT.match(caption.replace(_APOSTROPHE, "'")):
            sentence = f"{self._model} will not describe this image. Give a prompt, or select another captioner."
            raise _AttemptFailed(sentence, SourceState.REFUSED_OUTPUT, billed=1, refused=True)
        return caption

    def _refuse(self, response: HttpResponse) -> str:
        """Never returns: raises the error of an unsuccessful response. Raises _AttemptFailed."""
        status, model = response.status, self._model
        document = response.document_or_none()
        codes = {text(document, path) for path in ("error.code", "error.type", "error.innererror.code")}
        if codes & set(_REFUSALS):
            sentence = f"{model} will not describe this image. Give a prompt, or select another captioner."
            raise _AttemptFailed(sentence, SourceState.REFUSED_PROMPT, refused=True)
        if codes & set(_EXHAUSTED) or status == HTTPStatus.PAYMENT_REQUIRED:
            raise _AttemptFailed(f"The operator's account for {model} is used up.", SourceState.QUOTA)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            key = f"the key in {setting_of(self._options.key)}" if self._options.key else "being called without a key"
            raise _AttemptFailed(f"{model} does not accept {key} (status {status}).", SourceState.UNAVAILABLE)
        pause = retry_after(response.headers)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            limited = f"{model} asks for fewer requests."
            raise _AttemptFailed(limited, SourceState.RATE_LIMITED, retry=True, pause=pause)
        if status == HTTPStatus.REQUEST_TIMEOUT or status >= 500:
            billed = int(status in UNKNOWN)
            sentence = f"{model} cannot describe images at the moment (status {status})."
            raise _AttemptFailed(sentence, SourceState.UNAVAILABLE, billed=billed, retry=True, pause=pause)
        raise _AttemptFailed(f"{model} responded with status {status}{self._message(document)}.", SourceState.ERROR)

    def _message(self, document: Any) -> str:
        """The server's message about an invalid request, for the operator; empty if it contains the key."""
        caption = " ".join((text(document, "error.message") or text(document, "detail") or "").split())
        key = (self._connections.secrets(self._options.key) if self._options.key else None) or ""
        if not caption or (len(key) >= _SHORTEST_SECRET and key in caption):
            return ""
        return ": " + caption[:_MESSAGE_LENGTH].rstrip(".")


def _message_text(content: Any) -> str:
    """The text of a message, which may be in parts."""
    if isinstance(content, str):
        return content
    return " ".join(text(part, "text") or "" for part in items({"parts": content}, "parts"))


def _prompt(options: VlmOptions) -> str:
    prompt = options.prompt
    if options.prompt_file:
        try:
            prompt = Path(options.prompt_file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"The prompt file {options.prompt_file} cannot be read; check its path."
            ) from error
    return prompt.replace("{words}", str(options.words))
