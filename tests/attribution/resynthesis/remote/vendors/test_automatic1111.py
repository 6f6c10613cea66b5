"""Where a web UI of one's own differs from the rest."""

from dataclasses import replace

import pytest

from attribution.errors import KeyRefused, SourceError
from attribution.ports import GeneratedImage
from attribution.resynthesis.remote.build import build_remote
from attribution.resynthesis.remote.http_client import HttpClient
from attribution.resynthesis.remote.vendors.automatic1111 import _stem
from stub_vendors import Stub
from tests.attribution.resynthesis.remote.contracts.automatic1111 import CONTRACT
from tests.attribution.resynthesis.remote.generation import (
    RecordingGate,
    connections,
    generate,
    generator_of,
    source_of,
)


def test_without_a_password(stub: Stub, client: HttpClient) -> None:
    """Without a key in the entry, no key is read or sent."""
    source = source_of(CONTRACT, stub)
    open_to_all = {name: value for name, value in source.parameters.items() if name != "key"}
    result = generate(build_remote(replace(source, parameters=open_to_all), connections(client, {})), RecordingGate())
    assert isinstance(result, GeneratedImage)


def test_a_wrong_password_names_its_setting(stub: Stub, client: HttpClient) -> None:
    """The key is not in the sentence."""
    result = generate(generator_of(CONTRACT, stub, client, "user:wrong"), RecordingGate())
    assert isinstance(result, KeyRefused)
    assert "VENDOR_KEYS__AUTOMATIC1111" in str(result)
    assert "wrong" not in str(result)


def test_another_checkpoints_generated_image_is_never_returned(stub: Stub, client: HttpClient) -> None:
    """If the server lacks the checkpoint, it generates with another one and reports that only in `info`."""
    source = replace(source_of(CONTRACT, stub), model="gone.safetensors")
    result = generate(
        build_remote(source, connections(client, {"automatic1111": "stub-key-of-automatic1111"})), RecordingGate()
    )
    assert isinstance(result, SourceError)
    assert "another checkpoint" in str(result)
    assert stub.billed()["automatic1111"] == 1


@pytest.mark.parametrize(
    "name", ["v1-5", "v1-5.safetensors", "v1-5.ckpt", "SD/v1-5.safetensors [6ce0161689]", "SD\\v1-5.ckpt [6ce0]"]
)
def test_names_of_one_checkpoint(name: str) -> None:
    """The names of a checkpoint in the catalog, in the server's list, in `info`, and on Windows are equal."""
    assert _stem(name) == "v1-5"
