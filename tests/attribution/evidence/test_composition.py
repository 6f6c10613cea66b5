"""Every carrier with every interpreter: what a generator's text says does not depend on where in a file it stands.

A new carrier or interpreter is a line in one of the tables, and is tested with all of the other one.
"""

import html
import json
from collections.abc import Callable

import pytest

from attribution.evidence.finding import Finding, Trust
from attribution.evidence.generators import INTERPRETERS
from attribution.evidence.read import read
from tests.app.images import encoded, noise
from tests.attribution.evidence.files import (
    XMP,
    animated_comment,
    chunk,
    exif_block,
    jpeg_with_comment,
    png_texts,
    png_with,
    raw_profile,
    stealth,
    with_exif_block,
    with_iptc,
    with_xmp,
)
from tests.attribution.evidence.test_parameters import A1111, COMFY, itxt, ztxt


def in_description(text: str) -> str:
    """XMP elements with the text as description."""
    return f"<dc:description><rdf:Alt><rdf:li>{html.escape(text)}</rdf:li></rdf:Alt></dc:description>"


def in_comment(text: str) -> str:
    """XMP elements with the text as EXIF's user comment."""
    namespace = 'xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    return f"<exif:UserComment {namespace}><rdf:Alt><rdf:li>{html.escape(text)}</rdf:li></rdf:Alt></exif:UserComment>"


def packet(text: str) -> bytes:
    """An XMP packet with the text as description."""
    return XMP.format(attributes="", elements=in_description(text)).encode()


CARRIERS: dict[str, Callable[[str], bytes]] = {
    "png-text": lambda text: png_texts({"parameters": text}),
    "png-text-other-keyword": lambda text: png_texts({"Comment": text}),
    "png-international": lambda text: png_with(itxt("parameters", text)),
    "png-international-packed": lambda text: png_with(itxt("parameters", text, packed=True)),
    "png-packed": lambda text: png_with(ztxt("parameters", text)),
    "png-after-pixels": lambda text: png_with(itxt("parameters", text), last=True),
    "png-exif": lambda text: with_exif_block(exif_block({}, b"ASCII\0\0\0" + text.encode()), "PNG"),
    "png-xmp": lambda text: png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet(text))),
    "raw-profile-exif": lambda text: raw_profile("exif", b"Exif\0\0" + exif_block({}, bytes(8) + text.encode())),
    "raw-profile-app1": lambda text: raw_profile("APP1", b"Exif\0\0" + exif_block({0x10E: text.encode()}), False),
    "raw-profile-app1-xmp": lambda text: raw_profile("APP1", b"http://ns.adobe.com/xap/1.0/\0" + packet(text)),
    "raw-profile-xmp": lambda text: raw_profile("xmp", packet(text)),
    "exif-utf-16-be": lambda text: with_exif_block(exif_block({}, b"UNICODE\0" + text.encode("utf-16-be"))),
    "exif-utf-16-le": lambda text: with_exif_block(exif_block({}, b"UNICODE\0" + text.encode("utf-16-le"))),
    "exif-utf-16-bom": lambda text: with_exif_block(exif_block({}, b"UNICODE\0" + text.encode("utf-16"), "II")),
    "exif-unicode-utf-8": lambda text: with_exif_block(exif_block({}, b"UNICODE\0" + text.encode())),
    "exif-without-code": lambda text: with_exif_block(exif_block({}, text.encode())),
    "exif-description": lambda text: with_exif_block(exif_block({0x10E: text.encode()}, order="II")),
    "exif-windows-comment": lambda text: with_exif_block(exif_block({0x9C9C: text.encode("utf-16-le")})),
    "exif-make-with-prefix": lambda text: with_exif_block(exif_block({0x10F: b"parameters:" + text.encode()})),
    "exif-webp": lambda text: with_exif_block(exif_block({}, b"ASCII\0\0\0" + text.encode()), "WEBP"),
    "exif-avif": lambda text: with_exif_block(exif_block({}, b"ASCII\0\0\0" + text.encode()), "AVIF"),
    "tiff": lambda text: encoded(noise(), "TIFF", tiffinfo={270: text.encode()}),
    "jpeg-comment": lambda text: jpeg_with_comment(text.encode()),
    "gif-comment": lambda text: animated_comment(text.encode()),
    "xmp-description": lambda text: with_xmp(elements=in_description(text), kind="WEBP"),
    "xmp-comment": lambda text: with_xmp(elements=in_comment(text)),
    "iptc-caption": lambda text: with_iptc({(2, 120): text.encode()}),
    "stealth-alpha": lambda text: stealth(text),
    "stealth-alpha-packed": lambda text: stealth(text, packed=True),
    "stealth-alpha-webp": lambda text: stealth(text, packed=True, kind="WEBP"),
    "stealth-colors": lambda text: stealth(text, packed=True, alpha=False),
}

NOVELAI = {
    "Software": "NovelAI",
    "Source": "NovelAI Diffusion V4 37C2B166",
    "Description": "a secret wish",
    "Comment": json.dumps({"prompt": "a secret wish", "steps": 28, "sampler": "k_euler", "seed": 11, "scale": 5.0}),
}
INVOKEAI = {
    "app_version": "5.0",
    "positive_prompt": "a secret wish",
    "model": {"name": "dreamshaper"},
    "seed": 9,
    "steps": 30,
}
INVOKEAI_GRAPH = {
    "id": "x",
    "nodes": {
        "a": {"type": "sdxl_model_loader", "model": {"name": "dreamshaper"}},
        "b": {"type": "vae_loader", "vae_model": {"name": "other"}},
        "c": {"type": "denoise_latents", "steps": 30, "cfg_scale": 5, "scheduler": "euler"},
    },
}
SWARMUI = {"sui_image_params": {"prompt": "a secret wish", "model": "SDXL/dreamshaper", "seed": 3, "steps": 25}}
FOOOCUS = {"prompt": "a secret wish", "base_model": "dreamshaper", "performance": "Speed", "seed": "7", "steps": 30}
DRAW_THINGS = {"c": "a secret wish", "uc": "blurry", "model": "flux_q8p.ckpt", "seed": 5, "scale": 4.5, "steps": 20}
EASY_DIFFUSION = {
    "prompt": "a secret wish",
    "use_stable_diffusion_model": "C:\\models\\dreamshaper.ckpt",
    "seed": 8,
    "num_inference_steps": 25,
}
LABEL = {"Label": "1", "ContentProducer": "Wanderlust Cloud", "ProduceID": "a1", "ContentPropagator": "Post"}
JOB = "01234567-89ab-cdef-0123-456789abcdef"

# The text, and the generator, the model and one detail that it names; None where the format has none.
TEXTS: dict[str, tuple[str, str, str | None, str | None]] = {
    "automatic1111": (A1111, "AUTOMATIC1111 or a compatible tool", "dreamshaper_8", "965400086"),
    "automatic1111-in-one-line": (
        A1111.replace("\n", " "),
        "AUTOMATIC1111 or a compatible tool",
        "dreamshaper_8",
        "965400086",
    ),
    "automatic1111-of-fooocus": (
        "a secret wish\nSteps: 30, Sampler: DPM++, Seed: 7, Model: modèle, Version: Fooocus v2.5.5",
        "Fooocus",
        "modèle",
        "7",
    ),
    "comfyui": (json.dumps(COMFY), "ComfyUI", "v1-5-pruned.safetensors", "5"),
    "comfyui-in-members": (
        json.dumps({"prompt": json.dumps(COMFY), "workflow": {"nodes": [], "links": []}}),
        "ComfyUI",
        "v1-5-pruned.safetensors",
        "5",
    ),
    "comfyui-workflow": ('{"nodes": [], "links": []}', "ComfyUI", None, None),
    "swarmui": (json.dumps(SWARMUI), "SwarmUI", "SDXL/dreamshaper", "3"),
    "fooocus": (json.dumps(FOOOCUS), "Fooocus", "dreamshaper", "7"),
    "invokeai": (json.dumps(INVOKEAI), "InvokeAI", "dreamshaper", "9"),
    "invokeai-graph": (json.dumps(INVOKEAI_GRAPH), "InvokeAI", "dreamshaper", None),
    "novelai": (json.dumps(NOVELAI), "NovelAI", "NovelAI Diffusion V4 37C2B166", "11"),
    "draw-things": (json.dumps(DRAW_THINGS), "Draw Things", "flux_q8p.ckpt", "5"),
    "easy-diffusion": (json.dumps(EASY_DIFFUSION), "Easy Diffusion", "dreamshaper.ckpt", "8"),
    "mochi-diffusion": (
        "Include in Image: a secret wish; Model: dreamshaper; Steps: 20; Seed: 4; Generator: Mochi Diffusion 4.0",
        "Mochi Diffusion",
        "dreamshaper",
        "4",
    ),
    "china-label": (json.dumps({"AIGC": LABEL}), "Wanderlust Cloud", None, None),
    "midjourney": (f"a secret wish --v 6 Job ID: {JOB}", "Midjourney", None, None),
    "grok": (f"Signature: {'QUJD' * 20}\n{JOB}", "Grok", None, None),
}


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("name", TEXTS)
def test_a_text_says_the_same_in_every_carrier(carrier: str, name: str) -> None:
    """Generator, model and seed are found, the prompt is noticed and not copied."""
    text, generator, model, seed = TEXTS[name]
    findings = read(CARRIERS[carrier](text))
    assert {finding.generator for finding in findings} == {generator}
    finding = findings[-1]
    assert (finding.model, finding.says_ai, finding.trust) == (model, True, Trust.SELF_DECLARED)
    assert dict(finding.details).get("seed") == seed
    assert finding.prompt_present is ("secret" in text)
    assert "secret" not in repr(findings)


def test_every_interpreter_has_a_text() -> None:
    """An interpreter without one would not be tested."""
    names = {interpreter.__name__.lstrip("_") for interpreter in INTERPRETERS}
    assert names == {name for name in names if any(key.replace("-", "_").startswith(name) for key in TEXTS)}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("name", TEXTS)
def test_text_behind_the_end_is_not_counted(kind: str, name: str) -> None:
    """It is reported as standing there, with `says_ai` false, whether it is a PNG's chunk or plain text."""
    text, generator, *_ = TEXTS[name]
    for trailer in (chunk(b"iTXt", b"parameters\0\0\0\0\0" + text.encode()), b"\n" + text.encode()):
        findings: tuple[Finding, ...] = read(encoded(noise(), kind) + trailer)
        assert [(finding.generator, finding.says_ai) for finding in findings] == [(generator, False)]
        assert findings[0].trust is Trust.WEAK
        assert findings[0].where.startswith("after the end of the image")
