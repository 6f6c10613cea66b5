"""One interpreter per generator: from the texts of one place in a file to what they say, whichever block has them.

The larger formats have modules of their own; the others are here. Prompts are detected but never copied.
"""

import re
from collections.abc import Callable, Iterator

from attribution.evidence.automatic1111 import automatic1111
from attribution.evidence.china_label import china_label
from attribution.evidence.comfyui import comfyui
from attribution.evidence.finding import Finding, clean, pairs
from attribution.evidence.invokeai import invokeai
from attribution.evidence.products import known_generator
from attribution.evidence.texts import Statement, Table, Texts, first, json_object, settings

Interpreter = Callable[[Texts], Statement | None]

_MAKERS = ("Software", "Source", "Author", "Title")
_MOCHI = re.compile(r"(?:^|;) ?([A-Z][A-Za-z -]{2,30}): ([^;]{1,400})")
_MIDJOURNEY = re.compile(r"\bJob ID: ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
_GROK_SIGNATURE = re.compile(r"^\s*Signature: ?[A-Za-z0-9+/=_-]{40,}\s*$")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_GROK = (
    "Files of Grok have a signature and an identifier in this form. The signature cannot be checked, because its key "
    "is not public, and anyone can copy the form."
)
_LETTERS = re.compile(r"[\W_]+")


def interpretations(texts: Texts) -> list[Finding]:
    """One finding per generator whose format is found."""
    found: dict[tuple[str, str], Statement] = {}
    for interpret in INTERPRETERS:
        statement = interpret(texts)
        if statement is not None:
            found.setdefault((statement.generator, clean(statement.model)), statement)
    return [statement.finding(texts) for statement in found.values()]


def named_maker(texts: Texts) -> list[Finding]:
    """For texts without a known format: a finding for a generator that they name, or for the program."""
    named = {keyword: text for keyword, text in reversed(texts.pairs) if keyword in _MAKERS}
    known = known_generator(named.values(), [text for _, text in texts.pairs])
    if not known and "Software" not in named:
        return []
    details = pairs(**{keyword.lower(): named[keyword] for keyword in _MAKERS if keyword in named})
    generator = known or clean(named["Software"])
    return [Statement(generator, says_ai=known is not None, details=details).finding(texts)] if generator else []


def _swarmui(texts: Texts) -> Statement | None:
    for keyword, table in texts.tables:
        values = json_object(table.get("sui_image_params"))
        if values:
            return Statement(
                "SwarmUI",
                keyword,
                model=clean(values.get("model")),
                prompt_present=bool(values.get("prompt")),
                details=settings(
                    values,
                    sampler="sampler",
                    scheduler="scheduler",
                    steps="steps",
                    cfg_scale="cfgscale",
                    seed="seed",
                    version="swarm_version",
                ),
            )
    return None


def _fooocus(texts: Texts) -> Statement | None:
    """Its own scheme; with the other one it writes AUTOMATIC1111's lines, and its name as the version."""
    for keyword, table in texts.tables:
        values = {_LETTERS.sub("_", str(name).lower()): value for name, value in table.items()}
        if "base_model" in values and not {"performance", "sharpness", "base_model_hash"}.isdisjoint(values):
            resolution = clean(values.get("resolution")).strip("()").replace(", ", "x")
            return Statement(
                "Fooocus",
                keyword,
                model=clean(values["base_model"]),
                prompt_present=bool(values.get("prompt")),
                details=pairs(model_hash=values.get("base_model_hash"))
                + settings(
                    values,
                    sampler="sampler",
                    scheduler="scheduler",
                    steps="steps",
                    cfg_scale="guidance_scale",
                    seed="seed",
                    size="",
                    version="version",
                )
                + pairs(size=resolution),
            )
    return None


def _novelai(texts: Texts) -> Statement | None:
    for keyword, table in texts.tables:
        if clean(table.get("Software")) != "NovelAI":
            continue
        values = json_object(table.get("Comment"))
        return Statement(
            "NovelAI",
            f"{keyword} Software".strip(),
            model=clean(table.get("Source")),
            prompt_present=bool(table.get("Description") or values.get("prompt")),
            details=settings(values, sampler="sampler", steps="steps", cfg_scale="scale", seed="seed"),
        )
    return None


def _draw_things(texts: Texts) -> Statement | None:
    for keyword, table in texts.tables:
        if {"c", "seed", "scale"} <= table.keys() and not {"uc", "v2", "model", "sampler"}.isdisjoint(table):
            return Statement(
                "Draw Things",
                keyword,
                model=clean(first(table, "model") or json_object(table.get("v2")).get("model")),
                prompt_present=bool(table["c"]),
                details=settings(table, sampler="sampler", steps="steps", cfg_scale="scale", seed="seed", size="size"),
            )
    return None


def _easy_diffusion(texts: Texts) -> Statement | None:
    """Its keys are written as `use_stable_diffusion_model` or as `Stable Diffusion model`."""
    for keyword, table in texts.tables:
        values = {_LETTERS.sub("_", str(name).lower()): value for name, value in table.items()}
        model = first(values, "use_stable_diffusion_model", "stable_diffusion_model")
        if model and not {"seed", "num_inference_steps", "steps", "guidance_scale"}.isdisjoint(values):
            return Statement(
                "Easy Diffusion",
                keyword,
                model=clean(re.split(r"[\\/]", clean(model))[-1]),
                prompt_present=bool(values.get("prompt")),
                details=settings(
                    values,
                    sampler=("sampler_name", "sampler"),
                    steps=("num_inference_steps", "steps"),
                    cfg_scale="guidance_scale",
                    seed="seed",
                ),
            )
    return None


def _mochi_diffusion(texts: Texts) -> Statement | None:
    """`Include in Image: …; Model: …; Seed: …; Generator: Mochi Diffusion 4.0`"""
    for keyword, text in texts.lines():
        values: Table = dict(_MOCHI.findall(text))
        if "Mochi Diffusion" in values.get("Generator", ""):
            return Statement(
                "Mochi Diffusion",
                keyword,
                model=values.get("Model"),
                prompt_present="Include in Image" in values,
                details=settings(
                    values,
                    sampler=("Scheduler", "Sampler"),
                    steps="Steps",
                    cfg_scale="Guidance Scale",
                    seed="Seed",
                    size="Size",
                    version="Generator",
                ),
            )
    return None


def _midjourney(texts: Texts) -> Statement | None:
    """It signs the description, which is the prompt, with the job."""
    for keyword, text in texts.lines():
        if found := _MIDJOURNEY.search(text):
            prompt = bool(text[: found.start()].strip())
            return Statement("Midjourney", keyword, prompt_present=prompt, details=pairs(job=found[1]))
    return None


def _grok(texts: Texts) -> Statement | None:
    signed = next((keyword for keyword, text in _alone(texts) if _GROK_SIGNATURE.match(text)), None)
    identifier = next((text for _, text in _alone(texts) if _UUID.fullmatch(text.strip("\0 "))), None)
    if signed is None or identifier is None:
        return None
    claim = "Has a signature and an identifier, as images of Grok have."
    return Statement("Grok", signed, claim=claim, caveat=_GROK, details=pairs(identifier=identifier))


def _alone(texts: Texts) -> Iterator[tuple[str, str]]:
    """Each text by itself, and the lines of those with several."""
    yield from texts.entries
    yield from (
        (keyword, line) for keyword, text in texts.entries if "\n" in text for line in text[:2_000].splitlines()
    )
    for _, table in texts.tables[1:]:
        yield from ((name, value) for name, value in table.items() if isinstance(value, str))


INTERPRETERS: tuple[Interpreter, ...] = (
    china_label,
    comfyui,
    _swarmui,
    _fooocus,
    invokeai,
    _novelai,
    _draw_things,
    _easy_diffusion,
    _mochi_diffusion,
    automatic1111,
    _midjourney,
    _grok,
)
