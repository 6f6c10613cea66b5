"""Parameters in lines, as AUTOMATIC1111 writes them and most tools copy: prompts, then `Steps: 20, Sampler: …`.

Copying through EXIF and forms loses line breaks, so the list of values is searched anywhere in the text; what stands
before it is the prompt, which may contain the same words.
"""

import re

from attribution.evidence.finding import pairs
from attribution.evidence.products import known_generator
from attribution.evidence.texts import Statement, Texts

# `Steps: 20, Sampler: Euler a, …, Lora hashes: "a: 1, b: 2", Version: v1.10.1`
_PAIR = re.compile(r'\s{0,9}([A-Za-z][\w /-]{0,40}):\s{0,9}("(?:[^"\\]|\\.){0,400}"|[^,\n]{0,400})(?:,|\n|$)')
_LINE_START = re.compile(r"(?:^|\n)Steps: ?\d+, ?(?=[A-Za-z])")
_ANYWHERE = re.compile(r"(?<![\w-])Steps: ?\d+, ?(?=[A-Za-z])")
_LINE = 8_000
# Writes such lines without its name in them; of other makers beside the text, one may have copied it.
_DRAW_THINGS = "Draw Things"
# Of which two must be there: a recipe has steps, too.
_EXPECTED = {"Sampler", "CFG scale", "Guidance Scale", "Seed", "Size", "Model", "Model hash", "Schedule type"}


def automatic1111(texts: Texts) -> Statement | None:
    """The tool that wrote the lines is known by what it calls itself, in `Version`, `App` or beside the text."""
    for keyword, text in texts.lines():
        starts = list(_LINE_START.finditer(text)) or list(_ANYWHERE.finditer(text))
        if not starts:
            continue
        start = starts[-1].start()  # the prompt before it may contain the same words
        line = text[start:].lstrip("\n").partition("\n")[0][:_LINE]
        values = {name.strip(): value.strip().strip('"\0') for name, value in _PAIR.findall(line)}
        if len(_EXPECTED & values.keys()) < 2:
            continue
        tool = known_generator([values.get("App"), values.get("Version")])
        if tool is None and known_generator(texts.makers) == _DRAW_THINGS:
            tool = _DRAW_THINGS
        return Statement(
            tool or "AUTOMATIC1111 or a compatible tool",
            keyword,
            model=values.get("Model"),
            prompt_present=bool(text[:start].strip(" .,\n")),
            details=pairs(
                model_hash=values.get("Model hash"),
                sampler=values.get("Sampler"),
                scheduler=values.get("Schedule type"),
                steps=values.get("Steps"),
                cfg_scale=values.get("CFG scale", values.get("Guidance Scale")),
                seed=values.get("Seed"),
                size=values.get("Size"),
                version=values.get("Version"),
            ),
        )
    return None
