"""Graphs for ComfyUI, and where in one the caption and the seed go."""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attribution.errors import ConfigurationError

_INLINE = "{"


@dataclass(frozen=True, slots=True)
class Workflow:
    """A graph in ComfyUI's API format: node ids to `{class_type, inputs}`. The places are (node id, input)."""

    nodes: Mapping[str, Any] = field(repr=False)
    prompt_at: tuple[str, str]
    seed_at: tuple[str, str] | None

    def filled(self, prompt: str, seed: int | None) -> dict[str, Any]:
        """The graph with both in their places; a seed without one is left out."""
        nodes: dict[str, Any] = deepcopy(dict(self.nodes))
        nodes[self.prompt_at[0]]["inputs"][self.prompt_at[1]] = prompt
        if self.seed_at is not None and seed is not None:
            nodes[self.seed_at[0]]["inputs"][self.seed_at[1]] = seed
        return nodes

    def mentions(self, value: str) -> bool:
        """Whether some input of some node is this text: a checkpoint's name, say."""
        return any(value in node["inputs"].values() for node in self.nodes.values())


def plain(
    checkpoint: str,
    *,
    steps: int = 20,
    cfg: float = 7.0,
    width: int = 512,
    height: int = 512,
    sampler_name: str = "euler",
    scheduler: str = "normal",
    negative_prompt: str = "",
) -> Workflow:
    """What ComfyUI opens with. The image is a preview: those are kept until the server restarts, and not for ever."""
    sampled = {"steps": steps, "cfg": cfg, "sampler_name": sampler_name, "scheduler": scheduler, "denoise": 1.0}
    linked = {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0]}
    nodes = {
        "1": _node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "2": _node("CLIPTextEncode", text="", clip=["1", 1]),
        "3": _node("CLIPTextEncode", text=negative_prompt, clip=["1", 1]),
        "4": _node("EmptyLatentImage", width=width, height=height, batch_size=1),
        "5": _node("KSampler", seed=0, **sampled, **linked),
        "6": _node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": _node("PreviewImage", images=["6", 0]),
    }
    return Workflow(nodes, ("2", "text"), ("5", "seed"))


def read(workflow: str, prompt_at: str | None, seed_at: str | None) -> Workflow:
    """A workflow of the operator's: JSON, or the path of a file of it. Raises ConfigurationError."""
    nodes = _parsed(workflow)
    if not isinstance(nodes, dict) or not nodes or not all(_is_node(node) for node in nodes.values()):
        raise ConfigurationError(
            "the workflow is not in the API format, node ids with class_type and inputs: export it with Export (API)."
        )
    if prompt_at is None:
        raise ConfigurationError('with a workflow, prompt_at is needed: where the caption goes, such as "6.text".')
    return Workflow(nodes, _place(nodes, prompt_at), None if seed_at is None else _place(nodes, seed_at))


def _parsed(workflow: str) -> Any:
    if not workflow.lstrip().startswith(_INLINE):
        try:
            workflow = Path(workflow).read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise ConfigurationError(f"the workflow's file {workflow} cannot be read.") from None
    try:
        return json.loads(workflow)
    except ValueError as error:
        raise ConfigurationError(f"the workflow is no JSON: {error}.") from None


def _is_node(node: object) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def _place(nodes: Mapping[str, Any], where: str) -> tuple[str, str]:
    node, _, name = where.rpartition(".")
    if node not in nodes or name not in nodes[node]["inputs"]:
        known = ", ".join(
            f"{each}.{given}"
            for each, description in nodes.items()
            for given, value in description["inputs"].items()
            if not isinstance(value, list)  # which is a link
        )
        raise ConfigurationError(f"the workflow has no input {where!r}; there are {known}.")
    return node, name


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}
