"""Captions by a vision-language model behind any OpenAI-compatible `/chat/completions`: the descriptions that arXiv
2510.24278 had ChatGPT write.

A refusal is a refusal, whatever it looks like: it never becomes a caption. Calls go through the method's own client
with the key that the operator named; each has a gate's leave and is settled, as those of sources are.
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
_PAUSE = 1.0  # before the second attempt where nobody says, doubled each time
_MESSAGE_LENGTH = 200
_SHORTEST_SECRET = 6
# Codes of errors that say no to the image or the question, not to the request's form.
_REFUSALS = ("content_filter", "content_policy_violation", "moderation_blocked", "ResponsibleAIPolicyViolation")
_EXHAUSTED = ("insufficient_quota", "billing_hard_limit_reached")
# How models say no in plain words; a description does not begin like this.
_SORRY = re.compile(
    r"(?:i'?m|i am|we'?re|we are) (?:\w+ )?(?:sorry|unable|afraid|not (?:able|comfortable|permitted|allowed))\b"
    r"|sorry ?[,.!:–-]|(?:my |our )?apologies\b|i apologi[sz]e\b|as an ai\b"
    r"|(?:unfortunately,? |however,? )?(?:i|we) (?:can'?t|cannot|can not|won'?t|will not|must decline|decline to)\b",
    re.IGNORECASE,
)
_APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"


class _Failed(Exception):
    """One attempt came to nothing: how the call ends, what is billed of it, whether and when to try again."""

    def __init__(
        self,
        sentence: str,
        state: SourceState,
        *,
        billed: int = 0,
        again: bool = False,
        pause: float | None = None,
        refused: bool = False,
    ) -> None:
        super().__init__(sentence)
        self.state, self.billed, self.again, self.pause, self.refused = state, billed, again, pause, refused


class VlmCaptioner:
    """One model at one address. Threads may share it: it holds nothing of an image."""

    def __init__(self, model: str, options: VlmOptions, connections: Connections) -> None:
        self._model = model
        self._options = options
        self._connections = connections
        self._prompt = _prompt(options)
        asked = json.dumps([options.base_url, self._prompt, options.temperature, options.max_tokens])
        self._ref = ModelRef(f"vlm/{model}", f"sha256:{sha256(asked.encode()).hexdigest()[:16]}")

    @property
    def ref(self) -> ModelRef:
        """The model as it is called there, and a hash of where and what it is asked: its weights nobody shows us."""
        return self._ref

    def describe(self, image: Image) -> str:
        """The caption of one RGB image. Raises CaptionError."""
        return self.describe_with(image, OpenGate())

    def describe_with(self, image: Image, gate: Gate) -> str:
        """The same, with the gate's leave for every call. Raises CaptionError, and what the gate raises."""
        request = self._request(image)
        deadline = Deadline.after(self._options.timeout)
        pause = _PAUSE
        for last in (*[False] * (self._options.attempts - 1), True):
            try:
                return self._once(request, gate, deadline)
            except _Failed as error:
                wait = pause if error.pause is None else error.pause
                if error.refused:
                    raise CaptionRefused(str(error)) from None
                if last or not error.again or wait >= deadline.remaining():
                    raise CaptionerUnavailable(str(error)) from None
            self._connections.sleep(wait)
            pause *= 2
        raise AssertionError("unreachable")

    def _once(self, request: Request, gate: Gate, deadline: Deadline) -> str:
        headers = self._headers()
        reservation = gate.open(0, 1)
        try:
            response = self._send(request, headers, deadline)
            said = self._read(response) if response.good else self._refuse(response)
        except _Failed as error:
            reservation.close(error.state, error.billed)
            raise
        except BaseException:
            reservation.close(SourceState.ERROR, 1)
            raise
        reservation.close(SourceState.DONE, 1)
        return said

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
            raise _Failed(f"{self._model} cannot be reached.", SourceState.UNAVAILABLE, again=True) from None
        except ResponseLost:
            broke = f"The connection to {self._model} broke before it had answered."
            raise _Failed(broke, SourceState.UNAVAILABLE, billed=1) from None
        except SourceError as error:
            late = f"{self._model} had not answered after {self._options.timeout:g} seconds."
            wrong = f"{self._model} answered with something that cannot be read."
            sentence = late if error.state is SourceState.TIMEOUT else wrong
            raise _Failed(sentence, error.state, billed=1) from None

    def _read(self, response: HttpResponse) -> str:
        """The caption in a response of success. Raises _Failed."""
        document = response.document_or_none()
        choice = find(document, "choices.0")
        if not isinstance(choice, dict):
            raise _Failed(f"{self._model} answered with something that is no chat.", SourceState.ERROR, billed=1)
        said = " ".join(_said(find(choice, "message.content")).split()).strip()
        if len(said) > 1 and said[0] + said[-1] in ('""', "''", "“”"):
            said = said[1:-1].strip()
        withheld = text(choice, "message.refusal") or find(choice, "finish_reason") == "content_filter"
        if withheld or not said or _SORRY.match(said.replace(_APOSTROPHE, "'")):
            sentence = f"{self._model} will not describe this image. Give a prompt, or name another captioner."
            raise _Failed(sentence, SourceState.REFUSED_OUTPUT, billed=1, refused=True)
        return said

    def _refuse(self, response: HttpResponse) -> str:
        """Never returns: says what a response without success means. Raises _Failed."""
        status, model = response.status, self._model
        document = response.document_or_none()
        codes = {text(document, path) for path in ("error.code", "error.type", "error.innererror.code")}
        if codes & set(_REFUSALS):
            sentence = f"{model} will not describe this image. Give a prompt, or name another captioner."
            raise _Failed(sentence, SourceState.REFUSED_PROMPT, refused=True)
        if codes & set(_EXHAUSTED) or status == HTTPStatus.PAYMENT_REQUIRED:
            raise _Failed(f"The operator's account for {model} is used up.", SourceState.QUOTA)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            key = f"the key in {setting_of(self._options.key)}" if self._options.key else "being asked without a key"
            raise _Failed(f"{model} does not accept {key} (status {status}).", SourceState.UNAVAILABLE)
        pause = retry_after(response.headers)
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            limited = f"{model} asks for fewer requests."
            raise _Failed(limited, SourceState.RATE_LIMITED, again=True, pause=pause)
        if status == HTTPStatus.REQUEST_TIMEOUT or status >= 500:
            billed = int(status in UNKNOWN)
            sentence = f"{model} cannot describe just now (status {status})."
            raise _Failed(sentence, SourceState.UNAVAILABLE, billed=billed, again=True, pause=pause)
        raise _Failed(f"{model} answered with status {status}{self._message(document)}.", SourceState.ERROR)

    def _message(self, document: Any) -> str:
        """What is wrong with the request, in their words: it helps who wrote the settings. Never with a key in it."""
        said = " ".join((text(document, "error.message") or text(document, "detail") or "").split())
        key = (self._connections.secrets(self._options.key) if self._options.key else None) or ""
        if not said or (len(key) >= _SHORTEST_SECRET and key in said):
            return ""
        return ": " + said[:_MESSAGE_LENGTH].rstrip(".")


def _said(content: Any) -> str:
    """The text of a message, whole or in parts."""
    if isinstance(content, str):
        return content
    return " ".join(text(part, "text") or "" for part in items({"parts": content}, "parts"))


def _prompt(options: VlmOptions) -> str:
    told = options.prompt
    if options.prompt_file:
        try:
            told = Path(options.prompt_file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"The prompt in {options.prompt_file} cannot be read.") from error
    return told.replace("{words}", str(options.words))
