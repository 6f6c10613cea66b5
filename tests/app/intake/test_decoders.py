"""The decoding children: what they say of a file, and what becomes of one that takes too long, too much, or dies."""

import hashlib
import os
import signal
import subprocess
import sys
import time
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

DEFAULTS = IntakeSettings()


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """Where an upload lies; it holds a good image until a test writes another."""
    path = tmp_path / "upload"
    path.write_bytes(encoded(noise(1_300, 500), "JPEG"))
    return path


OTHERS: set[int] = set()


@pytest.fixture(autouse=True)
def _others() -> None:
    """Other tests' children, if there are any, are not this one's."""
    OTHERS.clear()
    OTHERS.update(children())


def children() -> list[int]:
    """The pids of this test's living children."""
    found = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "to_process"], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split() if int(pid) not in OTHERS]


def test_a_file_is_described(upload: Path):
    """Hash and size are of the file, width and height those that it has."""

    async def run() -> Decoded:
        return await Decoders(DEFAULTS).inspect(upload)

    data = upload.read_bytes()
    assert anyio.run(run) == Decoded("JPEG", 1_300, 500, 1, hashlib.sha256(data).hexdigest(), len(data))


def test_the_canonical_image_is_written(upload: Path):
    """As BMP, scaled down; a plain file says nothing of itself."""

    async def run() -> object:
        return await Decoders(DEFAULTS).derive(upload, upload.with_name("canonical"))

    assert anyio.run(run) == []
    with Image.open(upload.with_name("canonical")) as image:
        assert (image.format, image.mode, image.size) == ("BMP", "RGB", (1_024, 394))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_cut_off_anywhere_is_found_at_a_glance(upload: Path, progressive: bool):
    """An eighth of the pixels is made of it, but all that is coded is read: what decoding refuses does not pass."""
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
    """The child goes by itself, in the middle of the codec's own code if need be."""
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
    """Nobody waits for ever, and the image is not blamed for it."""

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


def test_a_decoder_that_dies_takes_nobody_with_it(upload: Path):
    """A child that is killed over an image is that image's fault; the next file gets a new child."""

    async def kill() -> None:
        while not children():
            await anyio.sleep(0.01)
        (child,) = children()
        os.kill(child, signal.SIGKILL)

    async def run() -> None:
        decoders = Decoders(DEFAULTS)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill)
            with pytest.raises(UndecodableImageProblem, match="broke the decoder"):
                await decoders.inspect(upload)
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
    """Each error of the image module has one of the service's, with the same sentence."""

    async def run(data: bytes) -> None:
        upload.write_bytes(data)
        await Decoders(DEFAULTS).inspect(upload)

    with pytest.raises(UnsupportedImageProblem, match="accepted"):
        anyio.run(run, b"words")
    with pytest.raises(UndecodableImageProblem, match="empty"):
        anyio.run(run, b"")
    with pytest.raises(ImageTooLargeProblem, match="pixels"):
        anyio.run(run, png(9_000, 9_000, b""))


def test_a_disk_that_cannot_be_written_is_not_the_images_fault(upload: Path):
    """The caller is asked to come back instead of to mend the image."""

    async def run() -> None:
        await Decoders(DEFAULTS).derive(upload, upload.with_name("missing") / "canonical")

    with pytest.raises(StorageUnavailable):
        anyio.run(run)


def test_what_libraries_complain_about_does_not_block_them(tmp_path: Path):
    """A child whose standard error nobody reads writes a megabyte to it and still comes back."""
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


def test_a_file_says_what_it_is_by_itself(upload: Path):
    """What a generator wrote into its file comes back as data, beside what the file is."""
    text = PngInfo()
    text.add_text("parameters", "a hat\nSteps: 20, Sampler: Euler a, Seed: 7, Model: dreamshaper")
    upload.write_bytes(encoded(noise(), "PNG", pnginfo=text))

    async def run() -> list[dict[str, Any]]:
        return await Decoders(DEFAULTS).derive(upload, upload.with_name("canonical"))

    (finding,) = anyio.run(run)
    assert (finding["kind"], finding["trust"], finding["model"]) == ("text", "self_declared", "dreamshaper")
    assert finding["details"] == {"sampler": "Euler a", "steps": "20", "seed": "7"}


def test_credentials_are_read_in_the_confined_child(upload: Path, tmp_path: Path):
    """The native library works under the child's limits, and the operator's list of issuers reaches it."""
    authority = Authority()
    upload.write_bytes(authority.sign(encoded(noise(), "JPEG"), "image/jpeg"))
    trusted = tmp_path / "issuers.pem"
    trusted.write_text(authority.root)

    async def run(settings: IntakeSettings) -> list[dict[str, Any]]:
        return await Decoders(settings).derive(upload, upload.with_name("canonical"))

    (finding,) = anyio.run(run, DEFAULTS)
    assert (finding["kind"], finding["trust"]) == ("c2pa", "untrusted_issuer")
    (finding,) = anyio.run(run, IntakeSettings(trust_list=trusted))
    assert (finding["kind"], finding["trust"]) == ("c2pa", "verified")


def test_a_trust_list_without_certificates_stops_the_start(tmp_path: Path):
    """Not its first use, in a child that only shrugs."""
    (tmp_path / "empty.pem").write_text("no certificate")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(ValueError, match="PEM certificates"):
            IntakeSettings(trust_list=tmp_path / name)


def test_a_child_that_dies_over_evidence_does_not_cost_the_image(upload: Path):
    """The image is taken, and its evidence says that it could not be read."""

    pipe = upload.with_name("pipe")
    os.mkfifo(pipe)  # a child that reads its list of issuers here waits for a writer

    def kill() -> None:
        for _ in range(2):  # the first over both tasks at once, the second over the evidence alone
            end = os.open(pipe, os.O_WRONLY)  # comes back as soon as the child has opened the other one
            (child,) = children()
            os.kill(child, signal.SIGKILL)
            os.close(end)
            # Its command line goes first, its files later: the next writer must not meet this reader.
            while Path(f"/proc/{child}").exists():
                time.sleep(0.01)

    async def run() -> list[dict[str, Any]]:
        decoders = Decoders(DEFAULTS.model_copy(update={"trust_list": pipe}))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, kill)
            return await decoders.derive(upload, upload.with_name("canonical"))

    evidence = anyio.run(run)
    assert upload.with_name("canonical").read_bytes().startswith(b"BM")
    assert [(finding["kind"], finding["trust"]) for finding in evidence] == [("file", "unreadable")]
