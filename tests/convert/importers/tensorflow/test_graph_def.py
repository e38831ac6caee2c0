from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convert.importers.base import Request
from convert.importers.tensorflow.graph_def import import_frozen_graph, import_graph_def
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.runners.tensorflow import frozen_function, open_tensorflow
from edge.errors import ModelError, OstiaryError, UsageError
from tests.convert.importers.tensorflow.graphs import Case, graph_of, numbers
from tests.support.data import grace_hopper, test_data

tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")


def net(tf: Any, x: Any) -> Any:
    made = tf.nn.relu(tf.nn.conv2d(x, numbers(3, 3, 4, 5), 2, "SAME"), name="middle")
    return tf.nn.bias_add(tf.matmul(tf.reshape(made, [-1, 60]), numbers(60, 3)), numbers(3))


SMALL = Case(net)


def save(graph_def: Any, path: Path) -> Path:
    path.write_bytes(graph_def.SerializeToString())
    return path


def read(graph_def: Any, **request: Any) -> Any:
    return import_graph_def(graph_def, Request((Path("tiny.pb"),), **request), format="frozen-graph")


def assert_equal_relative(made: dict[str, Any], expected: dict[str, Any], limit: float = 1e-5) -> None:
    for name, values in expected.items():
        assert made[name].shape == values.shape
        assert np.abs(made[name] - values).max() <= limit * np.abs(values).max(), name


def test_the_only_input_and_output_are_found(tmp_path: Path) -> None:
    imported = import_frozen_graph(Request((save(graph_of(tf, SMALL), tmp_path / "tiny.pb"),)))
    assert (imported.format, imported.network.input_name, imported.network.output_name) == ("frozen-graph", "x", "y")
    assert imported.network.input_shape == (2, 4, 7, 6)
    assert imported.reference.label.startswith("TensorFlow ")
    assert imported.reference.inputs == imported.network.inputs


def test_several_outputs_are_listed() -> None:
    graph_def = graph_of(tf, Case(lambda tf, x: [tf.nn.relu(x), tf.abs(x)]))
    with pytest.raises(ModelError, match="2 candidates for the output: y, y1"):
        read(graph_def)
    assert read(graph_def, outputs=("y1", "y:0")).network.outputs == ("y1", "y")


def test_an_unknown_output_is_told_with_what_there_is() -> None:
    with pytest.raises(UsageError, match="no output embeddings") as caught:
        read(graph_of(tf, SMALL), outputs=("embeddings",))
    assert "some of: y" in str(caught.value)


def test_several_inputs_are_listed_or_named() -> None:
    def build(tf: Any, x: Any) -> Any:
        return x + tf.compat.v1.placeholder(tf.float32, (2, 7, 6, 4), name="other")

    with pytest.raises(ModelError, match="2 candidates for the input: x, other"):
        read(graph_of(tf, Case(build)))
    with pytest.raises(ModelError, match="also depend on other"):
        read(graph_of(tf, Case(build)), inputs=("x",))
    assert [port.name for port in read(graph_of(tf, Case(build)), inputs=("other", "x")).network.inputs] == [
        "other",
        "x",
    ]


def test_any_inner_tensor_can_be_an_input_or_output() -> None:
    imported = read(graph_of(tf, SMALL), inputs=("middle",), outputs=("y",))
    assert imported.network.input_shape == (2, 5, 4, 3)
    feeds = {"middle": numbers(2, 5, 4, 3)}
    assert_equal_relative(OnnxRuntimeRunner(imported.network).run(feeds), imported.reference.run(feeds))
    assert [node.op for node in read(graph_of(tf, SMALL), outputs=("middle",)).network.nodes] == ["Conv", "Relu"]


def test_an_input_that_nothing_reads_is_told() -> None:
    with pytest.raises(ModelError, match="no output depends on input other"):
        read(
            graph_of(tf, Case(lambda tf, x: [x * 2.0, tf.abs(x, name="other")])), inputs=("x", "other"), outputs=("y",)
        )


def test_open_sizes_stay_open_or_are_fixed() -> None:
    case = Case(lambda tf, x: tf.nn.conv2d(x, numbers(3, 3, 4, 5), 2, "SAME"), (None, None, None, 4))
    assert read(graph_of(tf, case)).network.inputs[0].shape == (None, 4, None, None)
    fixed = read(graph_of(tf, case), shapes={"": (1, 9, 8, 4)}).network
    assert fixed.input_shape == (1, 4, 9, 8)
    assert "auto_pad" not in fixed.nodes[0].attributes
    with pytest.raises(UsageError, match="shape"):
        read(graph_of(tf, case), shapes={"x": (1, 9, 8, 3)})


def test_an_input_without_any_shape_needs_one() -> None:
    case = Case(lambda tf, x: tf.nn.relu(x), None)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="input 'x' of unknown shape"):
        read(graph_of(tf, case))
    assert read(graph_of(tf, case), shapes={"": (1, 9, 8, 3)}).network.input_shape == (1, 3, 9, 8)


def test_a_picture_of_bytes_becomes_float() -> None:
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.uint8, (1, 4, 4, 3), name="x")
        tf.identity((tf.cast(x, tf.float32) - 127.5) / 128.0, name="y")
    imported = read(graph.as_graph_def())
    assert imported.network.inputs[0].dtype == "float32"
    assert any("holds uint8" in note for note in imported.notes)
    feeds = {"x": np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)}
    assert_equal_relative(OnnxRuntimeRunner(imported.network).run(feeds), imported.reference.run(feeds))


def test_a_graph_in_nchw_stays_as_it_is() -> None:
    """TensorFlow on a CPU cannot run such a graph; what is expected is the same weights in NHWC."""
    shape = (1, 4, 7, 6)

    def build(tf: Any, x: Any) -> Any:
        made = tf.raw_ops.Conv2D(
            input=x, filter=numbers(3, 3, 4, 5), strides=[1, 1, 2, 1], padding="SAME", data_format="NCHW"
        )
        made = tf.raw_ops.BiasAdd(value=made, bias=numbers(5), data_format="NCHW")
        return tf.raw_ops.MaxPool(
            input=made, ksize=[1, 1, 2, 2], strides=[1, 1, 2, 2], padding="VALID", data_format="NCHW"
        )

    network = read(graph_of(tf, Case(build, shape))).network
    assert network.input_shape == shape
    assert "Transpose" not in {node.op for node in network.nodes}
    picture = numbers(*shape)
    wanted = tf.nn.conv2d(picture.transpose(0, 2, 3, 1), numbers(3, 3, 4, 5), [1, 2, 1, 1], "SAME") + numbers(5)
    wanted = tf.nn.max_pool2d(wanted, 2, 2, "VALID").numpy().transpose(0, 3, 1, 2)
    np.testing.assert_allclose(OnnxRuntimeRunner(network).run({"x": picture})["y"], wanted, atol=1e-5)


# Damaged and hostile files


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "without nodes"), (b"no graph at all", "not a sound GraphDef")],
)
def test_what_is_no_graph_is_refused(content: bytes, found: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.pb").write_bytes(content)
    with pytest.raises(ModelError, match=found):
        import_frozen_graph(Request((tmp_path / "tiny.pb",)))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        import_frozen_graph(Request((tmp_path / "tiny.pb",)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 3000), place=st.integers(0, 3000), byte=st.integers(0, 255))
def test_a_damaged_graph_is_read_or_refused(cut: int, place: int, byte: int, tmp_path: Path) -> None:
    content = bytearray(graph_of(tf, SMALL).SerializeToString())
    content[place % len(content)] = byte
    (tmp_path / "tiny.pb").write_bytes(content[: len(content) - cut % len(content)])
    try:
        imported = import_frozen_graph(Request((tmp_path / "tiny.pb",), outputs=("y",)))
    except OstiaryError:
        return
    assert imported.network.outputs == ("y",)


def test_a_constant_larger_than_it_may_be_is_refused() -> None:
    graph_def = graph_of(tf, SMALL)
    for node in graph_def.node:
        if node.op == "Const" and node.attr["dtype"].type == 1:
            del node.attr["value"].tensor.tensor_shape.dim[:]
            node.attr["value"].tensor.tensor_shape.dim.add(size=2**40)
            node.attr["value"].tensor.tensor_content = b""
            node.attr["value"].tensor.float_val.append(1.0)
    with pytest.raises(ModelError, match="of shape"):
        read(graph_def)


@pytest.mark.parametrize("op", ["Fill", "Tile", "Range", "BroadcastTo"])
def test_a_few_bytes_do_not_become_gigabytes(op: str) -> None:
    builds: dict[str, Any] = {
        "Fill": lambda: tf.fill([2**20, 2**20], 1.0),
        "Tile": lambda: tf.tile(tf.ones([2]), [2**30]),
        "Range": lambda: tf.range(0.0, 2.0**40, 1.0),
        "BroadcastTo": lambda: tf.broadcast_to(tf.ones([1]), [2**40]),
    }
    graph_def = graph_of(tf, Case(lambda tf, x: x * tf.reduce_sum(builds[op]())))
    with pytest.raises(ModelError, match="expected at most"):
        read(graph_def)


def test_a_circle_is_refused() -> None:
    graph_def = graph_of(tf, SMALL)
    by_name = {node.name: node for node in graph_def.node}
    by_name["middle"].input[0] = "y"
    with pytest.raises(ModelError, match="depends on itself"):
        read(graph_def, inputs=("x",), outputs=("y",))


def test_a_missing_node_is_told() -> None:
    graph_def = graph_of(tf, SMALL)
    for node in graph_def.node:
        if node.name == "middle":
            node.input[0] = "nowhere"
    with pytest.raises(ModelError, match="'nowhere' is read, but no node makes it"):
        read(graph_def, outputs=("y",))


def test_two_nodes_of_one_name_are_refused() -> None:
    graph_def = graph_of(tf, SMALL)
    graph_def.node.add().CopyFrom(graph_def.node[-1])
    with pytest.raises(ModelError, match="two nodes are called"):
        read(graph_def)


def chain(count: int) -> Any:
    graph_def = tf.compat.v1.GraphDef()
    first = graph_def.node.add(name="x", op="Placeholder")
    first.attr["dtype"].type = 1
    first.attr["shape"].shape.dim.add(size=4)
    last = "x"
    for index in range(count):
        last = graph_def.node.add(name=f"n{index}", op="Relu", input=[last]).name
    return graph_def


def test_a_long_chain_is_read_and_too_long_a_one_refused() -> None:
    assert len(read(chain(3000)).network.nodes) >= 1
    with pytest.raises(ModelError, match="more than 50000 operators"):
        read(chain(100_000))


def test_a_function_that_calls_itself_is_refused() -> None:
    @tf.function
    def inner(value: Any) -> Any:
        return tf.nn.relu(value)

    graph_def = graph_of(tf, Case(lambda _, x: inner(x)))
    function = graph_def.library.function[0]
    call = function.node_def[0]
    call.op = "PartitionedCall"
    call.attr["f"].func.name = function.signature.name
    call.attr["Tout"].list.type.append(1)
    for name, value in function.ret.items():
        function.ret[name] = value.replace(":activations:", ":output:")
    with pytest.raises(ModelError, match="more than 30 deep"):
        read(graph_def)


# Real files


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:tensorflow")
def test_the_head_pose_network(tmp_path: Path) -> None:
    path = test_data("models", "headpose-tf1", "headposegaze-112-gray.pb")
    imported = import_frozen_graph(Request((path,)))
    assert imported.network.input_shape == (1, 1, 112, 112)
    feeds = {"image": np.random.default_rng(0).random((1, 1, 112, 112), np.float32)}
    assert_equal_relative(OnnxRuntimeRunner(imported.network).run(feeds), imported.reference.run(feeds))
    alone = open_tensorflow(path)
    assert_equal_relative(alone.run(feeds), imported.reference.run(feeds), 1e-6)


MTCNN_PARTS = {
    "P-Net": (
        "pnet/while/ResizeBilinear", ("pnet/while/prob1", "pnet/while/conv4-2/BiasAdd"), (1, 3, 65, 44),
        {"Conv": 5, "PRelu": 3, "MaxPool": 1, "Softmax": 1},
    ),
    "R-Net": (
        "rnet/cond/CropAndResize", ("rnet/cond/prob1", "rnet/cond/Flatten_1/flatten/Reshape"), (5, 3, 24, 24),
        {"Conv": 6, "PRelu": 4, "MaxPool": 2, "Softmax": 1},
    ),
    "O-Net": (
        "onet/cond/CropAndResize",
        ("onet/cond/prob1", "onet/cond/Flatten_1/flatten/Reshape", "onet/cond/Flatten_2/flatten/Reshape"),
        (5, 3, 48, 48), {"Conv": 8, "PRelu": 5, "MaxPool": 3, "Softmax": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("part", MTCNN_PARTS)
def test_a_part_of_mtcnn(part: str) -> None:
    """P-Net lies within a loop, the others within branches."""
    name, outputs, shape, counted = MTCNN_PARTS[part]
    request = Request((test_data("models", "mtcnn-tf1", "mtcnn.pb"),), (name,), outputs)
    imported = import_frozen_graph(request)
    found = [node.op for node in imported.network.nodes]
    assert {op: found.count(op) for op in counted} == counted
    assert found.count("Transpose") == 0
    feeds = {name: np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)}
    assert_equal_relative(OnnxRuntimeRunner(imported.network).run(feeds), imported.reference.run(feeds))


def test_the_parts_of_mtcnn_compute_what_the_whole_does() -> None:
    """The whole graph, control flow and all, on a portrait: what it feeds to R-Net and O-Net, and what comes out there."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    path = test_data("models", "mtcnn-tf1", "mtcnn.pb")
    picture = cv2.resize(cv2.imread(str(grace_hopper())), (256, 300)).astype(np.float32)
    feeds = {
        "input": picture, "min_size": np.float32(60), "thresholds": np.float32([0.6, 0.7, 0.7]), "factor": np.float32(0.7)
    }  # fmt: skip
    names = [name for part in ("R-Net", "O-Net") for name in (MTCNN_PARTS[part][0], *MTCNN_PARTS[part][1])]
    whole = open_tensorflow(path).run(feeds, [*names, "box", "landmarks"])
    top, left, bottom, right = whole["box"][0]
    rows, columns = whole["landmarks"][0][:5], whole["landmarks"][0][5:]
    assert all((top < rows) & (rows < bottom))
    assert all((left < columns) & (columns < right))
    for part in ("R-Net", "O-Net"):
        name, outputs, _, _ = MTCNN_PARTS[part]
        network = import_frozen_graph(Request((path,), (name,), outputs)).network
        made = OnnxRuntimeRunner(network).run({name: whole[name]})
        assert_equal_relative(made, {each: whole[each] for each in outputs})


def test_the_whole_of_mtcnn_asks_to_choose() -> None:
    path = test_data("models", "mtcnn-tf1", "mtcnn.pb")
    with pytest.raises(ModelError, match="3 candidates for the output") as caught:
        import_frozen_graph(Request((path,)))
    for name in ("prob", "landmarks", "box"):
        assert name in str(caught.value)


# The runner


def test_a_prepared_run_gives_what_a_run_gives() -> None:
    runner = read(graph_of(tf, SMALL)).reference
    feeds = {"x": numbers(2, 4, 7, 6)}
    np.testing.assert_allclose(runner.prepared(feeds)()[0], runner.run(feeds)["y"], atol=1e-5)


def test_wrong_feeds_and_tensors_are_told() -> None:
    runner = read(graph_of(tf, SMALL)).reference
    with pytest.raises(ModelError, match="fed with picture"):
        runner.run({"picture": numbers(2, 4, 7, 6)})
    with pytest.raises(ModelError, match="cannot run it"):
        runner.run({"x": numbers(2, 4, 7, 6)}, ["nothing"])
    with pytest.raises(ModelError, match="cannot run it"):
        runner.run({"x": numbers(2, 4, 3, 3)})


def test_a_function_with_variables_becomes_a_graph() -> None:
    weights = tf.Variable(numbers(3, 3, 4, 5))

    @tf.function(input_signature=[tf.TensorSpec((1, 6, 5, 4), tf.float32, name="picture")])
    def compute(picture: Any) -> Any:
        return tf.nn.relu(tf.nn.conv2d(picture, weights, 1, "SAME"))

    graph_def, inputs, outputs = frozen_function(compute.get_concrete_function())
    imported = import_graph_def(graph_def, Request((), inputs, outputs), format="saved-model")
    assert (imported.network.input_name, imported.network.output_name) == (inputs[0], outputs[0])
    feeds = {inputs[0]: numbers(1, 4, 6, 5)}
    made = OnnxRuntimeRunner(imported.network).run(feeds)[outputs[0]]
    wanted = compute(feeds[inputs[0]].transpose(0, 2, 3, 1)).numpy().transpose(0, 3, 1, 2)
    np.testing.assert_allclose(made, wanted, atol=1e-5)
    np.testing.assert_allclose(imported.reference.run(feeds)[outputs[0]], wanted, atol=1e-5)
