"""A decoding child that a file has taken over: what it can reach, and what its answers can do to the service."""

import json
import os
import pickle
import socket
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from app.errors import MalformedRequest, UndecodableImageProblem
from app.intake.decoder_pool import ChildSettings, DecoderPool
from app.intake.decoders import Decoders
from app.intake.sandbox import COMPLETE
from app.settings import IntakeSettings
from app.telemetry.metrics import DECODER_SANDBOX

PROGRAM = str(Path(__file__).with_name("hostile_program.py"))
TENANT = uuid.UUID(int=1)
GOOD = {"format": "PNG", "width": 9, "height": 9, "frames": 1, "sha256": "a" * 64, "size": 1, "quality": None}


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self._marker),)


def test_a_hostile_child_reaches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No secret, no other blob, no socket, no process: it has the files that it was given, and nothing else."""
    monkeypatch.setenv("DATABASE__URL", "postgresql://user:password-of-ours@host/db")
    blob = tmp_path / "blob"
    blob.write_bytes(b"another's")
    given = tmp_path / "given"
    given.write_bytes(b"its own")

    async def run() -> dict[str, Any]:
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            given.open("rb") as file,
            closing(DecoderPool(ChildSettings(2**30, 2**20, None, False, PROGRAM), 1, 1, 10)) as pool,
        ):
            port = server.getsockname()[1]
            places = {"secret": str(blob), "folder": str(tmp_path), "port": port, "parent": os.getpid()}
            return await pool.run(TENANT, "attack", [file.fileno()], places, 20)

    found = anyio.run(run)["value"]
    refused = {"PermissionError", "OSError", "ValueError"}  # the last one is what setrlimit raises
    assert {name: error for name, error in found["outcomes"].items() if error not in refused} == {}
    assert "password-of-ours" not in json.dumps(found["environment"])
    assert set(found["environment"]) <= {"LC_ALL", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "LD_LIBRARY_PATH"}
    assert found["open_files"] == found["files"] + 1  # and the channel to the service
    assert blob.read_bytes() == b"another's"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["blob", "given"]
    assert [DECODER_SANDBOX.labels(part)._value.get() for part in COMPLETE] == [1, 1, 1]


@pytest.mark.parametrize(
    "said",
    [
        {"answer": GOOD | {"sha256": "../../etc/passwd"}},
        {"answer": GOOD | {"format": "EXE"}},
        {"answer": GOOD | {"width": "9"}},
        {"answer": GOOD | {"height": -9}},
        {"answer": GOOD | {"quality": "good"}},
        {"answer": {"format": "PNG"}},
        {"answer": {}},
        {"answer": GOOD | {"quality": {"x": "x" * 100_000}}},
        {"raw": b"[]".hex()},
        {"raw": b'{"value": 1}'.hex()},
        {"raw": (b"[" * 60_000).hex()},
        {"raw": b'{"error": "SystemExit", "detail": "0"}'.hex()},
        {"raw": b"\xff\xfe".hex()},
    ],
    ids=lambda said: json.dumps(said)[:60],
)
def test_an_answer_that_is_none_is_the_images_fault(tmp_path: Path, said: dict[str, Any]):
    """The image is undecodable, and the next one has a new child."""
    assert outcome(tmp_path, said, "inspect") is UndecodableImageProblem


def test_an_answer_runs_nothing(tmp_path: Path):
    """What the service receives is never unpickled."""
    marker = tmp_path / "marker"
    assert outcome(tmp_path, {"raw": pickle.dumps(Payload(marker)).hex()}, "inspect") is UndecodableImageProblem
    assert not marker.exists()
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.exists()


@pytest.mark.parametrize(
    "written",
    [b"", b"\x89PNG\r\n\x1a\n" + bytes(99), b"BM" + bytes(52), b"BM" + bytes(100_000)],
    ids=["nothing", "PNG", "BMP without a size", "BMP of another size"],
)
def test_only_the_canonical_format_is_taken(tmp_path: Path, written: bytes):
    """What workers read later with a decoder of their own is a BMP of the size it says, or is refused."""
    said = {"answer": GOOD | {"evidence": []}, "write": [written.hex()]}
    assert outcome(tmp_path, said, "derive") is UndecodableImageProblem


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"7",
        b'[{}, [[["image"], 5]]]',
        b'[{}, [[["image"], -5], [["image"], 5]]]',
        b'[{}, [[["a", "b"], 0]]]',
        b"[{}, [[[], 0]]]",
        b"[" * 100_000,
    ],
)
def test_a_body_that_was_parsed_wrongly_is_refused(tmp_path: Path, value: bytes):
    """Images that are not there, sizes that are none, places that do not exist."""
    said = {"write": ["", value.hex()], "filling": "x" * 40_000}
    assert outcome(tmp_path, said, "unpack_json") is MalformedRequest


def outcome(folder: Path, said: dict[str, Any], task: str) -> type[Exception] | None:
    """The error that a child's answer becomes."""
    upload = folder / "upload"
    upload.write_text(json.dumps({"write": []} | said))

    async def run() -> None:
        with closing(Decoders(IntakeSettings(), program=PROGRAM)) as decoders:
            if task == "derive":
                await decoders.derive(TENANT, upload, folder / "canonical")
            elif task == "unpack_json":
                await decoders.unpack_json(TENANT, upload)
            else:
                await decoders.inspect(TENANT, upload)

    try:
        anyio.run(run)
    except (UndecodableImageProblem, MalformedRequest) as error:
        return type(error)
    return None
