"""Generation parameters in text: the formats of AUTOMATIC1111, ComfyUI, InvokeAI and NovelAI.

Read by keyword from PNG text, GIF and JPEG comments and EXIF. Prompts are detected but never copied.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from attribution.evidence.finding import SELF_DECLARED, Finding, Kind, Trust, clean, pairs
from attribution.evidence.vocabulary import known_generator

# AUTOMATIC1111's last line: `Steps: 20, Sampler: Euler a, …, Lora hashes: "a: 1, b: 2", Version: v1.10.1`
_PAIR = re.compile(r'\s{0,9}([A-Za-z][\w /-]{0,40}):\s{0,9}("(?:[^"\\]|\\.){0,400}"|[^,]{0,400})(?:,|$)')
_STEPS = re.compile(r"(?:^|\n)Steps: \d+, ")
_LINE = 8_000
# InvokeAI's oldest form: `"a hat" -s 50 -S 123 -W 512 -H 512 -C 7.5 -A k_lms`
_SWITCH = re.compile(r"(?<!\S)-([sSWHCA]) {0,3}([\w.]{1,40})")
_NODES = 2_000

Texts = Mapping[str, str]


def parameter_findings(where: str, texts: Texts) -> tuple[Finding, ...]:
    """One finding per tool whose format is found; otherwise one for a known generator that a text names."""
    found = [finding for read in _READERS if (finding := read(where, texts)) is not None]
    if not found:
        named = {keyword: texts[keyword] for keyword in ("Software", "Source", "Author", "Title") if keyword in texts}
        known = known_generator(named.values(), texts.values())
        details = pairs(**{keyword.lower(): text for keyword, text in named.items()})
        if known or "Software" in named:
            generator = known or clean(named["Software"])
            found = [_finding(where, generator, says_ai=known is not None, details=details)]
    return tuple(found)


def _finding(where: str, generator: str, keyword: str = "", **more: Any) -> Finding:
    claim = f"Names {generator}."
    if more.get("model"):
        claim = f"Names {generator}, model {more['model']}."
    where = f"{where} {keyword}".strip()
    return Finding(Kind.TEXT, where, claim, Trust.SELF_DECLARED, SELF_DECLARED, generator=generator, **more)


def _automatic1111(where: str, texts: Texts) -> Finding | None:
    for keyword in ("parameters", "comment"):
        text = texts.get(keyword, "")
        starts = [found.start() for found in _STEPS.finditer(text)]
        if not starts:
            continue
        start = starts[-1]  # the prompt before it may contain the same words
        line = text[start:].lstrip("\n").partition("\n")[0][:_LINE]
        values = {name.strip(): value.strip().strip('"') for name, value in _PAIR.findall(line)}
        return _finding(
            where,
            "AUTOMATIC1111 or a compatible tool",
            keyword,
            model=clean(values.get("Model")) or None,
            says_ai=True,
            prompt_present=start > 0,
            details=pairs(
                model_hash=values.get("Model hash"),
                sampler=values.get("Sampler"),
                steps=values.get("Steps"),
                cfg_scale=values.get("CFG scale"),
                seed=values.get("Seed"),
                size=values.get("Size"),
                version=values.get("Version"),
            ),
        )
    return None


def _comfyui(where: str, texts: Texts) -> Finding | None:
    graph = _json(texts.get("prompt"))
    nodes = [node for node in list(graph.values())[:_NODES] if isinstance(node, dict) and "class_type" in node]
    if not nodes:
        workflow = _json(texts.get("workflow"))
        if not isinstance(workflow.get("nodes"), list):
            return None
        return _finding(where, "ComfyUI", "workflow", says_ai=True)
    inputs: dict[str, object] = {}
    prompt = False
    for node in nodes:
        given = node.get("inputs")
        if not isinstance(given, dict):
            continue
        prompt = prompt or ("CLIPTextEncode" in str(node["class_type"]) and isinstance(given.get("text"), str))
        for name, value in given.items():
            if clean(value):  # an input that is linked to another node is a list
                inputs.setdefault(str(name), value)
    return _finding(
        where,
        "ComfyUI",
        "prompt",
        model=clean(inputs.get("ckpt_name", inputs.get("unet_name"))) or None,
        says_ai=True,
        prompt_present=prompt,
        details=pairs(
            sampler=inputs.get("sampler_name"),
            scheduler=inputs.get("scheduler"),
            steps=inputs.get("steps"),
            cfg_scale=inputs.get("cfg"),
            seed=inputs.get("seed", inputs.get("noise_seed")),
            size=_size(inputs),
            lora=inputs.get("lora_name"),
        ),
    )


def _invokeai(where: str, texts: Texts) -> Finding | None:
    values = _json(texts.get("invokeai_metadata"))
    if values:
        model = values.get("model")
        model = model if isinstance(model, dict) else {}
        return _finding(
            where,
            "InvokeAI",
            "invokeai_metadata",
            model=clean(model.get("name", model.get("model_name"))) or None,
            says_ai=True,
            prompt_present=bool(values.get("positive_prompt")),
            details=pairs(
                model_hash=model.get("hash"),
                sampler=values.get("scheduler"),
                steps=values.get("steps"),
                cfg_scale=values.get("cfg_scale"),
                seed=values.get("seed"),
                size=_size(values),
                version=values.get("app_version"),
            ),
        )
    values = _json(texts.get("sd-metadata"))
    image = values.get("image")
    if isinstance(image, dict):
        return _finding(
            where,
            "InvokeAI",
            "sd-metadata",
            model=clean(values.get("model_weights", values.get("model"))) or None,
            says_ai=True,
            prompt_present=bool(image.get("prompt")),
            details=pairs(
                model_hash=values.get("model_hash"),
                sampler=image.get("sampler"),
                steps=image.get("steps"),
                cfg_scale=image.get("cfg_scale"),
                seed=image.get("seed"),
                size=_size(image),
                version=values.get("app_version"),
            ),
        )
    dream = texts.get("Dream", "")
    switches = dict(_SWITCH.findall(dream[-_LINE:]))
    if not switches:
        return None
    return _finding(
        where,
        "InvokeAI",
        "Dream",
        says_ai=True,
        prompt_present=dream.lstrip().startswith('"'),
        details=pairs(
            sampler=switches.get("A"),
            steps=switches.get("s"),
            cfg_scale=switches.get("C"),
            seed=switches.get("S"),
            size=_size({"width": switches.get("W"), "height": switches.get("H")}),
        ),
    )


def _novelai(where: str, texts: Texts) -> Finding | None:
    if texts.get("Software", "").strip() != "NovelAI":
        return None
    values = _json(texts.get("Comment"))
    return _finding(
        where,
        "NovelAI",
        "Software",
        model=clean(texts.get("Source")) or None,
        says_ai=True,
        prompt_present=bool(texts.get("Description") or values.get("prompt")),
        details=pairs(
            sampler=values.get("sampler"),
            steps=values.get("steps"),
            cfg_scale=values.get("scale"),
            seed=values.get("seed"),
            size=_size(values),
        ),
    )


_READERS: tuple[Callable[[str, Texts], Finding | None], ...] = (_automatic1111, _comfyui, _invokeai, _novelai)


def _json(text: str | None) -> dict[str, Any]:
    """The JSON object in the text, empty for anything else. ComfyUI writes NaN, which Python accepts."""
    if not text or not text.lstrip().startswith("{"):
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _size(values: Mapping[str, object]) -> str:
    width, height = clean(values.get("width")), clean(values.get("height"))
    return f"{width}x{height}" if width and height else ""
