"""ComfyUI: a server of one's own. A graph of nodes is submitted, its history is polled, the image is one of its files.

Without `workflow` the graph is the plain one of a checkpoint. A workflow of one's own is a file's path or the JSON
itself; `prompt_at` and `seed_at` say which inputs of which nodes get the caption and the seed, `image_at` which node
has the image where there are several. ComfyUI has no keys: one goes to the proxy in front of it, as a bearer's.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from attribution.errors import ConfigurationError, SourceError
from attribution.resynthesis.remote import workflow
from attribution.resynthesis.remote.response_fields import find, items, needed, text
from attribution.resynthesis.remote.vendor import (
    ImageRequest,
    Option,
    Reply,
    StillGenerating,
    Vendor,
    VendorImage,
    taking,
)
from attribution.resynthesis.remote.web import HttpResponse, Request

_OWN = ("workflow", "prompt_at", "seed_at", "image_at")


class ComfyUi(Vendor):
    """`POST /prompt`, `GET /history/{prompt_id}`, `GET /view`."""

    name = "ComfyUI"
    options = taking(
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
    message_at = ("error.message", "error")

    def __init__(self, model: str, options: Mapping[str, Option] | None = None) -> None:
        super().__init__(model, options)
        own: dict[str, Any] = {name: self.given[name] for name in _OWN if name in self.given}
        plain: dict[str, Any] = {name: value for name, value in self.given.items() if name not in _OWN}
        self._image_at = own.pop("image_at", None)
        self._workflow = self._read(own, plain) if own else workflow.plain(model, **plain)

    @property
    def seed_limit(self) -> int | None:
        """64 bits, where the workflow has a place for them."""
        return None if self._workflow.seed_at is None else 2**64 - 1

    def order(self, wish: ImageRequest) -> Request:
        """The server validates all of the graph before it queues it."""
        return Request.json("prompt", {"prompt": self._workflow.filled(wish.prompt, wish.seed)})

    def read(self, answer: HttpResponse) -> Reply:
        """The task is the prompt's id."""
        return StillGenerating(needed(answer.document(), "prompt_id"))

    def ask(self, task: str) -> Request:
        """The history has it once it has ended, and an empty object before."""
        return Request.get(f"history/{task}")

    def read_task(self, answer: HttpResponse, task: str) -> Reply:
        """Images are named by node; a file is fetched with the key, as all of the server's paths are."""
        document = answer.document()
        entry = document.get(task) if isinstance(document, dict) else None
        if entry is None:
            return StillGenerating(task)
        if text(entry, "status.status_str") == "error":
            raise SourceError("ComfyUI took the order, and a node of the workflow failed.")
        files = [each for node in self._image_nodes(entry) for each in items(node, "images")]
        if not files:
            raise SourceError("ComfyUI ended the workflow without an image.")
        return [_picture(each) for each in files]

    def _image_nodes(self, entry: Any) -> list[Any]:
        outputs = find(entry, "outputs")
        if not isinstance(outputs, dict):
            return []
        if self._image_at is not None:
            return [outputs.get(self._image_at)]
        return list(outputs.values())

    def _read(self, own: Mapping[str, str], plain: Mapping[str, Option]) -> workflow.Workflow:
        if "workflow" not in own:
            raise ConfigurationError(f"ComfyUI: {', '.join(own)} needs a workflow.")
        if plain:
            raise ConfigurationError(f"ComfyUI: with a workflow, {', '.join(plain)} is the workflow's own.")
        try:
            read = workflow.read(own["workflow"], own.get("prompt_at"), own.get("seed_at"))
        except ConfigurationError as error:
            raise ConfigurationError(f"ComfyUI: {error}") from None
        if not read.mentions(self.model):
            raise ConfigurationError(
                f"ComfyUI: no node of the workflow loads {self.model}, which the file calls model."
            )
        return read


def _picture(file: Any) -> VendorImage:
    where = {name: text(file, name) or "" for name in ("subfolder", "type")}
    return VendorImage(Request.get("view?" + urlencode({"filename": needed(file, "filename"), **where})))


VENDOR = ComfyUi
