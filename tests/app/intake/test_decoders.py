"""The decoding children: how they describe a file, and what happens where one takes too long, too much, or dies."""

import hashlib
import os
import select
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.errors import (
    ImageTooLargeProblem,
    Overloaded,
    StorageUnavailable,
    UndecodableImageProblem,
    UnsupportedImageProblem,
)
from app.intake.decoders import Decoders
from app.intake.decoding import Decoded
from app.settings import IntakeSettings
from tests.app.images import encoded, noise
from tests.app.odd import png
from tests.attribution.evidence.signing import Authority
from tests.attribution.test_quality import framed, picture

DEFAULTS = IntakeSettings()


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """The path of an upload, with a good image until a test writes another."""
    path = tmp_path / "upload"
    path.write_bytes(encoded(noise(1_300, 500), "JPEG"))
    return path


OTHERS: set[int] = set()


@pytest.fixture(autouse=True)
def _others() -> None:
    """Children that other tests started are not counted."""
    OTHERS.clear()
    OTHERS.update(children())


def children() -> list[int]:
    """The pids of this test's living children."""
    found = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "to_process"], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split() if int(pid) not in OTHERS]


def kill_reader(pipe: Path) -> None:
    """Kills the child once it has opened the pipe for reading, and returns when it has ended."""
    end = os.open(pipe, os.O_WRONLY)  # returns as soon as the child has opened the other end
    (child,) = children()
    watched = os.pidfd_open(child)
    os.kill(child, signal.SIGKILL)
    os.close(end)
    select.select([watched], [], [])  # the next writer must not meet this reader
    os.close(watched)


def test_a_file_is_described(upload: Path):
    """With the hash and size of the file, and the width and height of the image."""

    async def run() -> Decoded:
        return await Decoders(DEFAULTS).inspect(upload)

    data = upload.read_bytes()
    assert anyio.run(run) == Decoded("JPEG", 1_300, 500, 1, hashlib.sha256(data).hexdigest(), len(data))


def test_the_canonical_image_is_written(upload: Path):
    """One call describes the file, writes its canonical BMP, scaled down, and finds no evidence in a plain file."""

    async def run() -> tuple[Decoded, Decoded, list[dict[str, Any]]]:
        decoders = Decoders(DEFAULTS)
        return await decoders.inspect(upload), *await decoders.derive(upload, upload.with_name("canonical"))

    inspected, decoded, evidence = anyio.run(run)
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

    async def run() -> tuple[Decoded, list[dict[str, Any]]]:
        settings = IntakeSettings(crop_borders=crop)
        return await Decoders(settings).derive(upload, upload.with_name("canonical"))

    decoded, _ = anyio.run(run)
    assert (decoded.width, decoded.height) == (320, 360)
    assert decoded.quality is not None
    assert (decoded.quality["border"]["top"], decoded.quality["cropped"]) == (60, crop)
    with Image.open(upload.with_name("canonical")) as image:
        assert image.size == size


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_cut_off_anywhere_is_found_by_inspecting_it(upload: Path, progressive: bool):
    """Only a small image is reconstructed, but the whole file is read: `inspect` refuses what `derive` refuses."""
    whole = encoded(noise(1_024, 1_024), "JPEG", progressive=progressive)

    async def run() -> None:
        decoders = Decoders(DEFAULTS)
        for share in (0.3, 0.7, 0.95, 0.999):
            upload.write_bytes(whole[: int(len(whole) * share)])
            for judge in (decoders.inspect(upload), decoders.derive(upload, upload.with_name("canonical"))):
                with pytest.raises(UndecodableImageProblem):
                    await judge
        upload.write_bytes(whole)
        await decoders.inspect(upload)

    anyio.run(run)


def test_an_image_that_takes_too_much_computing_ends_its_decoder(tmp_path: Path):
    """The child ends itself, even inside the native code of a codec."""
    code = (
        "import pathlib, sys\n"
        "from app.intake.decoding import DecodeLimits, inspect\n"
        "import attribution.image\n"
        "p = pathlib.Path(sys.argv[1])\n"
        "inspect(p, DecodeLimits(10**8, 9, 1024, 2**31, 0.05))\n"
    )
    path = tmp_path / "upload"
    path.write_bytes(encoded(Image.new("RGB", (5_000, 5_000)), "PNG"))
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -signal.SIGPROF


def test_a_decoder_that_stands_still_is_killed_and_replaced(upload: Path):
    """The wait has an end, and the error does not blame the image."""

    async def run() -> None:
        patient = Decoders(DEFAULTS)
        await patient.inspect(upload)  # starts the child that both have
        impatient = Decoders(DEFAULTS.model_copy(update={"decode_timeout": timedelta(seconds=0.1)}))
        (child,) = children()
        os.kill(child, signal.SIGSTOP)
        with pytest.raises(Overloaded):
            await impatient.inspect(upload)
        assert child not in children()
        await patient.inspect(upload)

    anyio.run(run)


def test_a_decoder_that_dies_is_replaced(upload: Path):
    """A child that is killed while it decodes makes that image undecodable; the next file gets a new child."""

    pipe = upload.with_name("pipe")
    os.mkfifo(pipe)

    async def run() -> None:
        decoders = Decoders(DEFAULTS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, kill_reader, pipe)
            with pytest.raises(UndecodableImageProblem, match="broke the decoder"):
                await decoders.inspect(pipe)
        await decoders.inspect(upload)

    anyio.run(run)


def test_memory_is_limited_in_the_child_and_only_there(upload: Path):
    """An image that needs more than the limit is too large; a small one is decoded by the same child afterwards."""
    good = upload.read_bytes()

    async def run() -> None:
        decoders = Decoders(DEFAULTS.model_copy(update={"decode_memory_mb": 260, "decoders": 1}))
        await decoders.inspect(upload)
        upload.write_bytes(encoded(Image.new("RGBA", (7_000, 7_000)), "PNG", compress_level=1))
        with pytest.raises(ImageTooLargeProblem, match="memory"):
            await decoders.inspect(upload)
        upload.write_bytes(good)
        await decoders.inspect(upload)

    anyio.run(run)
    limits = Path("/proc/self/limits").read_text().splitlines()
    assert any(line.startswith("Max address space") and "unlimited" in line for line in limits)


def test_the_methods_errors_become_problems(upload: Path):
    """Each error of the image module becomes one of the service's, with the same sentence."""

    async def run(data: bytes) -> None:
        upload.write_bytes(data)
        await Decoders(DEFAULTS).inspect(upload)

    with pytest.raises(UnsupportedImageProblem, match="accepted"):
        anyio.run(run, b"words")
    with pytest.raises(UndecodableImageProblem, match="empty"):
        anyio.run(run, b"")
    with pytest.raises(ImageTooLargeProblem, match="pixels"):
        anyio.run(run, png(9_000, 9_000, b""))


def test_a_disk_that_cannot_be_written_is_no_error_of_the_image(upload: Path):
    """The caller is asked to try again, not to change the image."""

    async def run() -> None:
        await Decoders(DEFAULTS).derive(upload, upload.with_name("missing") / "canonical")

    with pytest.raises(StorageUnavailable):
        anyio.run(run)


def test_messages_of_libraries_do_not_block_a_child(tmp_path: Path):
    """A child writes a megabyte to standard error, which is not read, and still ends."""
    code = (
        "import os, pathlib, sys\n"
        "from app.intake.decoding import DecodeLimits, inspect\n"
        "p = pathlib.Path(sys.argv[1])\n"
        "inspect(p, DecodeLimits(10**6, 9, 64, 2**31, 60))\n"
        "os.write(2, b'complaint' * 120_000)\n"
    )
    path = tmp_path / "upload"
    path.write_bytes(encoded())
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stderr=subprocess.PIPE) as child:
        assert child.wait() == 0


def test_evidence_in_a_file_is_found(upload: Path):
    """What a generator wrote into its file is returned as a finding."""
    text = PngInfo()
    text.add_text("parameters", "a hat\nSteps: 20, Sampler: Euler a, Seed: 7, Model: dreamshaper")
    upload.write_bytes(encoded(noise(), "PNG", pnginfo=text))

    async def run() -> list[dict[str, Any]]:
        return (await Decoders(DEFAULTS).derive(upload, upload.with_name("canonical")))[1]

    (finding,) = anyio.run(run)
    assert (finding["kind"], finding["trust"], finding["model"]) == ("text", "self_declared", "dreamshaper")
    assert finding["details"] == {"sampler": "Euler a", "steps": "20", "seed": "7"}


def test_credentials_are_read_in_the_confined_child(upload: Path, tmp_path: Path):
    """The native library works under the child's limits, with the operator's list of issuers."""
    authority = Authority()
    upload.write_bytes(authority.sign(encoded(noise(), "JPEG"), "image/jpeg"))
    trusted = tmp_path / "issuers.pem"
    trusted.write_text(authority.root)

    async def run(settings: IntakeSettings) -> list[dict[str, Any]]:
        return (await Decoders(settings).derive(upload, upload.with_name("canonical")))[1]

    (finding,) = anyio.run(run, DEFAULTS)
    assert (finding["kind"], finding["trust"]) == ("c2pa", "untrusted_issuer")
    (finding,) = anyio.run(run, IntakeSettings(trust_list=trusted))
    assert (finding["kind"], finding["trust"]) == ("c2pa", "verified")


def test_a_trust_list_without_certificates_stops_the_start(tmp_path: Path):
    """The error comes at the start, not with the first image, in a child that ignores it."""
    (tmp_path / "empty.pem").write_text("no certificate")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(ValueError, match="PEM certificates"):
            IntakeSettings(trust_list=tmp_path / name)


def test_a_child_that_dies_while_it_reads_evidence_does_not_make_the_image_undecodable(upload: Path):
    """The image is accepted, and its evidence is `unreadable`."""
    pipe = upload.with_name("pipe")
    os.mkfifo(pipe)  # as the list of issuers, which a child reads

    def kill() -> None:
        kill_reader(pipe)  # during both tasks
        kill_reader(pipe)  # during the evidence alone

    async def run() -> tuple[Decoded, list[dict[str, Any]]]:
        decoders = Decoders(DEFAULTS.model_copy(update={"trust_list": pipe}))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, kill)
            found = await decoders.derive(upload, upload.with_name("canonical"))
        return found  # noqa: RET504 - for the type checker, a task group may swallow an error

    decoded, evidence = anyio.run(run)
    assert (decoded.width, decoded.height) == (1_300, 500)
    assert upload.with_name("canonical").read_bytes().startswith(b"BM")
    assert [(finding["kind"], finding["trust"]) for finding in evidence] == [("file", "unreadable")]
