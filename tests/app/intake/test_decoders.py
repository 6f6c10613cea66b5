"""The decoding children: how they describe a file, and what happens where one takes too long, too much, or dies."""

import base64
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.errors import (
    ImageTooLargeProblem,
    MalformedRequest,
    Overloaded,
    StorageUnavailable,
    UndecodableImageProblem,
    UnsupportedImageProblem,
)
from app.intake.decoders import Decoders
from app.intake.decoding import Decoded
from app.settings import IntakeSettings
from attribution.errors import UndecodableImage, UnsupportedImage
from tests.app.images import encoded, noise
from tests.app.odd import png
from tests.attribution.evidence.signing import Authority
from tests.attribution.test_quality import framed, picture

DEFAULTS = IntakeSettings()
TENANT, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)
T = TypeVar("T")


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """The path of an upload, with a good image until a test writes another."""
    path = tmp_path / "upload"
    path.write_bytes(encoded(noise(1_300, 500), "JPEG"))
    return path


def with_decoders(work: Callable[[Decoders], Awaitable[T]], **settings: Any) -> T:
    """Runs the work with decoders, which are closed at its end."""

    async def run() -> T:
        with closing(Decoders(DEFAULTS.model_copy(update=settings))) as decoders:
            return await work(decoders)

    return anyio.run(run)


def test_a_file_is_described(upload: Path):
    """With the hash and size of the file, and the width and height of the image."""

    data = upload.read_bytes()
    decoded = with_decoders(lambda decoders: decoders.inspect(TENANT, upload))
    assert decoded == Decoded("JPEG", 1_300, 500, 1, hashlib.sha256(data).hexdigest(), len(data))


def test_the_canonical_image_is_written(upload: Path):
    """One call describes the file, writes its canonical BMP, scaled down, and finds no evidence in a plain file."""

    async def run(decoders: Decoders) -> tuple[Decoded, Decoded, list[dict[str, Any]]]:
        inspected = await decoders.inspect(TENANT, upload)
        return inspected, *await decoders.derive(TENANT, upload, upload.with_name("canonical"))

    inspected, decoded, evidence = with_decoders(run)
    assert replace(decoded, quality=None) == inspected
    assert decoded.quality is not None
    assert (decoded.quality["width"], decoded.quality["jpeg_quality"]) == (1_300, 75)
    assert evidence == []
    with Image.open(upload.with_name("canonical")) as image:
        assert (image.format, image.mode, image.size) == ("BMP", "RGB", (1_024, 394))


@pytest.mark.parametrize(("crop", "size"), [(True, (320, 240)), (False, (320, 360))])
def test_borders_are_cut_off_as_the_setting_says(upload: Path, crop: bool, size: tuple[int, int]):
    """A border is reported either way; the file is described as it was sent."""
    upload.write_bytes(encoded(framed(picture(), 0, 60, 0, 60)))

    canonical = upload.with_name("canonical")
    decoded, _ = with_decoders(lambda decoders: decoders.derive(TENANT, upload, canonical), crop_borders=crop)
    assert (decoded.width, decoded.height) == (320, 360)
    assert decoded.quality is not None
    assert (decoded.quality["border"]["top"], decoded.quality["cropped"]) == (60, crop)
    with Image.open(upload.with_name("canonical")) as image:
        assert image.size == size


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_cut_off_anywhere_is_found_by_inspecting_it(upload: Path, progressive: bool):
    """Only a small image is reconstructed, but the whole file is read: `inspect` refuses what `derive` refuses."""
    whole = encoded(noise(1_024, 1_024), "JPEG", progressive=progressive)

    async def run(decoders: Decoders) -> None:
        for share in (0.3, 0.7, 0.95, 0.999):
            upload.write_bytes(whole[: int(len(whole) * share)])
            with pytest.raises(UndecodableImageProblem):
                await decoders.inspect(TENANT, upload)
            with pytest.raises(UndecodableImageProblem):
                await decoders.derive(TENANT, upload, upload.with_name("canonical"))
        upload.write_bytes(whole)
        await decoders.inspect(TENANT, upload)

    with_decoders(run)


def test_an_image_that_takes_too_much_computing_ends_its_decoder(tmp_path: Path):
    """The child ends itself, even inside the native code of a codec."""
    code = (
        "import os, sys\n"
        "from app.intake.decoding import DecodeLimits, inspect\n"
        "import attribution.image\n"
        "inspect(os.open(sys.argv[1], os.O_RDONLY), DecodeLimits(10**8, 9, 1024, 0.05))\n"
    )
    path = tmp_path / "upload"
    path.write_bytes(encoded(Image.new("RGB", (5_000, 5_000)), "PNG"))
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -signal.SIGPROF


def test_a_decoder_that_stands_still_is_killed_and_replaced(upload: Path):
    """The wait has an end, and the error does not blame the image."""

    async def run(decoders: Decoders) -> None:
        await decoders.inspect(TENANT, upload)
        (child,) = decoders.pids()
        os.kill(child, signal.SIGSTOP)
        with pytest.raises(Overloaded):
            await decoders.inspect(TENANT, upload)
        assert decoders.pids() == []
        await decoders.inspect(TENANT, upload)

    with_decoders(run, decode_timeout=timedelta(seconds=0.5))


def test_a_decoder_that_dies_is_replaced(upload: Path):
    """Whether it dies while it is idle or while it decodes; only the latter makes an image undecodable."""

    async def run(decoders: Decoders) -> None:
        await decoders.inspect(TENANT, upload)
        (child,) = decoders.pids()
        watched = os.pidfd_open(child)
        os.kill(child, signal.SIGKILL)
        await anyio.to_thread.run_sync(select.select, [watched], [], [])
        os.close(watched)
        await decoders.inspect(TENANT, upload)
        (child,) = decoders.pids()
        os.kill(child, signal.SIGSTOP)

        async def kill() -> None:
            await anyio.sleep(0.2)
            os.kill(child, signal.SIGKILL)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill)
            with pytest.raises(UndecodableImageProblem, match="broke the decoder"):
                await decoders.inspect(TENANT, upload)
        await decoders.inspect(TENANT, upload)

    with_decoders(run)


def test_a_child_serves_one_tenant(upload: Path):
    """Another tenant's file never reaches it: what a file made of its decoder stays with its tenant."""

    async def run(decoders: Decoders) -> None:
        await decoders.inspect(TENANT, upload)
        (first,) = decoders.pids()
        await decoders.inspect(OTHER, upload)
        assert first in decoders.pids()
        await decoders.inspect(TENANT, upload)
        assert decoders.pids()[-1] == first
        assert len(decoders.pids()) == 2

    with_decoders(run)


def test_an_abandoned_decode_frees_its_child(upload: Path):
    """A canceled decode has its child killed at once."""
    upload.write_bytes(encoded(Image.new("RGB", (7_000, 7_000)), "PNG"))

    async def run(decoders: Decoders) -> float:
        with anyio.move_on_after(0.3):
            await decoders.inspect(TENANT, upload)
        upload.write_bytes(encoded())
        began = time.monotonic()
        await decoders.inspect(TENANT, upload)
        return time.monotonic() - began

    assert with_decoders(run, decoders=1) < 2


def test_memory_is_limited_in_the_child_and_only_there(upload: Path):
    """An image that needs more than the limit is too large; a small one is decoded by the same child afterwards."""
    good = upload.read_bytes()

    async def run(decoders: Decoders) -> None:
        await decoders.inspect(TENANT, upload)
        upload.write_bytes(encoded(Image.new("RGBA", (7_000, 7_000)), "PNG", compress_level=1))
        with pytest.raises(ImageTooLargeProblem, match="memory"):
            await decoders.inspect(TENANT, upload)
        upload.write_bytes(good)
        await decoders.inspect(TENANT, upload)

    with_decoders(run, decode_memory_mb=320, decoders=1)
    limits = Path("/proc/self/limits").read_text().splitlines()
    assert any(line.startswith("Max address space") and "unlimited" in line for line in limits)


def test_the_methods_errors_become_problems(upload: Path):
    """Each error of the image module becomes one of the service's, with the same sentence."""

    async def run(decoders: Decoders) -> None:
        for data, problem, sentence in (
            (b"words", UnsupportedImageProblem, "accepted"),
            (b"", UndecodableImageProblem, "empty"),
            (png(9_000, 9_000, b""), ImageTooLargeProblem, "pixels"),
        ):
            upload.write_bytes(data)
            with pytest.raises(problem, match=sentence):
                await decoders.inspect(TENANT, upload)

    with_decoders(run)


def test_a_disk_that_cannot_be_written_is_no_error_of_the_image(upload: Path):
    """The caller is asked to try again, not to change the image."""
    with pytest.raises(StorageUnavailable):
        with_decoders(lambda decoders: decoders.derive(TENANT, upload, upload.with_name("missing") / "canonical"))


def test_evidence_in_a_file_is_found(upload: Path):
    """What a generator wrote into its file is returned as a finding."""
    text = PngInfo()
    text.add_text("parameters", "a hat\nSteps: 20, Sampler: Euler a, Seed: 7, Model: dreamshaper")
    upload.write_bytes(encoded(noise(), "PNG", pnginfo=text))
    _, evidence = with_decoders(lambda decoders: decoders.derive(TENANT, upload, upload.with_name("canonical")))
    (finding,) = evidence
    assert (finding["kind"], finding["trust"], finding["model"]) == ("text", "self_declared", "dreamshaper")
    assert finding["details"] == {"sampler": "Euler a", "steps": "20", "seed": "7"}


def test_credentials_are_read_in_the_confined_child(upload: Path, tmp_path: Path):
    """The native library works under the child's limits, with the operator's list of issuers."""
    authority = Authority()
    upload.write_bytes(authority.sign(encoded(noise(), "JPEG"), "image/jpeg"))
    trusted = tmp_path / "issuers.pem"
    trusted.write_text(authority.root)
    canonical = upload.with_name("canonical")

    async def run(decoders: Decoders) -> list[dict[str, Any]]:
        return (await decoders.derive(TENANT, upload, canonical))[1]

    for (finding,), trust in (
        (with_decoders(run), "untrusted_issuer"),
        (with_decoders(run, trust_list=trusted), "verified"),
    ):
        assert (finding["kind"], finding["trust"]) == ("c2pa", trust)


def test_a_trust_list_without_certificates_stops_the_start(tmp_path: Path):
    """The error comes at the start, not with the first image, in a child that ignores it."""
    (tmp_path / "empty.pem").write_text("no certificate")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(ValueError, match="PEM certificates"):
            IntakeSettings(trust_list=tmp_path / name)


def test_a_generated_image_is_decoded_to_pixels():
    """As vendors send them: pixels are exact, larger images scaled down, and the method's own errors are raised."""
    image = noise(90, 50)

    async def run(decoders: Decoders) -> None:
        assert await decoders.decode_generated(encoded(image)) == (90, 50, image.tobytes())
        width, height, pixels = await decoders.decode_generated(encoded(noise(2_048, 64)))
        assert (width, height, len(pixels)) == (1_024, 32, 3 * 1_024 * 32)
        with pytest.raises(UndecodableImage):
            await decoders.decode_generated(encoded(image)[:-600])
        with pytest.raises(UnsupportedImage):
            await decoders.decode_generated(b"<html>")
        assert decoders.pids() == []

    with_decoders(run)


def test_a_large_json_body_is_parsed_in_a_child(tmp_path: Path):
    """Its images become files; a body that is large without images, or costly, is refused."""
    body = tmp_path / "body"
    image = encoded(noise(300, 300))
    text = base64.b64encode(image).decode()

    async def run(decoders: Decoders) -> None:
        body.write_text(json.dumps({"items": [{"image": text}, {"image": "é"}, {"references": {"a": [text, text]}}]}))
        value = await decoders.unpack_json(TENANT, body)
        first, bad, last = value["items"]
        assert first["image"].path.read_bytes() == image
        assert "base64" in bad["image"].detail
        assert [each.path.read_bytes() for each in last["references"]["a"]] == [image, image]
        body.write_text(json.dumps({"image": text, "note": 7}))
        value = await decoders.unpack_json(TENANT, body)
        assert (value["image"].path.read_bytes(), value["note"]) == (image, 7)
        too_large: tuple[Any, ...] = (
            {f"unknown-{k}": k for k in range(100_000)},
            [[0] * 2_000] * 11,
            {"prompt": "x" * 40_000},
            [["x" * 16_000] * 20] * 4,
            [[]] * 300_000,
        )
        for refused in too_large:
            body.write_text(json.dumps(refused))
            with pytest.raises(MalformedRequest, match=r"members|values|characters"):
                await decoders.unpack_json(TENANT, body)

    with_decoders(run)
