"""InvokeAI: its metadata, the two forms before, and the graph that it saves beside them or alone."""

import re
from collections.abc import Mapping
from typing import Any

from attribution.evidence.finding import clean, pairs
from attribution.evidence.texts import Statement, Table, Texts, json_object, settings, size

# The oldest form: `"a hat" -s 50 -S 123 -W 512 -H 512 -C 7.5 -A k_lms`
_SWITCH = re.compile(r"(?<!\S)-([sSWHCA]) {0,3}([\w.]{1,40})")
_SEARCHED = 8_000
_MAX_NODES = 500
_GRAPH = (
    "It is the graph that was to be run, without the values that its last run had; it is not protected, and anyone can "
    "write, change or remove it."
)


def invokeai(texts: Texts) -> Statement | None:
    """The first form that is there."""
    tables = texts.tables
    for keyword, table in tables:
        if "app_version" in table and not isinstance(table.get("image"), dict) and _is_metadata(table):
            return _metadata(keyword, table)
    for keyword, table in tables:
        if keyword == "invokeai_metadata":
            return _metadata(keyword, table)
        if isinstance(table.get("image"), dict) and ("model_weights" in table or "app_id" in table or "model" in table):
            return _sd_metadata(keyword, table)
    dream = str(tables[0][1].get("Dream", ""))
    if switches := dict(_SWITCH.findall(dream[-_SEARCHED:])):
        return _dream(dream, switches)
    for keyword, table in tables:
        if (nodes := _graph(table)) and (keyword.startswith("invokeai") or _has_loader(nodes)):
            return _from_graph(keyword, nodes)
    return None


def _is_metadata(table: Table) -> bool:
    return not {"positive_prompt", "generation_mode", "cfg_scale", "seed"}.isdisjoint(table)


def _metadata(keyword: str, values: Table) -> Statement:
    model = json_object(values.get("model"))
    return Statement(
        "InvokeAI",
        keyword,
        model=clean(model.get("name", model.get("model_name"))),
        prompt_present=bool(values.get("positive_prompt")),
        details=pairs(model_hash=model.get("hash"))
        + settings(
            values, sampler="scheduler", steps="steps", cfg_scale="cfg_scale", seed="seed", version="app_version"
        ),
    )


def _sd_metadata(keyword: str, values: Table) -> Statement:
    image = values["image"]
    return Statement(
        "InvokeAI",
        keyword,
        model=clean(values.get("model_weights", values.get("model"))),
        prompt_present=bool(image.get("prompt")),
        details=pairs(model_hash=values.get("model_hash"))
        + settings(image, sampler="sampler", steps="steps", cfg_scale="cfg_scale", seed="seed")
        + pairs(version=values.get("app_version")),
    )


def _dream(dream: str, switches: Mapping[str, str]) -> Statement:
    return Statement(
        "InvokeAI",
        "Dream",
        prompt_present=dream.lstrip().startswith('"'),
        details=pairs(
            sampler=switches.get("A"),
            steps=switches.get("s"),
            cfg_scale=switches.get("C"),
            seed=switches.get("S"),
            size=size(switches, "W", "H"),
        ),
    )


def _graph(table: Table) -> list[Mapping[str, Any]]:
    """The nodes of a graph, whose type is a text; empty for other tables."""
    nodes = table.get("nodes")
    listed = list(nodes.values()) if isinstance(nodes, dict) else nodes if isinstance(nodes, list) else []
    found = [json_object(node.get("data")) or node for node in listed[:_MAX_NODES] if isinstance(node, dict)]
    return [node for node in found if isinstance(node.get("type"), str)]


def _has_loader(nodes: list[Mapping[str, Any]]) -> bool:
    return any(str(node["type"]).endswith("model_loader") for node in nodes)


def _from_graph(keyword: str, nodes: list[Mapping[str, Any]]) -> Statement:
    """The graph says what was to be run: its main models, and the settings of its denoising nodes."""
    loaders = [node for node in nodes if str(node["type"]).endswith("model_loader") and "vae" not in str(node["type"])]
    inputs = [{**json_object(node.get("inputs")), **node} for node in loaders]
    models = [json_object(each.get("model")) for each in inputs]
    names = [clean(model.get("name", model.get("model_name"))) for model in models]
    values: dict[str, Any] = {}
    for node in nodes:
        if not {"steps", "cfg_scale", "seed", "prompt", "width"}.isdisjoint(node):
            values = {**node, **values}
    return Statement(
        "InvokeAI",
        keyword,
        model=", ".join(dict.fromkeys(filter(None, names))),
        prompt_present=bool(values.get("prompt")),
        details=settings(values, sampler="scheduler", steps="steps", cfg_scale="cfg_scale", seed="seed"),
        caveat=_GRAPH,
    )
