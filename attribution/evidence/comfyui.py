"""ComfyUI's graph of nodes: which model, sampler and prompt the saved image came from.

A graph may contain other models, such as those of a depth map, and several samplers. So it is walked back from the
nodes that save: along images and latents to the samplers, from these along `model` to the loaders, and along
`positive` to the prompts. What is still ambiguous is listed, the nearest to the saved image first.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from attribution.evidence.finding import clean, pairs
from attribution.evidence.texts import Statement, Texts, is_graph

_MAX_NODES = 2_000
_LISTED = 4
_MODEL_FILES = (".safetensors", ".ckpt", ".gguf", ".sft", ".pth", ".pt", ".bin")
_MODEL_NAMES = ("ckpt_name", "unet_name", "model_name", "base_ckpt_name", "diffusion_model", "model_path", "model")
# Inputs that do not lead to where the image's pixels came from.
_SIDEWAYS = ("model", "unet", "positive", "negative", "condition", "clip", "vae", "control", "style", "mask", "upscale")
_LATENTS = ("latent_image", "latent", "samples", "latents")
_SETTINGS = ("noise", "sampler", "sigmas", "guider", "seed", "noise_seed", "steps", "cfg", "scheduler", "sampler_name")
_TO_MODEL = ("model", "unet", "guider", "sigmas", "pipe", "basic_pipe", "context", "sdxl_tuple")
_TO_PROMPT = ("positive", "conditioning", "guider", "pipe", "basic_pipe", "context", "sdxl_tuple", "prompt", "text")
_PROMPTS = ("text", "text_g", "text_l", "clip_l", "t5xxl", "prompt", "positive", "positive_prompt", "value", "string")

_SAMPLES_WITH = ("seed", "noise_seed", "noise", "steps", "sampler_name", "sigmas")
_SAMPLES_FROM = ("latent_image", "latent", "samples", "model", "guider", "sigmas", "pipe", "basic_pipe", "context")

Node = Mapping[str, Any]
Graph = Mapping[str, Node]


def comfyui(texts: Texts) -> Statement | None:
    """From the executed graph; the editor's graph alone names the tool, and not what was run."""
    tables = texts.tables
    for keyword, table in tables:
        if is_graph(table):
            return _interpret(_nodes(table), keyword)
    for keyword, table in tables:
        if isinstance(table.get("nodes"), list) and ("links" in table or keyword == "workflow"):
            return Statement("ComfyUI", keyword)
    return None


def _nodes(table: Mapping[str, Any]) -> Graph:
    found = {str(name): node for name, node in list(table.items())[:_MAX_NODES] if isinstance(node, dict)}
    return {name: node for name, node in found.items() if "class_type" in node and isinstance(node.get("inputs"), dict)}


def _interpret(graph: Graph, keyword: str) -> Statement:
    path = list(_reach(graph, _saving(graph), lambda node, key: _leads_to_pixels(graph, node, key)))
    samplers = [name for name in path if _is_sampler(graph[name])]
    start = samplers or path
    set_by = list(_reach(graph, start, lambda _, key: key in _SETTINGS)) if samplers else path
    to_model = list(_reach(graph, start, lambda _, key: key.startswith(_TO_MODEL)))
    to_prompt = _reach(graph, start, lambda _, key: key.startswith(_TO_PROMPT))
    encoders = [name for name, node in graph.items() if "TextEncode" in str(node["class_type"])]
    return Statement(
        "ComfyUI",
        keyword,
        model=_listed(model for name in to_model if (model := _model(graph[name]))) or None,
        prompt_present=any(_has_prompt(graph[name]) for name in [*to_prompt, *encoders]),
        details=pairs(
            sampler=_listed(_values(graph, set_by, "sampler_name")),
            scheduler=_listed(_values(graph, set_by, "scheduler")),
            steps=_listed(_values(graph, set_by, "steps")),
            cfg_scale=_listed(_values(graph, set_by, "cfg")),
            seed=_listed([*_values(graph, set_by, "seed"), *_values(graph, set_by, "noise_seed")]),
            size=_listed(_sizes(graph, path)) or _listed(_sizes(graph, graph)),
            lora=_listed(lora for name in to_model if (lora := _of(graph[name], "lora_name"))),
        ),
    )


def _saving(graph: Graph) -> list[str]:
    """The nodes that save; without one, those whose output no other node uses."""
    saving = [name for name, node in graph.items() if "save" in str(node["class_type"]).lower()]
    if not saving:
        used = {source for node in graph.values() for _, source in _links(graph, node)}
        saving = [name for name in graph if name not in used]
    return saving


def _reach(graph: Graph, start: Iterable[str], follow: Callable[[Node, str], bool]) -> Iterator[str]:
    """The nodes that are reached through inputs to be followed, the nearest first, with those of the start."""
    waiting = list(dict.fromkeys(start))
    seen = set(waiting)
    for name in waiting:  # grows meanwhile
        yield name
        for key, source in _links(graph, graph[name]):
            if source not in seen and follow(graph[name], key.lower()):
                seen.add(source)
                waiting.append(source)


def _leads_to_pixels(graph: Graph, node: Node, key: str) -> bool:
    """Whether pixels come through this input. A sampler that denoises fully keeps nothing of its latents."""
    if key.startswith(_SIDEWAYS):
        return False
    return not (key in _LATENTS and _is_sampler(node) and _denoises_fully(graph, node))


def _denoises_fully(graph: Graph, node: Node) -> bool:
    inputs = node["inputs"]
    if _number(inputs.get("start_at_step")) or inputs.get("add_noise") == "disable":
        return False
    by = [node, *(graph[source] for key, source in _links(graph, node) if key == "sigmas")]
    given = [value for each in by if (value := _number(each["inputs"].get("denoise"))) is not None]
    return not given or given[0] >= 1


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _links(graph: Graph, node: Node) -> Iterator[tuple[str, str]]:
    """(input, node that it is wired to). A link is a list of a node and the number of its output."""
    for key, value in node["inputs"].items():
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int) and str(value[0]) in graph:
            yield str(key), str(value[0])


def _is_sampler(node: Node) -> bool:
    inputs = node["inputs"].keys()
    return not inputs.isdisjoint(_SAMPLES_WITH) and not inputs.isdisjoint(_SAMPLES_FROM)


def _model(node: Node) -> str:
    if "lora" in str(node["class_type"]).lower():
        return ""
    for key in _MODEL_NAMES:
        if text := _of(node, key):
            return text
    loaded = (clean(value) for value in node["inputs"].values() if str(value).lower().endswith(_MODEL_FILES))
    return next(loaded, "") if "load" in str(node["class_type"]).lower() else ""


def _values(graph: Graph, names: Iterable[str], key: str) -> Iterator[str]:
    """An input's values, or those of the node that it is wired to."""
    for name in names:
        if text := _of(graph[name], key):
            yield text
        for wired, source in _links(graph, graph[name]):
            if wired == key:
                values = (_of(graph[source], each) for each in ("seed", "value", "int", "number", key))
                yield next(filter(None, values), "")


def _sizes(graph: Graph, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        node = graph[name]
        if _of(node, "width") and _of(node, "height") and "TextEncode" not in str(node["class_type"]):
            yield f"{_of(node, 'width')}x{_of(node, 'height')}"


def _of(node: Node, key: str) -> str:
    return clean(node["inputs"].get(key))


def _has_prompt(node: Node) -> bool:
    return any(isinstance(text := node["inputs"].get(key), str) and text.strip() for key in _PROMPTS)


def _listed(values: Iterable[str]) -> str:
    return ", ".join(list(dict.fromkeys(value for value in values if value))[:_LISTED])
