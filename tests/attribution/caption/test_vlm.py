"""The captioner that calls a model over HTTP: every response of the stub, and some that no stub gives."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from PIL import Image

from attribution.build import Placement, build_captioner
from attribution.caption import describe
from attribution.caption.spec import VlmOptions, parse
from attribution.caption.vlm import VlmCaptioner
from attribution.errors import CaptionError, CaptionerUnavailable, CaptionRefused, ConfigurationError, ConnectionFailed
from attribution.ports import Deadline, SourceState
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.web import Connections, HttpResponse, Request
from stub_vendors import Stub, serve

RED = Image.new("RGB", (16, 16), (210, 20, 20))
KEY = "stub-key-of-openai"


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    """One server for all of these tests."""
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def client() -> Iterator[HttpClient]:
    """The method's own HTTP client."""
    made = HttpClient()
    yield made
    made.close()


@dataclass
class Slept:
    """Records pauses instead of making them."""

    seconds: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        """Instead of sleeping."""
        self.seconds.append(seconds)


@pytest.fixture
def made(stub: Stub, client: HttpClient) -> Callable[..., tuple[VlmCaptioner, Slept]]:
    """A captioner at the stub, and the pauses it made."""
    stub.reset()
    stub.behave()

    def make(key: str = KEY, **options: Any) -> tuple[VlmCaptioner, Slept]:
        slept = Slept()
        connections = Connections(client, client.fetch, {"vlm": key}.get, slept)
        asked = VlmOptions(base_url=stub.base_url("openai", "/v1"), **options)
        return VlmCaptioner("gpt-5-mini", asked, connections), slept

    return make


class RecordedCalls:
    """A gate that records how calls ended."""

    def __init__(self) -> None:
        self.task = None
        self.ended: list[tuple[SourceState, int]] = []

    def open(self, k: int, images: int) -> "RecordedCalls":
        """Always."""
        return self

    def submitted(self, task: str) -> None:
        """Chats have no tasks."""
        raise AssertionError(task)

    def close(self, state: SourceState, images: int) -> None:
        """Noted."""
        self.ended.append((state, images))


def test_it_describes(made: Callable[..., Any], stub: Stub) -> None:
    """One call with the image gives the caption; its revision names model and instruction."""
    captioner, _ = made()
    caption = describe(captioner, RED)
    assert caption.text == "an image in red"
    assert caption.captioner.name == "vlm/gpt-5-mini"
    assert stub.counts("openai")["orders"] == 1
    other, _ = made(prompt="What is this?")
    assert other.ref != captioner.ref


@pytest.mark.parametrize("scenario", ["withheld", "refused_prompt", "sorry"])
def test_a_refusal_is_never_a_caption(made: Callable[..., Any], stub: Stub, scenario: str) -> None:
    """A refusal in its own member, as an error, or in plain text is not retried; the sentence advises what to do."""
    stub.behave("openai", scenario=scenario)
    captioner, _ = made()
    gate = RecordedCalls()
    with pytest.raises(CaptionRefused, match="Give a prompt"):
        captioner.describe_with(RED, gate)
    assert stub.counts("openai")["orders"] == len(gate.ended) == 1


@pytest.mark.parametrize(
    ("scenario", "says", "orders", "pauses", "billed"),
    [
        ("rate_limited", "fewer requests", 3, [7.0, 7.0], 0),
        ("server_error", "at the moment", 3, [1.0, 2.0], 0),
        ("quota", "used up", 1, [], 0),
        ("html", "not a chat", 1, [], 1),
        ("broken", "not a chat", 1, [], 1),
    ],
)
def test_what_is_tried_again(
    made: Callable[..., Any], stub: Stub, scenario: str, says: str, orders: int, pauses: list[float], billed: int
) -> None:
    """Rate limits are retried after the stated time, server errors with growing pauses, other errors not."""
    stub.behave("openai", scenario=scenario, retry_after=7.0)
    captioner, slept = made(timeout=20)
    gate = RecordedCalls()
    with pytest.raises(CaptionerUnavailable, match=says):
        captioner.describe_with(RED, gate)
    assert (stub.counts("openai")["orders"], slept.seconds) == (orders, pauses)
    assert sum(images for _, images in gate.ended) == billed


def test_a_pause_that_does_not_fit_is_not_made(made: Callable[..., Any], stub: Stub) -> None:
    """A rate limit that ends after the timeout is raised immediately."""
    stub.behave("openai", scenario="rate_limited", retry_after=30.0)
    captioner, slept = made(timeout=5)
    with pytest.raises(CaptionerUnavailable, match="fewer requests"):
        captioner.describe(RED)
    assert slept.seconds == []


def test_time_runs_out(made: Callable[..., Any], stub: Stub) -> None:
    """A lost response counts as billed, and is not retried."""
    stub.behave("openai", scenario="hang")
    captioner, _ = made(timeout=0.3)
    gate = RecordedCalls()
    with pytest.raises(CaptionerUnavailable, match=r"0\.3 seconds"):
        captioner.describe_with(RED, gate)
    assert gate.ended == [(SourceState.TIMEOUT, 1)]


@pytest.mark.parametrize("key", ["a-wrong-key-altogether", ""])
def test_a_key_is_named_and_not_shown(made: Callable[..., Any], key: str) -> None:
    """The sentence says which setting holds it."""
    captioner, _ = made(key)
    with pytest.raises(CaptionerUnavailable, match="VENDOR_KEYS__VLM") as raised:
        captioner.describe(RED)
    assert "altogether" not in str(raised.value)


@dataclass
class Says:
    """Sends the configured response, or raises the configured error."""

    status: int = 200
    body: Any = None
    fails: Exception | None = None
    seen: list[tuple[Request, Mapping[str, str]]] = field(default_factory=list)

    def send(
        self, request: Request, url: str, headers: Mapping[str, str], deadline: Deadline, max_bytes: int
    ) -> HttpResponse:
        """See `Web`."""
        self.seen.append((request, headers))
        if self.fails is not None:
            raise self.fails
        return HttpResponse(self.status, {}, json.dumps(self.body).encode())


def asked(says: Says, **options: Any) -> str:
    """The error of a response."""

    def nowhere(url: str, max_bytes: int, deadline: Deadline) -> bytes:
        raise AssertionError(url)

    connections = Connections(says, nowhere, {"vlm": "a-key-of-ours"}.get, lambda seconds: None)
    return VlmCaptioner("m", VlmOptions("http://vlm.internal/v1", **options), connections).describe(RED)


def chat(content: Any, **message: Any) -> dict[str, Any]:
    """A response with this content."""
    finish = message.pop("finish_reason", "stop")
    return {"choices": [{"message": {"content": content, **message}, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("body", "caption"),
    [
        (chat('"A hat,\n on a table."'), "A hat, on a table."),
        (chat([{"type": "text", "text": "A hat"}, {"type": "reasoning"}]), "A hat"),
        (chat("Sorry, the board game, on a table") | {"x": 1}, None),
        (chat("A sign that says: I can't help it"), "A sign that says: I can't help it"),
        (chat("A hat", refusal="No."), None),
        (chat("A h", finish_reason="content_filter"), None),
        (chat(""), None),
        (chat(None), None),
        (chat("I\N{RIGHT SINGLE QUOTATION MARK}m sorry, I can\N{RIGHT SINGLE QUOTATION MARK}t."), None),
        (chat("I'm really sorry, but I can't assist with that."), None),
        (chat("Unfortunately, I cannot identify people in images."), None),
        (chat("I am unable to view images."), None),
        (chat("As an AI language model, I see nothing."), None),
    ],
)
def test_what_is_a_caption(body: dict[str, Any], caption: str | None) -> None:
    """Withheld, empty and refusing texts are not captions; surrounding quotation marks are removed."""
    if caption is None:
        with pytest.raises(CaptionRefused):
            asked(Says(body=body))
    else:
        assert asked(Says(body=body)) == caption


@pytest.mark.parametrize("body", [[], {}, {"choices": []}, {"choices": ["x"]}, {"choices": {"0": 1}}, "x", 3])
def test_what_is_no_chat(body: Any) -> None:
    """A response of any form becomes a sentence."""
    with pytest.raises(CaptionError):
        asked(Says(body=body))


def test_their_words_help_and_hide_the_key() -> None:
    """The server's message is in the error, unless it contains the key."""
    wrong = {"error": {"message": "Unsupported value: 'temperature'.", "code": "unsupported_value"}}
    with pytest.raises(CaptionerUnavailable, match="status 400: Unsupported value"):
        asked(Says(400, wrong))
    with pytest.raises(CaptionerUnavailable) as raised:
        asked(Says(400, {"error": {"message": "Not for a-key-of-ours."}}))
    assert "a-key" not in str(raised.value)


def test_who_cannot_be_reached_is_tried_again() -> None:
    """Nothing was sent, so nothing is billed."""
    says = Says(fails=ConnectionFailed("no"))
    with pytest.raises(CaptionerUnavailable, match="cannot be reached"):
        asked(says, attempts=2)
    assert len(says.seen) == 2


def test_what_is_sent() -> None:
    """The template with its number of words, the image, and what the settings say; no key for one that takes none."""
    says = Says(body=chat("A hat"))
    asked(says, prompt="In {words} words.", words=9, temperature="", max_tokens=70, key="")
    request, headers = says.seen[0]
    body = json.loads(request.body)
    assert (body["model"], body["max_tokens"], "temperature" in body, dict(headers)) == ("m", 70, False, {})
    text, image = body["messages"][0]["content"]
    assert text["text"] == "In 9 words."
    assert image["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    asked(says)
    assert says.seen[1][1] == {"authorization": "Bearer a-key-of-ours"}


def test_a_specification_is_a_captioner(tmp_path: Any) -> None:
    """A specification with all options, and with the instruction from a file."""
    file = tmp_path / "prompt.txt"
    file.write_text("Say what you see, in {words} words.\n")
    spec = f"vlm:org/model?base_url=http://10.0.0.3:8000/v1&external=false&price_usd=0.002&prompt_file={file}"
    found = parse(spec)
    assert (found.waits, found.external, found.price_usd) == (True, False, 0.002)
    same = "vlm:org/model?base_url=http://10.0.0.3:8000/v1&prompt=Say+what+you+see,+in+{words}+words."
    assert build_captioner(spec, Placement()).ref == build_captioner(same, Placement()).ref
    assert replace(found, options=None).price_usd == 0.0


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("vlm", "which vlm"),
        ("vlm:m", "needs base_url"),
        ("vlm:m?base_url=ftp://x", "base_url must be"),
        ("vlm:m?base_url=http://x&timeout=900", "timeout"),
        ("vlm:m?base_url=http://x&external=maybe", "true or false"),
        ("vlm:m?base_url=http://x&key=sk-live-1", "not the key itself"),
        ("vlm:m?base_url=http://x&prompt_file=/no/such", "cannot be read"),
    ],
)
def test_a_wrong_specification(spec: str, says: str) -> None:
    """Each mistake has its sentence."""
    with pytest.raises(ConfigurationError, match=says):
        build_captioner(spec, Placement())
