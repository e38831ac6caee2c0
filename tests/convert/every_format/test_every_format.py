"""One small network, made in every source format: through every importer, and on to every target, in what runs each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the onnx package is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")

import onnx

from convert.architectures import ARCHITECTURES
from convert.importers.formats import companions
from convert.runners import open_runner
from convert.runners.delegation import delegated_nodes
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.targets import SUFFIXES
from convert.targets.tflite import describe_tflite, oldest_runtime_faults
from tests.convert.every_format.architecture import ARCHITECTURE
from tests.convert.every_format.design import SHAPE, folded, pictures, reference, weights
from tests.convert.every_format.makers import SOURCES
from tests.convert.every_format.workshop import (
    LEGACY,
    Workshop,
    constants_in_order,
    expected_for,
    least_cosine,
    off,
    outputs,
)
from tests.convert.other_runtimes import RUNTIMES, run_frozen_graph, run_onnx, run_tflite

# TensorFlow, PyTorch and what they bring warn about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")

NHWC = (1, 24, 24, 3)
ONE, SEVERAL = pictures(1), pictures(6)
FLOAT_RUNS = (
    ("onnx", "onnxruntime"),
    ("onnx", "opencv"),
    ("opencv-pb", "opencv"),
    ("opencv-pb", "tensorflow"),
    ("saved-model", "tensorflow"),
    ("tflite-float32", "tflite"),
)
GRAPH_OPERATORS = {"Placeholder": 1, "Conv2D": 3, "DepthwiseConv2dNative": 1, "MaxPool": 1, "Reshape": 1, "MatMul": 1}
ARITHMETIC = {"Const", "BiasAdd", "AddV2", "Relu", "Neg", "Mul"}
"""What slopes, sums and biases are written with, here in one way and there in another."""
TFLITE_OPERATORS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 1,
    "PRELU": 2,
    "ADD": 1,
    "MAX_POOL_2D": 1,
    "RESHAPE": 1,
    "FULLY_CONNECTED": 1,
}
LEGACY_OPERATORS = {**TFLITE_OPERATORS, "RELU": 2, "SUB": 2, "MUL": 2, "ADD": 3}
LEGACY_OPERATORS.pop("PRELU")


@dataclass(frozen=True, slots=True)
class Precision:
    """What must be true of one TFLite target besides float32."""

    off: float
    """Greatest difference, relative to the largest number."""
    cosine: float
    dtype: str
    """In and out."""
    dtypes: frozenset[str]
    """Of all tensors."""
    operators: dict[str, int]


PRECISIONS = {
    "tflite-float16": Precision(
        1e-3, 0.999999, "float32", frozenset({"float32", "float16", "int32"}), {**TFLITE_OPERATORS, "DEQUANTIZE": 12}
    ),
    "tflite-dynamic": Precision(0.015, 0.9998, "float32", frozenset({"float32", "int8", "int32"}), TFLITE_OPERATORS),
    "tflite-int8": Precision(0.025, 0.9995, "int8", frozenset({"int8", "int32"}), TFLITE_OPERATORS),
    "tflite-uint8": Precision(
        0.025, 0.9995, "uint8", frozenset({"uint8", "int8", "int32"}), {**TFLITE_OPERATORS, "QUANTIZE": 2}
    ),
    LEGACY: Precision(0.035, 0.999, "uint8", frozenset({"uint8", "int32"}), LEGACY_OPERATORS),
}
ONE_OF_EACH_LAYOUT = ("caffe", "keras")
"""Channels first and last. To integers all sources are the same network: test_every_format_folds_to_one_network."""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with pytest.MonkeyPatch.context() as patch:
        # Files of weights alone belong to networks that the project knows; here to this one, too.
        patch.setitem(ARCHITECTURES, ARCHITECTURE.name, ARCHITECTURE)
        yield Workshop(tmp_path_factory.mktemp)


@pytest.mark.parametrize("name", SOURCES)
def test_the_importer_reads_what_was_written(workshop: Workshop, name: str) -> None:
    source, read = SOURCES[name], workshop.read(name)
    imported, expected = read.imported, expected_for(ONE)

    assert imported.format == source.format
    assert set(companions(read.files[0])) == set(read.files) <= set(imported.files)
    (port,) = imported.network.inputs
    assert (port.dtype, port.shape[1:]) == ("float32", SHAPE[1:])
    assert imported.reference.label.startswith(source.reference)
    assert imported.reference.inputs == imported.network.inputs
    assert imported.reference.outputs == imported.network.outputs
    assert off(outputs(imported.reference, ONE), expected) < 1e-5
    assert off(outputs(OnnxRuntimeRunner(imported.network), ONE), expected) < 1e-5


@pytest.mark.parametrize("name", SOURCES)
def test_every_format_folds_to_one_network(workshop: Workshop, name: str) -> None:
    network = workshop.read(name).network

    assert tuple(node.op for node in network.nodes) == SOURCES[name].operators
    assert all(node.op != "Transpose" for node in network.nodes)
    assert [node.attributes.get("group", 1) for node in network.nodes if node.op == "Conv"] == [1, 8, 1, 1]
    found, expected = list(constants_in_order(network)), folded(weights())
    assert [value.shape for value in found] == [value.shape for value in expected]
    assert {value.dtype for value in found} == {np.dtype(np.float32)}
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("target", "runtime"), FLOAT_RUNS)
@pytest.mark.parametrize("name", SOURCES)
def test_float_targets_compute_the_same(workshop: Workshop, name: str, target: str, runtime: str) -> None:
    runner = open_runner(workshop.written(name, target), runtime=runtime)

    (port,) = runner.inputs
    assert (port.dtype, port.shape[1:]) == ("float32", SHAPE[1:])
    assert off(outputs(runner, ONE), expected_for(ONE)) < 1e-5


@pytest.mark.parametrize("name", SOURCES)
def test_operators_of_the_onnx_file(workshop: Workshop, name: str) -> None:
    model = onnx.load(str(workshop.written(name, "onnx")))

    assert tuple(node.op_type for node in model.graph.node) == SOURCES[name].operators
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 13)]
    kinds = {each.type.tensor_type.elem_type for each in (*model.graph.input, *model.graph.output)}
    assert kinds == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize("target", ["opencv-pb", "saved-model"])
@pytest.mark.parametrize("name", SOURCES)
def test_operators_of_the_tensorflow_graphs(workshop: Workshop, name: str, target: str) -> None:
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    path = workshop.written(name, target)
    if target == "opencv-pb":
        graph = GraphDef.FromString(path.read_bytes())
    else:
        (meta,) = SavedModel.FromString((path / "saved_model.pb").read_bytes()).meta_graphs
        assert list(meta.signature_def) == ["serving_default"]
        graph = meta.graph_def
    counts = Counter(node.op for node in graph.node)
    assert {op: count for op, count in counts.items() if op not in ARITHMETIC} == GRAPH_OPERATORS
    assert not graph.library.function


@pytest.mark.parametrize("name", SOURCES)
def test_operators_of_the_tflite_file(workshop: Workshop, name: str) -> None:
    data = workshop.written(name, "tflite-float32").read_bytes()

    view = describe_tflite(data)
    assert view.counts == TFLITE_OPERATORS
    assert set(view.dtypes) == {"float32", "int32"}
    assert [(each.dtype, each.shape) for each in (*view.inputs, *view.outputs)] == [
        ("float32", NHWC),
        ("float32", (1, 16)),
    ]
    assert oldest_runtime_faults(data) == []
    delegation = delegated_nodes(data)
    assert (delegation.complete, delegation.partitions) == (True, 1)


@pytest.mark.parametrize("target", PRECISIONS)
@pytest.mark.parametrize("name", ONE_OF_EACH_LAYOUT)
def test_other_precisions_stay_close(workshop: Workshop, name: str, target: str) -> None:
    wanted, path = PRECISIONS[target], workshop.written(name, target)

    view = describe_tflite(path.read_bytes())
    assert view.counts == wanted.operators
    assert set(view.dtypes) == wanted.dtypes
    assert [(each.dtype, each.shape) for each in (*view.inputs, *view.outputs)] == [
        (wanted.dtype, NHWC),
        (wanted.dtype, (1, 16)),
    ]
    assert oldest_runtime_faults(path.read_bytes()) == []
    found, expected = outputs(open_runner(path), SEVERAL), expected_for(SEVERAL)
    assert off(found, expected) < wanted.off
    assert least_cosine(found, expected) > wanted.cosine
    # Lower precision it is, and not float32 under another name.
    assert off(found, expected) > 1e-5


def test_per_channel_or_per_tensor(workshop: Workshop) -> None:
    scales = {}
    for target in ("tflite-int8", "tflite-uint8", LEGACY):
        view = describe_tflite(workshop.written("caffe", target).read_bytes())
        scales[target] = {len(each.scales) for each in view.tensors if each.shape == (16, 3, 3, 8)}
        assert view.description.startswith(f"{target}: ")
    assert scales == {"tflite-int8": {16}, "tflite-uint8": {16}, LEGACY: {1}}


FAULTS = {
    "blue for red": lambda held: {"stem.weight": held["stem.weight"][:, ::-1]},
    "rows for columns": lambda held: {"last.weight": held["last.weight"].transpose(0, 1, 3, 2)},
    "slopes lost": lambda held: {"depth_prelu.weight": np.zeros_like(held["depth_prelu.weight"])},
    "slopes of other channels": lambda held: {"stem_prelu.weight": np.roll(held["stem_prelu.weight"], 1)},
    "variance taken for deviation": lambda held: {"stem_norm.running_var": np.square(held["stem_norm.running_var"])},
    "a bias lost": lambda held: {"point.bias": np.zeros_like(held["point.bias"])},
    "pixels before channels": lambda held: {
        "dense.weight": held["dense.weight"].reshape(-1, 16, 9).transpose(0, 2, 1).reshape(-1, 144)
    },
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_bounds_would_tell_a_fault(fault: str) -> None:
    """What goes wrong in converters is seen through every bound of this file."""
    held, expected = weights(), expected_for(SEVERAL)
    wrong = reference({**held, **FAULTS[fault](held)}, SEVERAL)

    assert off(wrong, expected) > 1.5 * max(each.off for each in PRECISIONS.values())


@pytest.mark.parametrize("python", RUNTIMES)
@pytest.mark.parametrize("target", ["onnx", "opencv-pb", "tflite-float32", "tflite-dynamic", "tflite-uint8", LEGACY])
def test_oldest_and_newest_runtimes(workshop: Workshop, target: str, python: Path) -> None:
    path = workshop.written("caffe", target)
    expected = expected_for(ONE)

    if target in {"onnx", "opencv-pb"}:
        run = run_onnx if target == "onnx" else run_frozen_graph
        found = run(python, path, {workshop.read("caffe").network.input_name: ONE})
    else:
        found = run_tflite(python, path, {"": np.ascontiguousarray(ONE.transpose(0, 2, 3, 1))})
    (value,) = found.values()
    bound = PRECISIONS[target].off if target in PRECISIONS else 1e-5
    assert value.shape == expected.shape
    assert off(value, expected) < bound


def test_every_target_is_tried() -> None:
    assert {target for target, _ in FLOAT_RUNS} | set(PRECISIONS) == set(SUFFIXES)
