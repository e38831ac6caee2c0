from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers.base import Request
from convert.importers.tensorflow.graph_def import import_graph_def
from convert.network import OPERATORS
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from edge.errors import ModelError
from tests.convert.importers.tensorflow.graphs import CASES, Case, graph_of

tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")


def request_for(case: Case) -> Request:
    outputs = ("y", "y1", "y2", "y3")
    return Request((Path("tiny.pb"),), outputs=outputs[: _count(case)])


def _count(case: Case) -> int:
    with tf.Graph().as_default():
        made = case.build(tf, tf.compat.v1.placeholder(tf.float32, case.shape))
    return len(made) if isinstance(made, list | tuple) else 1


def fed(case: Case) -> Any:
    """Values in TensorFlow's layout."""
    values = np.random.default_rng(7).normal(0, 1, case.fed or case.shape).astype(np.float32)
    return np.abs(values) + 0.1 if case.positive else values


def computed_by_tensorflow(graph_def: Any, names: list[str], values: Any) -> list[Any]:
    config = tf.compat.v1.ConfigProto()
    # What TensorFlow 2.19 rewrites max(x, 2 x) to is not the same.
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(config=config) as session:
        tf.import_graph_def(graph_def, name="")
        feeds = {"x:0": values}
        for name, value in {"keep_prob": 1.0, "phase_train": False}.items():
            if any(operation.name == name for operation in graph.get_operations()):
                feeds[f"{name}:0"] = value
        return list(session.run([f"{name}:0" for name in names], feeds))


def turned(values: Any) -> Any:
    """NHWC -> NCHW."""
    return values.transpose(0, 3, 1, 2) if values.ndim == 4 else values


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_what_tensorflow_computes(name: str) -> None:
    case = CASES[name]
    graph_def, request = graph_of(tf, case), request_for(CASES[name])
    imported = import_graph_def(graph_def, request, format="frozen-graph")
    network, values = imported.network, fed(case)
    expected = computed_by_tensorflow(graph_def, list(request.outputs), values)
    made = OnnxRuntimeRunner(network).run({"x": turned(values)})
    again = imported.reference.run({"x": turned(values)})
    for output, wanted in zip(request.outputs, expected, strict=True):
        # An output of four axes is a picture wherever the network computes it as one.
        layout = turned(wanted) if made[output].shape == turned(wanted).shape else wanted
        np.testing.assert_allclose(made[output], layout, atol=2e-5, rtol=1e-5)
        np.testing.assert_allclose(again[output], layout, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_an_operator_becomes_few_nodes(name: str) -> None:
    case = CASES[name]
    network = import_graph_def(graph_of(tf, case), request_for(case), format="frozen-graph").network
    found = Counter(node.op for node in network.nodes)
    assert set(found) <= OPERATORS
    assert {op: found[op] for op in case.holds} == case.holds


@pytest.mark.parametrize("name", ["conv SAME", "squeeze and excite", "prelu, halves", "batch norm written out"])
def test_inner_tensors_have_the_names_of_the_nodes(name: str) -> None:
    case = CASES[name]
    imported = import_graph_def(graph_of(tf, case), request_for(case), format="frozen-graph")
    feeds = {"x": turned(fed(case))}
    runner = OnnxRuntimeRunner(imported.network)
    common = [each for each in imported.reference.tensors if each in runner.tensors]
    assert len(common) >= len(imported.network.nodes) - 2
    expected = imported.reference.run(feeds, common)
    for each, values in runner.run(feeds, common).items():
        np.testing.assert_allclose(values, expected[each], atol=1e-5, err_msg=each)


def test_all_unknown_operators_are_named_at_once() -> None:
    case = Case(lambda tf, x: tf.sin(tf.cos(x)) + tf.raw_ops.Atan(x=tf.nn.relu(x), name="bend"))
    with pytest.raises(ModelError, match=r"3 operator\(s\) that cannot be converted") as caught:
        import_graph_def(graph_of(tf, case), request_for(case), format="frozen-graph")
    for shown in ("Sin 'Sin'", "Cos 'Cos'", "Atan 'bend'"):
        assert shown in str(caught.value)


def test_unknown_operators_that_no_output_needs_do_not_matter() -> None:
    case = Case(lambda tf, x: [tf.nn.relu(x), tf.sin(x)])
    network = import_graph_def(graph_of(tf, case), Request((), outputs=("y",)), format="frozen-graph").network
    assert [node.op for node in network.nodes] == ["Relu", "Identity"]


@pytest.mark.parametrize(
    ("build", "found"),
    [
        (lambda tf, x: tf.raw_ops.FusedBatchNormV3(
            x=x, scale=np.ones(4, np.float32), offset=np.zeros(4, np.float32), mean=[], variance=[], is_training=True
        )[0], "mean of its own batch"),
        (lambda tf, x: tf.reshape(x, tf.cast(tf.reduce_sum(x, [1, 2, 3]), tf.int32)), "shape depends on the input"),
        (lambda tf, x: tf.nn.conv2d(x, tf.reshape(x, [7, 6, 4, 2]), 1, "SAME"), "depends on the input"),
        (lambda tf, x: tf.raw_ops.MirrorPad(input=x, paddings=[[0, 0], [2, 2], [1, 1], [0, 0]], mode="SYMMETRIC"),
         "SYMMETRIC"),
        (lambda tf, _: tf.constant(1.0), "does not depend on the input"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_told(build: Any, found: str) -> None:
    with pytest.raises(ModelError, match=found):
        import_graph_def(graph_of(tf, Case(build)), Request((), ("x",), ("y",)), format="frozen-graph")


def test_imitated_quantisation_is_left_out_and_told() -> None:
    case = Case(lambda tf, x: tf.quantization.fake_quant_with_min_max_args(tf.nn.relu(x), 0.0, 6.0, name="imitation"))
    imported = import_graph_def(graph_of(tf, case), request_for(case), format="frozen-graph")
    assert [node.op for node in imported.network.nodes] == ["Relu", "Identity"]
    assert any("'imitation' only imitates" in note for note in imported.notes)
    assert imported.ranges == {imported.network.nodes[0].output: (0.0, 6.0)}


def test_learnt_ranges_are_kept_for_the_old_quantisation() -> None:
    def build(tf: Any, x: Any) -> Any:
        return tf.quantization.fake_quant_with_min_max_vars(tf.nn.relu(x), tf.constant(-0.5), tf.constant(3.5)) * 2.0

    case = Case(build)
    imported = import_graph_def(graph_of(tf, case), request_for(case), format="frozen-graph")
    assert imported.ranges == {imported.network.nodes[0].output: (-0.5, 3.5)}
