"""Makes the corpus in tests/evidence: small files of each kind, and beside each what is read from it, as JSON.

`python -m tests.attribution.evidence.corpus` writes files that are missing, and the JSON of all; a reader of the diff
sees what changed. Files are never rewritten, because signatures differ each time.
"""

import html
import json
from collections.abc import Callable
from datetime import timedelta

from attribution.evidence.finding import documents
from attribution.evidence.read import read
from tests.app.images import encoded, noise
from tests.attribution.evidence.files import (
    SOURCE_TYPE,
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
from tests.attribution.evidence.signing import Authority
from tests.attribution.evidence.test_composition import (
    DRAW_THINGS,
    EASY_DIFFUSION,
    FOOOCUS,
    INVOKEAI_GRAPH,
    JOB,
    LABEL,
    NOVELAI,
    SWARMUI,
    TEXTS,
    in_comment,
    in_description,
)
from tests.attribution.evidence.test_parameters import A1111, COMFY, itxt
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "tests" / "evidence"
_GENERATED = SOURCE_TYPE + "trainedAlgorithmicMedia"
_EMPTY = "http://c2pa.org/digitalsourcetype/empty"


def _signed(*assertions: dict[str, object]) -> bytes:
    """Signed by an authority whose certificates are valid for a long time, because the file stays."""
    image = encoded(noise(), "JPEG")
    return Authority(timedelta(days=36_000)).sign(image, "image/jpeg", assertions=list(assertions) or None)


def _actions(*actions: dict[str, object]) -> dict[str, object]:
    return {"label": "c2pa.actions.v2", "data": {"actions": list(actions)}}


def _label(version: str) -> str:
    return json.dumps({**LABEL, "Label": version}, ensure_ascii=False)


def _xmp_label(version: str) -> str:
    namespace = 'xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/"'
    return f"<TC260:AIGC {namespace}>{html.escape(_label(version))}</TC260:AIGC>"


FILES: dict[str, Callable[[], bytes]] = {
    "plain.png": lambda: png_with(),
    "editor.png": lambda: png_texts({"Software": "Adobe Lightroom 14"}),
    "service-in-software.png": lambda: png_texts({"Software": "Google Gemini"}),
    "automatic1111.png": lambda: png_texts({"parameters": A1111}),
    "automatic1111-one-line.gif": lambda: animated_comment(A1111.replace("\n", " ").encode()),
    "automatic1111-exif-utf-8.jpg": lambda: with_exif_block(exif_block({}, b"UNICODE\0" + A1111.encode())),
    "automatic1111-comment.jpg": lambda: jpeg_with_comment(A1111.encode()),
    "comfyui.png": lambda: png_texts({"prompt": json.dumps(COMFY), "workflow": '{"nodes": [], "links": []}'}),
    "comfyui.webp": lambda: with_exif_block(
        exif_block({0x110: b"prompt:" + json.dumps(COMFY).encode(), 0x10F: b'workflow:{"nodes": []}'}), "WEBP"
    ),
    "swarmui-utf-16.jpg": lambda: with_exif_block(
        exif_block({}, b"UNICODE\0" + json.dumps(SWARMUI).encode("utf-16-be"))
    ),
    "fooocus.png": lambda: png_texts({"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"}),
    "draw-things.png": lambda: png_with(
        itxt(
            "XML:com.adobe.xmp",
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
            ' xmlns:dc="http://purl.org/dc/elements/1.1/"><rdf:Description rdf:about=""'
            ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Draw Things">'
            + in_description(
                "a secret wish\nSteps: 20, Sampler: DPM++, Guidance Scale: 4.5, Seed: 5, Model: flux_q8p.ckpt"
            )
            + in_comment(json.dumps(DRAW_THINGS))
            + "</rdf:Description></rdf:RDF></x:xmpmeta>",
        )
    ),
    "easy-diffusion.png": lambda: png_texts({name: str(value) for name, value in EASY_DIFFUSION.items()}),
    "mochi-diffusion.jpg": lambda: with_iptc(
        {(2, 65): b"Mochi Diffusion", (2, 120): TEXTS["mochi-diffusion"][0].encode()}
    ),
    "invokeai-graph.png": lambda: png_texts({"invokeai_graph": json.dumps(INVOKEAI_GRAPH)}),
    "novelai.png": lambda: png_texts(NOVELAI),
    "novelai-stealth.png": lambda: stealth(json.dumps(NOVELAI), packed=True),
    "grok.jpg": lambda: with_exif_block(exif_block({0x10E: f"Signature: {'QUJD' * 20}".encode(), 0x13B: JOB.encode()})),
    "midjourney.png": lambda: png_texts({"Description": TEXTS["midjourney"][0], "Author": "ada"}),
    "midjourney-iptc.jpg": lambda: with_iptc({(2, 80): b"Midjourney", (2, 110): b"Midjourney"}),
    "xmp-source-type.jpg": lambda: with_xmp(f'Iptc4xmpExt:DigitalSourceType="{_GENERATED}"'),
    "xmp-source-file-type.jpg": lambda: with_xmp(f'Iptc4xmpExt:DigitalSourceFileType="{_GENERATED}"'),
    "xmp-credit-edited.webp": lambda: with_xmp('photoshop:Credit="Edited with Google AI"', kind="WEBP"),
    "xmp-camera.jpg": lambda: with_xmp(f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}digitalCapture"'),
    "raw-profile-exif.png": lambda: raw_profile(
        "exif", b"Exif\0\0" + exif_block({0x131: b"Adobe Firefly"}, b"ASCII\0\0\0" + A1111.encode())
    ),
    "raw-profile-iptc.png": lambda: raw_profile("iptc", b"\x1c\x02\x50\x00\x0aMidjourney"),
    "china-label.jpg": lambda: with_xmp(elements=_xmp_label("1")),
    "china-label-suspected.jpg": lambda: with_xmp(elements=_xmp_label("3")),
    "china-label.png": lambda: png_texts({"AIGC": _label("1")}),
    "china-label-exif.jpg": lambda: with_exif_block(
        exif_block({}, b"ASCII\0\0\0" + json.dumps({"AIGC": LABEL}).encode())
    ),
    "c2pa.jpg": lambda: _signed(),
    "c2pa-parameters.jpg": lambda: _signed(
        _actions(
            {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE + "compositeSynthetic"},
            {"action": "c2pa.edited", "parameters": {"com.example.digitalSourceType": _GENERATED}},
        )
    ),
    "c2pa-agent.jpg": lambda: _signed(
        _actions({"action": "c2pa.created", "digitalSourceType": _EMPTY, "softwareAgent": {"name": "GPT-4o"}})
    ),
    "c2pa-metadata.jpg": lambda: _signed(
        _actions({"action": "c2pa.created", "digitalSourceType": _EMPTY}),
        {
            "label": "stds.iptc",
            "kind": "Json",
            "data": {
                "@context": {"Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"},
                "Iptc4xmpExt:DigitalSourceType": _GENERATED,
                "Iptc4xmpExt:AISystemUsed": "Generate Machine",
            },
        },
    ),
    "text-behind-the-end.png": lambda: png_with() + chunk(b"tEXt", b"parameters\0" + A1111.encode()),
    "text-behind-the-end.jpg": lambda: (
        encoded(noise(), "JPEG") + chunk(b"tEXt", b"prompt\0" + json.dumps(COMFY).encode())
    ),
    "broken-xmp.png": lambda: png_with(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<broken")),
}


def main() -> None:
    """Writes what is missing, and the JSON of every file."""
    for name, make in FILES.items():
        path = FOLDER / name
        if not path.exists():
            path.write_bytes(make())
        path.with_name(name + ".json").write_text(
            json.dumps(documents(read(path.read_bytes())), indent=2, ensure_ascii=False) + "\n"
        )


if __name__ == "__main__":
    main()
