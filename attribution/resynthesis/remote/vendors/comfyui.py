"""ComfyUI: a self-hosted server. A graph of nodes is submitted, its history is polled, the image is one of its files.

Without `workflow` the graph is ComfyUI's default one for a checkpoint. An operator's workflow is a file's path or JSON;
`prompt_at` and `seed_at` name the node inputs for the caption and the seed, `image_at` names the node of the image if
several have one. ComfyUI has no keys: a key is sent as a bearer token to a proxy in front of it.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from attribution.errors import ConfigurationError, SourceError
from attribution.resynthesis.remote.response_fields import find, items, required_text, text
from attribution.resynthesis.remote.vendor import (
    ImageRequest,
    Option,
    Reply,
    StillGenerating,
    Vendor,
    VendorImage,
    option_types,
)
from attribution.resynthesis.remote.web import HttpResponse, Request

_WORKFLOW_OPTIONS = ("workflow", "prompt_at", "seed_at", "image_at")


@dataclass(frozen=True, slots=True)
class Workflow:
    """A graph in ComfyUI's API format, node ids to `{class_type, inputs}`; prompt and seed go to (node id, input)."""

    nodes: Mapping[str, Any] = field(repr=False)
    prompt_at: tuple[str, str]
    seed_at: tuple[str, str] | None

    def filled(self, prompt: str, seed: int | None) -> dict[str, Any]:
        """The graph with both inserted; the seed is omitted if the workflow has no input for it."""
        nodes: dict[str, Any] = deepcopy(dict(self.nodes))
        nodes[self.prompt_at[0]]["inputs"][self.prompt_at[1]] = prompt
        if self.seed_at is not None and seed is not None:
            nodes[self.seed_at[0]]["inputs"][self.seed_at[1]] = seed
        return nodes

    def mentions(self, value: str) -> bool:
        """Whether any input of any node is this text, such as a checkpoint's name."""
        return any(value in node["inputs"].values() for node in self.nodes.values())


class ComfyUi(Vendor):
    """`POST /prompt`, `GET /history/{prompt_id}`, `GET /view`."""

    name = "ComfyUI"
    options = option_types(
        steps=int,
        cfg=float,
        width=int,
        height=int,
        sampler_name=str,
        scheduler=str,
        negative_prompt=str,
        workflow=str,
        prompt_at=str,
        seed_at=str,
        image_at=str,
    )
    message_paths = ("error.message", "error")

    def __init__(self, model: str, options: Mapping[str, Option] | None = None) -> None:
        super().__init__(model, options)
        own: dict[str, Any] = {k: v for k, v in self.parameters.items() if k in _WORKFLOW_OPTIONS}
        default: dict[str, Any] = {k: v for k, v in self.parameters.items() if k not in _WORKFLOW_OPTIONS}
        self._image_at = own.pop("image_at", None)
        self._workflow = self._read(own, default) if own else _default_workflow(model, **default)

    @property
    def seed_limit(self) -> int | None:
        """64 bits, if the workflow has an input for the seed."""
        return None if self._workflow.seed_at is None else 2**64 - 1

    def submit_request(self, image_request: ImageRequest) -> Request:
        """The server validates the whole graph before it queues it."""
        return Request.json("prompt", {"prompt": self._workflow.filled(image_request.prompt, image_request.seed)})

    def parse_response(self, response: HttpResponse) -> Reply:
        """The task is the prompt's id."""
        return StillGenerating(required_text(response.document(), "prompt_id"))

    def poll_request(self, task: str) -> Request:
        """The history contains the prompt's id once it has ended, and is empty before."""
        return Request.get(f"history/{task}")

    def parse_poll(self, response: HttpResponse, task: str) -> Reply:
        """Images are listed by node; their files are fetched with the key, like all paths of the server."""
        document = response.document()
        entry = document.get(task) if isinstance(document, dict) else None
        if entry is None:
            return StillGenerating(task)
        if text(entry, "status.status_str") == "error":
            raise SourceError("ComfyUI accepted the request, but a node of the workflow failed.")
        files = [each for node in self._image_nodes(entry) for each in items(node, "images")]
        if not files:
            raise SourceError("ComfyUI finished the workflow without an image.")
        return [_image_file(each) for each in files]

    def _image_nodes(self, entry: Any) -> list[Any]:
        outputs = find(entry, "outputs")
        if not isinstance(outputs, dict):
            return []
        if self._image_at is not None:
            return [outputs.get(self._image_at)]
        return list(outputs.values())

    def _read(self, own: Mapping[str, str], default: Mapping[str, Option]) -> Workflow:
        if "workflow" not in own:
            raise ConfigurationError(f"ComfyUI: {', '.join(own)} needs a workflow.")
        if default:
            raise ConfigurationError(f"ComfyUI: with a workflow, set {', '.join(default)} in the workflow itself.")
        try:
            read = _operator_workflow(own["workflow"], own.get("prompt_at"), own.get("seed_at"))
        except ConfigurationError as error:
            raise ConfigurationError(f"ComfyUI: {error}") from None
        if not read.mentions(self.model):
            raise ConfigurationError(f"ComfyUI: no node of the workflow loads {self.model}, the model of this source.")
        return read


def _image_file(file: Any) -> VendorImage:
    where = {name: text(file, name) or "" for name in ("subfolder", "type")}
    return VendorImage(Request.get("view?" + urlencode({"filename": required_text(file, "filename"), **where})))


def _default_workflow(
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
    """ComfyUI's default graph. The image is a preview: previews are deleted when the server restarts."""
    sampler = {"steps": steps, "cfg": cfg, "sampler_name": sampler_name, "scheduler": scheduler, "denoise": 1.0}
    links = {"model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0]}
    nodes = {
        "1": _node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "2": _node("CLIPTextEncode", text="", clip=["1", 1]),
        "3": _node("CLIPTextEncode", text=negative_prompt, clip=["1", 1]),
        "4": _node("EmptyLatentImage", width=width, height=height, batch_size=1),
        "5": _node("KSampler", seed=0, **sampler, **links),
        "6": _node("VAEDecode", samples=["5", 0], vae=["1", 2]),
        "7": _node("PreviewImage", images=["6", 0]),
    }
    return Workflow(nodes, ("2", "text"), ("5", "seed"))


def _operator_workflow(workflow: str, prompt_at: str | None, seed_at: str | None) -> Workflow:
    """A workflow of the operator: JSON, or the path of a JSON file. Raises ConfigurationError."""
    nodes = _parsed(workflow)
    if not isinstance(nodes, dict) or not nodes or not all(_is_node(node) for node in nodes.values()):
        raise ConfigurationError(
            "the workflow is not in the API format, node ids with class_type and inputs: export it with Export (API)."
        )
    if prompt_at is None:
        raise ConfigurationError('with a workflow, prompt_at is needed: where the caption goes, such as "6.text".')
    return Workflow(nodes, _input_place(nodes, prompt_at), None if seed_at is None else _input_place(nodes, seed_at))


def _parsed(workflow: str) -> Any:
    if not workflow.lstrip().startswith("{"):
        try:
            workflow = Path(workflow).read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise ConfigurationError(f"the workflow's file {workflow} cannot be read; check its path.") from None
    try:
        return json.loads(workflow)
    except ValueError as error:
        raise ConfigurationError(f"the workflow is not JSON: {error}.") from None


def _is_node(node: object) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def _input_place(nodes: Mapping[str, Any], where: str) -> tuple[str, str]:
    node, _, name = where.rpartition(".")
    if node not in nodes or name not in nodes[node]["inputs"]:
        known = ", ".join(
            f"{each}.{given}"
            for each, description in nodes.items()
            for given, value in description["inputs"].items()
            if not isinstance(value, list)  # a list is a link to another node
        )
        raise ConfigurationError(f"the workflow has no input {where!r}; there are {known}.")
    return node, name


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}
