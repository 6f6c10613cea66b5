"""Workflows of one's own, and what becomes of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from attribution.catalog.source import Parameter
from attribution.errors import ConfigurationError, SourceError
from attribution.ports import GeneratedImage
from attribution.resynthesis.remote.build import build_remote
from attribution.resynthesis.remote.engine import RemoteGenerator
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.vendors.comfyui import ComfyUi, _default_workflow
from attribution.resynthesis.remote.web import HttpResponse
from stub_vendors import Stub
from tests.attribution.resynthesis.remote.contract import Contract
from tests.attribution.resynthesis.remote.contracts.comfyui import CONTRACT
from tests.attribution.resynthesis.remote.generation import CAPTION, RecordingGate, connections, generate, source_of

PLACES: dict[str, Parameter] = {"prompt_at": "20.text", "seed_at": "50.seed"}


def exported() -> dict[str, Any]:
    """A workflow with other node ids, which saves its image."""
    text = json.dumps(dict(_default_workflow(CONTRACT.model, steps=12).nodes))
    for node in "1234567":
        text = text.replace(f'"{node}"', f'"{node}0"')
    nodes: dict[str, Any] = json.loads(text)
    nodes["70"] = {"class_type": "SaveImage", "inputs": {"images": ["60", 0], "filename_prefix": "out"}}
    return nodes


def generator(stub: Stub, client: HttpClient, parameters: dict[str, Parameter]) -> RemoteGenerator:
    """A generator of a source with exactly these parameters."""
    contract = Contract("comfyui", "ComfyUI", "", CONTRACT.model, parameters)
    return build_remote(source_of(contract, stub), connections(client, {"comfyui": "stub-key-of-comfyui"}))


@pytest.mark.parametrize("inline", [True, False])
def test_a_workflow_gets_caption_and_seed(inline: bool, stub: Stub, client: HttpClient, tmp_path: Path) -> None:
    """A workflow in the source's file or in its own generates the same image as the default graph."""
    file = tmp_path / "workflow.json"
    file.write_text(json.dumps(exported()))
    given = file.read_text() if inline else str(file)
    own = generate(generator(stub, client, {"workflow": given, **PLACES}), RecordingGate(), seed=2**33)
    ours = generate(generator(stub, client, {}), RecordingGate(), seed=2**33)
    assert isinstance(own, GeneratedImage)
    assert isinstance(ours, GeneratedImage)
    assert own.seed == 2**33
    assert own.image.tobytes() == ours.image.tobytes()


def test_a_workflow_without_a_place_for_seeds_promises_nothing(stub: Stub, client: HttpClient) -> None:
    """A workflow without an input for the seed records none."""
    result = generate(
        generator(stub, client, {"workflow": json.dumps(exported()), "prompt_at": "20.text"}), RecordingGate()
    )
    assert isinstance(result, GeneratedImage)
    assert result.seed is None


def test_an_order_does_not_change_the_next(stub: Stub, client: HttpClient) -> None:
    """The workflow is filled again for each image."""
    one = generator(stub, client, {})
    generated = [
        generate(one, RecordingGate(), seed=seed, caption=caption) for seed, caption in ((1, "a"), (2, "b"), (1, "a"))
    ]
    assert isinstance(generated[0], GeneratedImage)
    assert isinstance(generated[2], GeneratedImage)
    assert generated[0].image.tobytes() == generated[2].image.tobytes()


def test_what_the_server_will_not_take_is_its_own_sentence(stub: Stub, client: HttpClient) -> None:
    """The server's error is reported, and nothing is billed."""
    nodes = exported()
    del nodes["70"]
    result = generate(generator(stub, client, {"workflow": json.dumps(nodes), **PLACES}), RecordingGate())
    assert str(result) == "ComfyUI responded with status 400: Prompt has no outputs."
    assert stub.billed()["comfyui"] == 0


def test_histories() -> None:
    """A failed node and a missing image are errors; `image_at` selects the node of the image."""

    def read(vendor: ComfyUi, entry: dict[str, Any]) -> Any:
        return vendor.parse_poll(HttpResponse(200, {}, json.dumps({"1": entry}).encode()), "1")

    vendor = ComfyUi(CONTRACT.model)
    with pytest.raises(SourceError, match="a node of the workflow failed"):
        read(vendor, {"status": {"status_str": "error"}, "outputs": {}})
    with pytest.raises(SourceError, match="without an image"):
        read(vendor, {"status": {"status_str": "success"}, "outputs": {}})
    chosen = ComfyUi(CONTRACT.model, {"workflow": json.dumps(exported()), **PLACES, "image_at": "70"})
    outputs = {node: {"images": [{"filename": f"{node}&.png", "type": "output"}]} for node in ("60", "70")}
    (image,) = read(chosen, {"status": {"status_str": "success"}, "outputs": outputs})
    assert image.image.to == "view?filename=70%26.png&subfolder=&type=output"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"workflow": "/no/such.json", **PLACES}, "cannot be read"),
        ({"workflow": "{", **PLACES}, "not JSON"),
        ({"workflow": '{"nodes": []}', **PLACES}, "API format"),
        ({"workflow": "W"}, "prompt_at is needed"),
        ({"workflow": "W", "prompt_at": "9.text"}, "no input '9.text'; there are 10.ckpt_name, 20.text"),
        ({"workflow": "W", **PLACES, "steps": 3}, "set steps in the workflow"),
        ({"seed_at": "50.seed"}, "seed_at needs a workflow"),
        ({"workflow": "OTHER", **PLACES}, "no node of the workflow loads sd_xl"),
    ],
)
def test_mistakes_in_an_entry_are_sentences(
    parameters: dict[str, Parameter], message: str, stub: Stub, client: HttpClient
) -> None:
    """Mistakes are found when the generator is built, not when it generates."""
    text = json.dumps(exported())
    given = {"W": text, "OTHER": text.replace(CONTRACT.model, "other.safetensors")}
    filled: dict[str, Parameter] = {name: given.get(str(value), value) for name, value in parameters.items()}
    with pytest.raises(ConfigurationError, match=message):
        generator(stub, client, filled)


def test_the_caption_stays_text(stub: Stub, client: HttpClient) -> None:
    """Quotes and braces in a caption do not change the graph."""
    result = generate(generator(stub, client, {}), RecordingGate(), caption=f'{CAPTION} "}}}}, {{ \\')
    assert isinstance(result, GeneratedImage)
