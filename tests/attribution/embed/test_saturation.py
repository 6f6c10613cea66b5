"""8-bit weights whose products may saturate on some processors are found in the file, on any processor."""

import itertools
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from attribution.build import Placement, build_embedder
from attribution.embed.saturation import LARGEST_SUM, largest_pair_sum, refuse_saturation, signed_weights
from attribution.errors import ConfigurationError

PREPARED = {"size": 4, "mean": [0.5] * 3, "std": [0.5] * 3}


def weights_up_to(largest: int) -> NDArray[np.int8]:
    """(48, 2): one column of ones, and one that holds `largest` once."""
    weights = np.ones((48, 2), np.int8)
    weights[7, 1] = largest
    return weights


def tensor(weights: NDArray[np.int8], how: str, directory: Path) -> onnx.TensorProto:
    """The weights as "raw", "integers" or "external" data."""
    if how == "integers":
        return helper.make_tensor("w", TensorProto.INT8, weights.shape, weights.ravel().tolist())
    made = numpy_helper.from_array(weights, "w")
    if how == "external":
        (directory / "w.data").write_bytes(b"1234" + made.raw_data)
        onnx.external_data_helper.set_external_data(made, "w.data", 4, weights.nbytes)
        made.ClearField("raw_data")
    return made


def write(directory: Path, weights: NDArray[np.int8], how: str = "raw", place: str = "initializer") -> Path:
    """A graph of a third party: pixels (n, 3, 4, 4), one 8-bit product, features (n, 2); with a hand-written about."""
    weight = tensor(weights, how, directory)
    constant = helper.make_node("Constant", [], ["w"], value=weight)
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("DynamicQuantizeLinear", ["flat"], ["x", "scale", "zero"]),
        helper.make_node("MatMulInteger", ["x", "w", "zero"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["features"]),
    ]
    initializers = [weight] if place == "initializer" else []
    if place == "constant":
        nodes.insert(0, constant)
    if place == "subgraph":
        output = helper.make_tensor_value_info("w", TensorProto.INT8, weights.shape)
        branch = helper.make_graph([constant], "branch", [], [output])
        initializers = [numpy_helper.from_array(np.array(True), "yes")]
        nodes.insert(0, helper.make_node("If", ["yes"], ["w"], then_branch=branch, else_branch=branch))
    graph = helper.make_graph(
        nodes,
        "third-party",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 2])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    (directory / "model.onnx").write_bytes(model.SerializeToString())
    about = {"schema": 1, "dimension": 2, "preprocessing": PREPARED}
    (directory / "embedder.json").write_text(json.dumps(about))
    return directory / "model.onnx"


def test_the_bound_is_exact() -> None:
    """Against the sums of two products themselves, for every weight: safe are those from -64 to 64, and no others."""
    for weight in range(-128, 128):
        possible = [255 * weight + activation * weight for activation in (0, 255)]
        assert largest_pair_sum(np.array([[weight], [0]], np.int8)) == max(map(abs, possible))
        fits = all(abs(each) <= LARGEST_SUM for each in possible)
        assert fits == (abs(weight) <= 64)


@pytest.mark.parametrize(
    ("how", "place"),
    [*itertools.product(("raw", "integers"), ("initializer", "constant", "subgraph")), ("external", "initializer")],
)
def test_a_saturating_graph_is_refused_wherever_it_keeps_its_weights(tmp_path: Path, how: str, place: str) -> None:
    """The sentence names the weight and the command; with weights one smaller the same graph loads."""
    for largest in (65, -65, -128, 127):
        write(tmp_path, weights_up_to(largest), how, place)
        with pytest.raises(ConfigurationError, match=r"weight w needs .* again: python -m attribution export-onnx"):
            build_embedder(f"onnx:local-dir:{tmp_path}", Placement())
    for largest in (64, -64):
        model = write(tmp_path, weights_up_to(largest), how, place)
        assert build_embedder(f"onnx:local-dir:{tmp_path}", Placement()).dimension == 2
        found = {name: values.reshape(48, 2) for name, values in signed_weights(model)}
        assert np.array_equal(found["w"], weights_up_to(largest))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """A file cut short, one that is no ONNX, and missing external data: no weight passes because it was not seen."""
    model = write(tmp_path, weights_up_to(1))
    whole = model.read_bytes()
    for content in (whole[:-3], b"no graph", b""):
        model.write_bytes(content)
        with pytest.raises(ConfigurationError, match="cannot be read"):
            refuse_saturation(model)
    write(tmp_path, weights_up_to(1), "external")
    (tmp_path / "w.data").unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        refuse_saturation(model)


def test_exports_of_another_schema_are_refused(tmp_path: Path) -> None:
    """With the command that writes one of today's."""
    write(tmp_path, weights_up_to(1))
    about = json.loads((tmp_path / "embedder.json").read_text())
    (tmp_path / "embedder.json").write_text(json.dumps({**about, "schema": 0}))
    with pytest.raises(ConfigurationError, match="again: python -m attribution export-onnx"):
        build_embedder(f"onnx:local-dir:{tmp_path}", Placement())
