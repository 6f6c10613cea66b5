"""Image features by ONNX Runtime, from a directory that `python -m attribution export-onnx` wrote: without torch.

The directory contains `model.onnx` and, in `embedder.json`, the model's origin and the preprocessing of images. Any
other exported graph needs only such a file; it may name the `output` to use, if not the first, and how tokens
(n, 1 + patches, d) are pooled: `"pool": "cls"` takes the first, `"mean"` the mean of the others. With `"batch": 1`
images are embedded one by one: with dynamic ranges, features depend on the other images of a batch.

`"taps": {"block3": "OUTPUT", …}` names the graph's outputs of tokens (n, prefix tokens + patches, d) behind blocks, in
their order. `"prefix_tokens": 1` says how many tokens stand before those of the patches; 1 if absent.

Graphs whose 8-bit products may saturate are refused: features would depend on the processor (see saturation.py).
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL.Image import Image

from attribution.embed.preprocess import Preprocessing
from attribution.embed.saturation import refuse_saturation
from attribution.embed.taps import pooled, taps_of, without_taps
from attribution.embed.unit import unit_rows
from attribution.errors import ConfigurationError
from attribution.ports import ModelRef, Vectors
from attribution.weights import digest_of_directory

MODEL, ABOUT = "model.onnx", "embedder.json"
SCHEMA = 1
_LOCAL = "local-dir:"
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxEmbedder:
    """One loaded graph: pixels (n, 3, h, w) in, features (n, d) out."""

    def __init__(self, where: str, *, device: str = "cpu", batch_size: int = 32, threads: int | None = None) -> None:
        """Load "local-dir:DIRECTORY". Raises ConfigurationError if that fails.

        Without `threads` there is one per core that this process may use.
        """
        directory = Path(where.removeprefix(_LOCAL))
        about = _about(directory)
        self._preprocessing = Preprocessing.read(about["preprocessing"])
        count = threads or _cores()
        self._session = _session(directory, device, count)
        refuse_saturation(directory / MODEL)
        self._input = self._session.get_inputs()[0].name
        self._output = about.get("output") or self._session.get_outputs()[0].name
        self._pool = about.get("pool")
        self._prefix = int(about.get("prefix_tokens", 1))
        self._threads = ThreadPoolExecutor(count)
        self._batch_size = min(batch_size, int(about.get("batch") or batch_size))
        self._ref = ModelRef(directory.resolve().name, digest_of_directory(directory))
        self._dimension = int(about["dimension"])
        self._tap_outputs = list(about.get("taps", {}).values())
        self._taps = taps_of(dict(zip(about.get("taps", {}), self._widths(), strict=True)))

    @property
    def ref(self) -> ModelRef:
        """The directory's name, and a hash of everything in it: prepared otherwise, the features are others."""
        return self._ref

    @property
    def dimension(self) -> int:
        """d, the length of a feature vector."""
        return self._dimension

    @property
    def taps(self) -> Mapping[str, int]:
        """Mean and standard deviation of the patches behind the blocks that `embedder.json` names."""
        return self._taps

    def embed(self, images: Sequence[Image]) -> Vectors:
        """(n, d) float32, rows of unit L2 norm, computed in batches of at most `batch_size`."""
        parts = [unit_rows(self.forward(pixels), self._ref.name) for pixels in self._batches(images)]
        return np.concatenate([np.zeros((0, self._dimension), np.float32), *parts])

    def features(self, images: Sequence[Image]) -> tuple[Vectors, Vectors]:
        """(n, d) as `embed`, and the taps (n, D), from one pass. Raises ConfigurationError if there are no taps."""
        vectors, taps = [self.embed([])], [self._no_taps()]
        for pixels in self._batches(images):
            raw, *tokens = self._run([self._output, *self._tap_outputs], pixels)
            vectors.append(unit_rows(self._pooled(raw), self._ref.name))
            taps.append(pooled([each[:, self._prefix :] for each in tokens]))
        return np.concatenate(vectors), np.concatenate(taps)

    def tap_features(self, images: Sequence[Image]) -> Vectors:
        """(n, D): the taps. Raises ConfigurationError if there are none.

        It costs what `features` costs: ONNX Runtime computes a whole graph, whichever outputs are asked for (1.32, with
        `only_execute_path_to_fetches` too).
        """
        taps = [self._no_taps()]
        for pixels in self._batches(images):
            tokens = self._run(self._tap_outputs, pixels)
            taps.append(pooled([each[:, self._prefix :] for each in tokens]))
        return np.concatenate(taps)

    def prepare(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """(n, 3, h, w): resized and normalized as the model was trained."""
        return self._preprocessing.prepare(images, self._threads)

    def forward(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, d) raw features."""
        (raw,) = self._run([self._output], pixels)
        return self._pooled(raw)

    def _run(self, outputs: Sequence[str], pixels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        found: list[NDArray[np.float32]] = self._session.run(list(outputs), {self._input: pixels})
        return found

    def _pooled(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._pool is None:
            return raw
        return raw[:, 0] if self._pool == "cls" else raw[:, self._prefix :].mean(axis=1)

    def _batches(self, images: Sequence[Image]) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(images), self._batch_size):
            yield self.prepare(images[start : start + self._batch_size])

    def _no_taps(self) -> Vectors:
        if not self._taps:
            raise without_taps(self._ref)
        return np.zeros((0, sum(self._taps.values())), np.float32)

    def _widths(self) -> list[int]:
        """The lengths of the taps' tokens, seen by running one image: graphs from elsewhere often do not state them.

        Raises ConfigurationError where an output is missing, or is not of tokens.
        """
        if not self._tap_outputs:
            return []
        there = {output.name for output in self._session.get_outputs()}
        black = np.zeros((1, 3, *self._preprocessing.size), np.float32)
        if there.issuperset(self._tap_outputs):
            tokens = self._run(self._tap_outputs, black)
            if all(each.ndim == 3 and each.shape[1] > self._prefix for each in tokens):
                return [each.shape[2] for each in tokens]
        raise ConfigurationError(
            f"{self._ref.name}: each of the taps in {ABOUT} must be an output (n, tokens, d) of the graph, with more "
            f"than {self._prefix} tokens; they are {', '.join(self._tap_outputs)}."
        )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _about(directory: Path) -> dict[str, Any]:
    try:
        about = json.loads((directory / ABOUT).read_text())
        known = about["schema"] == SCHEMA and about.get("pool") in (None, "cls", "mean")
        about["preprocessing"], about["dimension"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{directory} holds no exported embedder ({error}); write one with: python -m attribution export-onnx."
        ) from error
    if not known:
        raise ConfigurationError(
            f"{directory / ABOUT}: only schema {SCHEMA} is read, with pool cls or mean. "
            "Export the model again: python -m attribution export-onnx MODEL NEW_DIRECTORY."
        )
    return dict(about)


def _session(directory: Path, device: str, threads: int) -> onnxruntime.InferenceSession:
    kind = device.partition(":")[0]
    provider = _PROVIDERS.get(kind)
    there = onnxruntime.get_available_providers()
    if provider not in there:
        raise ConfigurationError(f"ONNX Runtime as installed cannot use the device {device!r}; it has {there}.")
    options = onnxruntime.SessionOptions()
    # Said, and not left to ONNX Runtime: then it binds its threads to no cores, which a container may not have.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors come as exceptions, too
    chosen: list[Any] = [(provider, {"device_id": device.partition(":")[2] or "0"}) if kind == "cuda" else provider]
    try:
        return onnxruntime.InferenceSession(directory / MODEL, options, providers=chosen)
    except Exception as error:  # ONNX Runtime's own errors share no base but this
        raise ConfigurationError(f"{directory / MODEL} cannot be loaded: {error}") from error
