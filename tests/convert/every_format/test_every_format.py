"""One small network, made in every source format: through every importer, and on to every target, in what runs each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the onnx package is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")

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
from tests.convert.other_runtimes import RUNTIMES, run_onnx, run_tflite

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
    assert set(companions(read.files[0])) == set(imported.files) == set(read.files)
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
