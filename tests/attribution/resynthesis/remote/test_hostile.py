"""Vendors that refuse everything, hang, return a page or lead elsewhere; and two that draw."""

from dataclasses import replace
from io import BytesIO

from PIL import Image

from attribution.caption.fake import FakeCaptioner
from attribution.distance import distance_named
from attribution.embed.fake import FakeEmbedder
from attribution.method import attribute
from attribution.ports import SourceState
from attribution.resynthesis.remote.build import build_remote
from attribution.resynthesis.remote.engine import RemoteGenerator
from attribution.resynthesis.remote.http_client import HttpClient
from stub_vendors import Stub, serve
from stub_vendors.vendor_stub import generate
from tests.attribution.resynthesis.remote.contract import Contract
from tests.attribution.resynthesis.remote.contracts.bfl import CONTRACT as BFL
from tests.attribution.resynthesis.remote.contracts.openai import CONTRACT as OPENAI
from tests.attribution.resynthesis.remote.contracts.stability import CONTRACT as STABILITY
from tests.attribution.resynthesis.remote.generation import connections, source_of


def test_the_answer_stands_on_the_rest(stub: Stub, foreign_host: Stub, client: HttpClient) -> None:
    """The two working sources are ranked, the others have state and sentence, no key is sent to another host."""
    keys = {name: f"stub-key-of-{name}" for name in ("openai", "bfl", "stability")}

    def generator(name: str, contract: Contract, at: Stub) -> RemoteGenerator:
        return build_remote(replace(source_of(contract, at), id=name), connections(client, keys))

    with serve() as other:
        other.behave("openai", scenario="html")
        stub.behave("openai", scenario="refused_prompt")
        stub.behave("stability", scenario="hang")
        stub.behave("bfl", scenario="foreign", foreign=f"{foreign_host.url}/elsewhere")
        generators = [
            generator("refuses", OPENAI, stub),
            generator("hangs", STABILITY, stub),
            generator("page", OPENAI, other),
            generator("elsewhere", BFL, stub),
            generator("generates", BFL, other),
            generator("generates-too", STABILITY, other),
        ]
        query = Image.open(BytesIO(generate("bfl", "a hat", 1, 64))).convert("RGB")
        response = attribute(
            query,
            captioner=FakeCaptioner(),
            generators=generators,
            embedder=FakeEmbedder(),
            distance=distance_named("cosine"),
            images_per_source=2,
            prompt="a hat",
            timeouts={generator.source: 0.5 if generator.source == "hangs" else 20.0 for generator in generators},
        )
    states = {each.source: each.state for each in response.resyntheses}
    assert states == {
        "refuses": SourceState.REFUSED_PROMPT,
        "hangs": SourceState.TIMEOUT,
        "page": SourceState.ERROR,
        "elsewhere": SourceState.ERROR,
        "generates": SourceState.DONE,
        "generates-too": SourceState.DONE,
    }
    sentences = {each.source: each.reason for each in response.resyntheses if each.reason}
    assert sentences == {
        "refuses": "OpenAI will not generate this caption.",
        "hangs": "The source had not responded when its time was over.",
        "page": "The source responded with something that is not JSON (text/html).",
        "elsewhere": "Black Forest Labs responded with an address that is not its own; it was not called.",
    }
    assert {entry.source for entry in response.ranking.entries} == {"generates", "generates-too"}
    assert foreign_host.unknown_requests() == []
