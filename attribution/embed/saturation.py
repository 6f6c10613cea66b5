"""Proves from an ONNX file that its 8-bit products fit into 16 bits, so that features are the same on every processor.

Without VNNI, x86 multiplies unsigned 8-bit values by signed 8-bit weights and adds two such products in 16 bits, where
they saturate (vpmaddubsw). A sum of two is at most 2 · 255 · |weight|: weights from -64 to 64 are safe, whichever two
the processor adds. For unsigned weights, ONNX Runtime widens both factors before it multiplies (vpmaddwd).

The file is read without the `onnx` package: loading an embedder must not need it. Only the fields named below are
read (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attribution.errors import ConfigurationError

LARGEST_SUM = 2**15 - 1
_LARGEST_ACTIVATION = 2**8 - 1
_INT8 = 3
_EXTERNAL = 1
# Fields that lead from a model to its tensors: message, field number, message that the field holds.
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "sparse": {1: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
}


def largest_pair_sum(weights: NDArray[np.int8]) -> int:
    """The largest magnitude that two products of unsigned 8-bit values and `weights` (any shape) can add up to."""
    return 2 * _LARGEST_ACTIVATION * max(int(weights.max(initial=0)), -int(weights.min(initial=0)))


def refuse_saturation(model: Path) -> None:
    """Raises ConfigurationError where a signed 8-bit weight of the ONNX file `model` may saturate, or is unreadable."""
    again = "Export the model again: python -m attribution export-onnx MODEL NEW_DIRECTORY --precision int8-dynamic."
    try:
        for name, weights in signed_weights(model):
            if (found := largest_pair_sum(weights)) > LARGEST_SUM:
                raise ConfigurationError(
                    f"{model}: the 8-bit weight {name} needs sums up to {found}, processors without VNNI saturate at "
                    f"{LARGEST_SUM}, and features would depend on the processor. {again}"
                )
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{model}: its 8-bit weights cannot be read ({error}). {again}") from error


def signed_weights(model: Path) -> Iterator[tuple[str, NDArray[np.int8]]]:
    """Name and values (flat) of each int8 constant of more than one value: initializers, constants, in subgraphs too.

    Raises ValueError where the file is no ONNX, OSError where a file of weights is missing.
    """
    yield from _tensors(np.memmap(model, np.uint8, "r").data, "model", model.parent)


def _tensors(message: memoryview, kind: str, directory: Path) -> Iterator[tuple[str, NDArray[np.int8]]]:
    inside = _INSIDE[kind]
    for number, value in _fields(message):
        if number not in inside or isinstance(value, int):
            continue
        if inside[number] != "tensor":
            yield from _tensors(value, inside[number], directory)
            continue
        name, values = _tensor(value, directory)
        if values.size > 1:  # one value is a zero point
            yield name, values


def _tensor(message: memoryview, directory: Path) -> tuple[str, NDArray[np.int8]]:
    """Name and values of an int8 tensor; no values for other types."""
    kind, name, place, external = 0, "", 0, {}
    raw, integers = memoryview(b""), list[int]()
    for number, value in _fields(message):
        match number, value:
            case 2, int():
                kind = value
            case 14, int():
                place = value
            case 5, int():
                integers.append(value)
            case 5, memoryview():
                integers.extend(_varints(value))
            case 8, memoryview():
                name = bytes(value).decode()
            case 9, memoryview():
                raw = value
            case 13, memoryview():
                entry = {key: bytes(text).decode() for key, text in _fields(value) if isinstance(text, memoryview)}
                external[entry[1]] = entry.get(2, "")
    if kind != _INT8:
        return name, np.zeros(0, np.int8)
    if place == _EXTERNAL:
        length = int(external.get("length") or -1)
        offset = int(external.get("offset") or 0)
        return name, np.fromfile(directory / external["location"], np.int8, length, offset=offset)
    if integers:
        return name, np.array([each & 0xFF for each in integers], np.uint8).view(np.int8)
    return name, np.frombuffer(raw, np.int8)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values of a protobuf message (https://protobuf.dev/programming-guides/encoding)."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("it is not an ONNX file")
        if at + size > len(message):
            raise ValueError("it is cut short")
        yield key >> 3, message[at : at + size]
        at += size


def _varints(message: memoryview) -> Iterator[int]:
    at = 0
    while at < len(message):
        value, at = _varint(message, at)
        yield value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("it is cut short")
