from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers.base import Imported, Request
from convert.importers.tensorflow.graph_def import import_graph_def
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from edge.errors import ModelError, UsageError
from tests.convert.importers.tensorflow.graphs import numbers

tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

SHAPE = (2, 5, 6, 4)


@pytest.fixture(params=["Switch and Merge", "If"])
def control_flow(request: pytest.FixtureRequest) -> Iterator[str]:
    """How TensorFlow 1 and TensorFlow 2 write a branch."""
    if request.param == "If":
        yield "If"
        return
    tf.compat.v1.disable_control_flow_v2()
    yield "Switch"
    tf.compat.v1.enable_control_flow_v2()


@pytest.fixture
def old_control_flow() -> Iterator[None]:
    tf.compat.v1.disable_control_flow_v2()
    yield
    tf.compat.v1.enable_control_flow_v2()


def traced(build: Callable[[Any], Any]) -> Any:
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, SHAPE, name="x")
        tf.identity(build(x), name="y")
    return graph.as_graph_def()


def read(graph_def: Any, **request: Any) -> Imported:
    return import_graph_def(
        graph_def, Request((Path("tiny.pb"),), **{"outputs": ("y",), **request}), format="frozen-graph"
    )


def assert_same(imported: Imported, expected: Any, picture: Any) -> None:
    feeds = {"x": picture.transpose(0, 3, 1, 2)}
    wanted = np.asarray(expected).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(OnnxRuntimeRunner(imported.network).run(feeds)["y"], wanted, atol=1e-5)
    np.testing.assert_allclose(imported.reference.run(feeds)["y"], wanted, atol=1e-5)


def statistics(x: Any) -> Any:
    """Batch normalisation as FaceNet's: the statistics are chosen, then used."""
    phase = tf.compat.v1.placeholder(tf.bool, (), name="phase_train")
    made = tf.nn.conv2d(x, numbers(3, 3, 4, 4), 1, "SAME")
    kept = numbers(4, seed=1), np.abs(numbers(4, seed=2)) + 0.1

    def of_the_batch() -> Any:
        mean, variance = tf.nn.moments(made, [0, 1, 2])
        return mean, variance

    mean, variance = tf.compat.v1.cond(phase, of_the_batch, lambda: (tf.constant(kept[0]), tf.constant(kept[1])))
    return tf.nn.relu(tf.nn.batch_normalization(made, mean, variance, numbers(4, seed=3), None, 1e-3))


def layers(x: Any) -> Any:
    """Batch normalisation as slim's: one of two layers is chosen."""
    phase = tf.compat.v1.placeholder(tf.bool, (), name="net/is_training")
    parts = {"x": x, "scale": numbers(4, seed=1), "offset": numbers(4, seed=2), "epsilon": 1e-3}
    normalise = tf.raw_ops.FusedBatchNormV3
    kept = {"mean": numbers(4, seed=3), "variance": np.abs(numbers(4, seed=4)) + 0.1}
    return tf.compat.v1.cond(
        phase,
        lambda: normalise(**parts, mean=[], variance=[], is_training=True)[0],
        lambda: normalise(**parts, **kept, is_training=False)[0],
    )


def dropout(x: Any) -> Any:
    phase = tf.compat.v1.placeholder_with_default(tf.constant(value=True), (), name="training")
    return tf.compat.v1.cond(phase, lambda: tf.nn.dropout(x, 0.4), lambda: x) * numbers(4)


def run(graph_def: Any, picture: Any, **constants: Any) -> Any:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        return session.run("y:0", {"x:0": picture, **constants})


@pytest.mark.parametrize(
    ("build", "switch", "counted"),
    [
        (statistics, "phase_train", {"ReduceMean": 0, "Conv": 1}),
        (layers, "net/is_training", {"BatchNormalization": 1}),
        (dropout, "training", {"Mul": 1}),
    ],
)
@pytest.mark.filterwarnings("ignore:.*placeholder.*:DeprecationWarning")
def test_the_branch_for_training_is_removed(
    control_flow: str, build: Callable[[Any], Any], switch: str, counted: dict[str, int]
) -> None:
    graph_def, picture = traced(build), numbers(*SHAPE, seed=9)
    imported = read(graph_def)
    found = Counter(node.op for node in imported.network.nodes)
    assert {op: found[op] for op in counted} == counted
    assert [port.name for port in imported.network.inputs] == ["x"]
    assert f"Placeholder {switch!r} was bound to False." in imported.notes
    assert_same(imported, run(graph_def, picture, **{f"{switch}:0": False}), picture)


def test_the_other_branch_can_be_asked_for(control_flow: str) -> None:
    graph_def = traced(lambda x: tf.compat.v1.cond(
        tf.compat.v1.placeholder(tf.bool, (), name="flag"), lambda: tf.nn.relu(x), lambda: tf.abs(x)
    ))  # fmt: skip
    for value, op in ((True, "Relu"), (False, "Abs")):
        imported = read(graph_def, constants={"flag": value})
        assert op in {node.op for node in imported.network.nodes}
        picture = numbers(*SHAPE)
        assert_same(imported, run(graph_def, picture, **{"flag:0": value}), picture)


def test_a_branch_that_nothing_decides_is_told(control_flow: str) -> None:
    graph_def = traced(lambda x: tf.compat.v1.cond(tf.reduce_sum(x) > 0, lambda: tf.nn.relu(x), lambda: tf.abs(x)))
    with pytest.raises(ModelError, match="not known") as caught:
        read(graph_def)
    assert "Bind the placeholder" in str(caught.value)


def test_an_input_that_decides_has_to_be_bound(control_flow: str) -> None:
    graph_def = traced(lambda x: tf.compat.v1.cond(
        tf.compat.v1.placeholder(tf.bool, (), name="flag"), lambda: tf.nn.relu(x), lambda: tf.abs(x)
    ))  # fmt: skip
    with pytest.raises(ModelError, match="not known"):
        read(graph_def)


def test_inputs_and_outputs_within_one_branch_need_no_decision(old_control_flow: None) -> None:
    def build(x: Any) -> Any:
        def taken() -> Any:
            inner = tf.abs(x, name="inside")
            return tf.nn.relu(tf.nn.conv2d(inner, tf.identity(weights), 1, "SAME"), name="made")

        weights = tf.constant(numbers(3, 3, 4, 4))
        return tf.compat.v1.cond(tf.reduce_sum(x) > 0, taken, lambda: x)

    imported = read(traced(build), inputs=("cond/inside",), outputs=("cond/made",))
    assert [node.op for node in imported.network.nodes] == ["Conv", "Relu"]
    picture = numbers(*SHAPE).transpose(0, 3, 1, 2)
    made = OnnxRuntimeRunner(imported.network).run({"cond/inside": picture})["cond/made"]
    np.testing.assert_allclose(imported.reference.run({"cond/inside": picture})["cond/made"], made, atol=1e-5)
    assert imported.network.inputs[0].shape == (2, 4, 5, 6)


def loop(x: Any) -> Any:
    weights = tf.constant(numbers(3, 3, 4, 4), name="weights")

    def body(index: Any, value: Any) -> Any:
        made = tf.nn.conv2d(tf.identity(value, name="before"), weights, 1, "SAME")
        return index + 1, tf.nn.relu(made, name="after")

    return tf.compat.v1.while_loop(lambda index, _: index < 3, body, [tf.constant(0), x])[1]


def test_a_loop_is_refused(control_flow: str) -> None:
    with pytest.raises(ModelError, match="a loop") as caught:
        read(traced(loop), inputs=("x",))
    assert "within one pass" in str(caught.value)


def test_one_pass_of_a_loop_can_be_cut_out(old_control_flow: None) -> None:
    graph_def = traced(loop)
    imported = read(graph_def, inputs=("while/before",), outputs=("while/after",), shapes={"": (1, 5, 6, 4)})
    assert [node.op for node in imported.network.nodes] == ["Conv", "Relu"]
    picture = numbers(1, 4, 5, 6)
    made = OnnxRuntimeRunner(imported.network).run({"while/before": picture})["while/after"]
    np.testing.assert_allclose(imported.reference.run({"while/before": picture})["while/after"], made, atol=1e-5)


def test_calls_of_functions_are_written_out() -> None:
    @tf.function
    def inner(value: Any, factor: Any) -> Any:
        return tf.nn.relu(value) * factor, tf.split(value, 2, 3)[1]

    @tf.function
    def outer(value: Any) -> Any:
        first, second = inner(value, numbers(4))
        return tf.concat([first, second], 3)

    graph_def, picture = traced(outer), numbers(*SHAPE)
    imported = read(graph_def)
    assert Counter(node.op for node in imported.network.nodes)["Split"] == 1
    assert_same(imported, run(graph_def, picture), picture)


def test_operators_on_references_are_repaired(old_control_flow: None) -> None:
    graph_def, picture = traced(layers), numbers(*SHAPE)
    expected = run(graph_def, picture, **{"net/is_training:0": False})
    for node in graph_def.node:
        node.op = {"Switch": "RefSwitch", "Merge": "RefMerge"}.get(node.op, node.op)
        node.attr["_class"].list.s.append(b"loc:@nowhere")
    assert_same(read(graph_def), expected, picture)


@pytest.mark.filterwarnings("ignore:.*placeholder.*:DeprecationWarning")
def test_dropout_placeholders_are_bound() -> None:
    def build(x: Any) -> Any:
        keep = tf.compat.v1.placeholder(tf.float32, (), name="tower/keep_prob")
        return x / keep * tf.floor(keep + tf.raw_ops.RandomUniform(shape=tf.shape(x), dtype=tf.float32))

    imported = read(traced(build))
    assert [node.op for node in imported.network.nodes] == ["Identity"]
    assert "Placeholder 'tower/keep_prob' was bound to 1.0." in imported.notes
    with pytest.raises(ModelError, match="RandomUniform"):
        read(traced(build), constants={"tower/keep_prob": 0.5})


def test_a_constant_for_no_placeholder_is_told() -> None:
    with pytest.raises(UsageError, match="no placeholder nothing"):
        read(traced(tf.nn.relu), constants={"nothing": 1.0})


@pytest.mark.parametrize("count", [30, 3000])
def test_branches_within_branches_end(old_control_flow: None, count: int) -> None:
    """A chain in which each branch decides the next: read, or refused, but never a crash."""
    graph_def = traced(lambda x: tf.compat.v1.cond(
        tf.compat.v1.placeholder(tf.bool, (), name="is_training"), lambda: tf.nn.relu(x), lambda: tf.abs(x)
    ))  # fmt: skip
    last = "is_training"
    for index in range(count):
        graph_def.node.add(name=f"s{index}", op="Switch", input=[last, last])
        graph_def.node.add(name=f"m{index}", op="Merge", input=[f"s{index}", f"s{index}:1"])
        last = f"m{index}"
    for node in graph_def.node:
        if node.op == "Switch" and not node.name.startswith("s"):
            node.input[1] = last
    try:
        assert read(graph_def).network.nodes
    except ModelError as error:
        assert count == 3000, error  # noqa: PT017  either is right for the long chain


def face_network(x: Any) -> Any:
    """FaceNet in small: layers normalised by a phase, dropout, a dense layer that is normalised as a picture, unit length."""
    phase = tf.compat.v1.placeholder(tf.bool, (), name="phase_train")

    def normalised(made: Any, seed: int) -> Any:
        channels = made.shape[-1]
        parts = {"x": made, "scale": np.ones(channels, np.float32), "offset": numbers(channels, seed=seed)}
        kept = {"mean": numbers(channels, seed=seed + 1), "variance": np.abs(numbers(channels, seed=seed + 2)) + 0.1}
        return tf.compat.v1.cond(
            phase,
            lambda: tf.raw_ops.FusedBatchNormV3(**parts, mean=[], variance=[], is_training=True)[0],
            lambda: tf.raw_ops.FusedBatchNormV3(**parts, **kept, is_training=False, epsilon=1e-3)[0],
        )

    first = tf.nn.relu(normalised(tf.nn.conv2d(x, numbers(3, 3, 4, 8), 2, "SAME"), 1))
    second = first + 0.17 * tf.nn.bias_add(tf.nn.conv2d(first, numbers(1, 1, 8, 8), 1, "SAME"), numbers(8))
    flat = tf.reshape(tf.nn.avg_pool2d(tf.nn.relu(second), 3, 1, "VALID"), [-1, 8])
    kept = tf.compat.v1.cond(phase, lambda: tf.nn.dropout(flat, 0.2), lambda: tf.identity(flat))
    dense = tf.matmul(kept, numbers(8, 5))
    wide = tf.reshape(normalised(tf.reshape(dense, [-1, 1, 1, 5]), 7), tf.shape(dense))
    return tf.nn.l2_normalize(wide, 1, 1e-10)


def test_a_face_network_comes_down_to_its_layers(control_flow: str) -> None:
    from convert.passes.old_batch_norm import fold_old_batch_norms
    from convert.passes.tidy import tidy

    graph_def, picture = traced(face_network), numbers(*SHAPE, seed=9)
    imported = read(graph_def)
    folded = fold_old_batch_norms(tidy(imported.network))
    assert [node.op for node in folded.nodes] == [
        "Conv", "Relu", "Conv", "Add", "Relu", "AveragePool", "Reshape", "MatMul", "Add", "LpNormalization"
    ]  # fmt: skip
    expected = run(graph_def, picture, **{"phase_train:0": False})
    feeds = {"x": picture.transpose(0, 3, 1, 2)}
    for made in (OnnxRuntimeRunner(imported.network), OnnxRuntimeRunner(folded), imported.reference):
        np.testing.assert_allclose(made.run(feeds)["y"], expected, atol=1e-5)
