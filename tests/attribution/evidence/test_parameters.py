"""Generation parameters in text: findings contain the model and the numbers, never the prompt."""

import json
import zlib

import pytest

from attribution.evidence.finding import Finding, Kind, Trust
from attribution.evidence.read import read
from tests.attribution.evidence.files import animated_comment, chunk, png_texts, png_with, with_exif

A1111 = (
    "a secret wish, Steps: none\nNegative prompt: blurry, Model: wrong\nSteps: 20, Sampler: DPM++ 2M Karras, "
    "CFG scale: 7, Seed: 965400086, Size: 512x768, Model hash: 4199bcdd14, Model: dreamshaper_8, "
    'Lora hashes: "a: 1, b: 2", Version: v1.10.1'
)
SAID = {
    "model_hash": "4199bcdd14",
    "sampler": "DPM++ 2M Karras",
    "steps": "20",
    "cfg_scale": "7",
    "seed": "965400086",
    "size": "512x768",
    "version": "v1.10.1",
}
COMFY = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 5,
            "steps": 20,
            "cfg": 8.0,
            "sampler_name": "euler",
            "scheduler": "normal",
            "model": ["4", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5-pruned.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 640, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a secret wish", "clip": ["4", 1]}},
}
COMFY_SAID = {
    "sampler": "euler",
    "scheduler": "normal",
    "steps": "20",
    "cfg_scale": "8.0",
    "seed": "5",
    "size": "512x640",
}


def only(data: bytes) -> Finding:
    """The one finding, which never has the prompt."""
    (finding,) = read(data)
    assert "secret" not in repr(finding)
    assert "blurry" not in repr(finding)
    return finding


def itxt(keyword: str, text: str, packed: bool = False) -> bytes:
    """An international text chunk."""
    body = zlib.compress(text.encode()) if packed else text.encode()
    return chunk(b"iTXt", keyword.encode() + b"\0" + bytes([packed]) + b"\0\0\0" + body)


def ztxt(keyword: str, text: str) -> bytes:
    """A compressed text chunk."""
    return chunk(b"zTXt", keyword.encode() + b"\0\0" + zlib.compress(text.encode()))


@pytest.mark.parametrize(
    "data",
    [
        png_texts({"parameters": A1111}),
        png_with(itxt("parameters", A1111)),
        png_with(itxt("parameters", A1111, packed=True)),
        png_with(ztxt("parameters", A1111)),
        png_with(itxt("parameters", A1111), last=True),
        with_exif({}, b"UNICODE\0" + A1111.encode("utf-16-be")),
        with_exif({}, b"UNICODE\0" + A1111.encode("utf-16-le")),
        with_exif({}, b"ASCII\0\0\0" + A1111.encode(), kind="WEBP"),
        animated_comment(A1111.encode()),
    ],
    ids=["tEXt", "iTXt", "iTXt-packed", "zTXt", "after-pixels", "utf-16-be", "utf-16-le", "webp", "gif"],
)
def test_automatic1111(data: bytes):
    """In all the places where it and its users keep it."""
    finding = only(data)
    assert (finding.kind, finding.trust, finding.says_ai) == (Kind.TEXT, Trust.SELF_DECLARED, True)
    assert (finding.model, finding.prompt_present) == ("dreamshaper_8", True)
    assert dict(finding.details) == SAID
    assert finding.claim == "Names AUTOMATIC1111 or a compatible tool, model dreamshaper_8."


def test_comfyui():
    """The executed graph contains model, sampler, seed and size; links between nodes are ignored."""
    finding = only(png_texts({"prompt": json.dumps(COMFY), "workflow": '{"nodes": []}'}))
    assert (finding.generator, finding.model) == ("ComfyUI", "v1-5-pruned.safetensors")
    assert finding.prompt_present
    assert dict(finding.details) == COMFY_SAID


def test_comfyui_in_webp():
    """In WebP the JSON is in the camera's tags, which are then not reported as a camera."""
    finding = only(with_exif({0x0110: "prompt:" + json.dumps(COMFY), 0x010F: 'workflow:{"nodes": []}'}, kind="WEBP"))
    assert finding.model == "v1-5-pruned.safetensors"
    assert dict(finding.details) == COMFY_SAID


def test_comfyuis_workflow_alone():
    """The editor's graph names the tool, and not what was run."""
    finding = only(png_texts({"workflow": '{"nodes": [], "links": []}'}))
    assert (finding.generator, finding.model, finding.details) == ("ComfyUI", None, ())


def test_invokeai():
    """Its present form, the one before, and the first one."""
    said = {
        "app_version": "4.2.0",
        "positive_prompt": "a secret wish",
        "model": {"name": "dreamshaper", "hash": "blake3:0a"},
        "seed": 9,
        "steps": 30,
        "scheduler": "euler",
        "cfg_scale": 7.5,
        "width": 512,
        "height": 512,
    }
    finding = only(png_texts({"invokeai_metadata": json.dumps(said)}))
    assert (finding.generator, finding.model, finding.prompt_present) == ("InvokeAI", "dreamshaper", True)
    assert dict(finding.details)["model_hash"] == "blake3:0a"
    assert dict(finding.details)["size"] == "512x512"

    image = {
        "prompt": [{"prompt": "a secret wish"}],
        "sampler": "k_lms",
        "steps": 50,
        "seed": 3,
        "width": 8,
        "height": 8,
    }
    old = {"model": "stable diffusion", "model_weights": "stable-diffusion-1.5", "model_hash": "cc6c", "image": image}
    finding = only(png_texts({"sd-metadata": json.dumps(old), "Dream": '"a secret wish" -s 50 -S 3'}))
    assert (finding.model, finding.prompt_present) == ("stable-diffusion-1.5", True)
    assert dict(finding.details) == {
        "model_hash": "cc6c",
        "sampler": "k_lms",
        "steps": "50",
        "seed": "3",
        "size": "8x8",
    }

    finding = only(png_texts({"Dream": '"a secret wish" -s 50 -S 123 -W 512 -H 640 -C 7.5 -A k_lms'}))
    assert (finding.generator, finding.prompt_present) == ("InvokeAI", True)
    assert dict(finding.details) == {
        "sampler": "k_lms",
        "steps": "50",
        "cfg_scale": "7.5",
        "seed": "123",
        "size": "512x640",
    }


def test_novelai():
    """The model stands in `Source`, the numbers in the JSON of `Comment`."""
    comment = json.dumps({"steps": 28, "sampler": "k_euler", "seed": 11, "scale": 5.0, "uc": "blurry"})
    finding = only(
        png_texts(
            {
                "Software": "NovelAI",
                "Source": "Stable Diffusion F1022D28",
                "Description": "a secret wish",
                "Comment": comment,
            }
        )
    )
    assert (finding.generator, finding.model) == ("NovelAI", "Stable Diffusion F1022D28")
    assert finding.prompt_present
    assert dict(finding.details) == {"sampler": "k_euler", "steps": "28", "cfg_scale": "5.0", "seed": "11"}


def test_midjourney():
    """It signs its description with the job."""
    finding = only(
        png_texts({"Description": "a secret wish Job ID: 01234567-89ab-cdef-0123-456789abcdef", "Author": "ada"})
    )
    assert (finding.generator, finding.says_ai) == ("Midjourney", True)


def test_other_software_is_named_and_called_nothing():
    """A screenshot tool is no generator."""
    finding = only(png_texts({"Software": "gnome-screenshot"}))
    assert (finding.generator, finding.says_ai) == ("gnome-screenshot", False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Steps",
        "{}",
        "[1]",
        "null",
        '{"a": ' * 100_000,
        "[" * 100_000,
        '{"nodes": 3}',
        '{"image": []}',
        "1e999",
        "{" + "9" * 9_000,
    ],
)
def test_what_is_not_a_generators_text_says_nothing(text: str):
    """Under every keyword that a reader looks for."""
    keywords = ("parameters", "prompt", "workflow", "sd-metadata", "Comment", "Dream")
    assert read(png_with(*(itxt(keyword, text) for keyword in keywords))) == ()


def test_a_decompression_bomb_is_not_inflated():
    """A bomb of 200 MB in 200 kB is reported as unreadable, and the other findings are kept."""
    bomb = zlib.compressobj(9)
    packed = b"".join(bomb.compress(bytes(10_000_000)) for _ in range(20)) + bomb.flush()
    data = png_with(chunk(b"zTXt", b"parameters\0\0" + packed), itxt("parameters", A1111))
    findings = read(data)
    assert [finding.trust for finding in findings] == [Trust.SELF_DECLARED, Trust.UNREADABLE]
    assert findings[0].model == "dreamshaper_8"


def test_many_large_texts_are_capped_together():
    """Each within the cap, all of them beyond it."""
    text = ztxt("Note", "x" * 1_900_000)
    assert [finding.trust for finding in read(png_with(*[text] * 50))] == [Trust.UNREADABLE]
