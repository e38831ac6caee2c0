from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers.base import Request
from convert.importers.tensorflow.checkpoint import import_checkpoint, variables_of
from convert.importers.tensorflow.graph_def import import_frozen_graph
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.runners.tensorflow import TensorFlowRunner
from edge.errors import ModelError, UsageError
from tests.convert.facenet_graph import SMALL, Form, frozen_graph, save_checkpoint
from tests.convert.importers.tensorflow.checkpoints import net, save
from tests.convert.importers.tensorflow.graphs import numbers

tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")
v1 = tf.compat.v1
TRAINING = {"Switch", "Merge", "Assign", "AssignSub", "Sub", "Where", "Identity"}
FACES = np.random.default_rng(7).normal(size=(2, 3, 160, 160)).astype(np.float32)


@pytest.fixture(scope="module")
def facenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tf, tmp_path_factory.mktemp("facenet"), SMALL)


@pytest.fixture
def control_flow_v1() -> Iterator[None]:
    v1.disable_control_flow_v2()
    yield
    v1.enable_control_flow_v2()


def embeddings_by_tensorflow_alone(meta: Path, name: str = "embeddings") -> Any:
    """The checkpoint as its author would use it."""
    with v1.Graph().as_default(), v1.Session() as session:
        v1.train.import_meta_graph(str(meta)).restore(session, str(meta).removesuffix(".meta"))
        return session.run(f"{name}:0", {"input:0": FACES.transpose(0, 2, 3, 1), "phase_train:0": False})


def assert_close(made: Any, expected: Any, limit: float = 1e-5) -> None:
    assert made.shape == expected.shape
    assert np.abs(made - expected).max() <= limit * np.abs(expected).max()


def assert_is_facenet(imported: Any, expected: Any, blocks: int) -> None:
    network = imported.network
    assert (network.input_name, network.output_name) == ("input", "embeddings")
    assert network.inputs[0].shape == (None, 3, 160, 160)
    counts = Counter(node.op for node in network.nodes)
    assert not TRAINING & set(counts)
    assert counts["Conv"] == blocks
    assert counts["LpNormalization"] == 1
    assert_close(OnnxRuntimeRunner(network).run({"input": FACES})["embeddings"], expected)
    assert_close(imported.reference.run({"input": FACES})["embeddings"], expected, 1e-6)


def test_facenet(facenet: Path) -> None:
    imported = import_checkpoint(Request((facenet,)))
    assert imported.format == "tf1-checkpoint"
    assert_is_facenet(imported, embeddings_by_tensorflow_alone(facenet), blocks=39)
    assert "Placeholder 'phase_train' was bound to False." in imported.notes
    assert "Input 'input' is what the queue 'batch_join' gives." in imported.notes
    assert [path.name for path in imported.files] == ["model.meta", "model.index", "model.data-00000-of-00001"]


def test_the_reference_of_facenet_is_not_frozen(facenet: Path) -> None:
    reference = import_checkpoint(Request((facenet,))).reference
    assert isinstance(reference, TensorFlowRunner)
    counts = Counter(node.op for node in reference.graph.graph_def.node)
    assert (counts["VariableV2"], counts["QueueDequeueUpToV2"]) == (152, 0)
    assert counts["RefSwitch"] > 0
    assert counts["AssignSub"] > 0


def test_every_layer_of_facenet_can_be_asked_for(facenet: Path) -> None:
    imported = import_checkpoint(Request((facenet,)))
    names = imported.reference.tensors
    assert len(names) > 100
    expected = imported.reference.run({"input": FACES}, names)
    made = OnnxRuntimeRunner(imported.network).run({"input": FACES}, names)
    for name in names:
        assert_close(made[name], expected[name], 2e-5)


def test_facenet_as_its_author_freezes_it(facenet: Path, tmp_path: Path) -> None:
    path = tmp_path / "facenet.pb"
    path.write_bytes(frozen_graph(tf, facenet))
    imported = import_frozen_graph(Request((path,), inputs=("input",), outputs=("embeddings",)))
    assert_is_facenet(imported, embeddings_by_tensorflow_alone(facenet), blocks=39)


@pytest.mark.slow
def test_the_whole_facenet(tmp_path: Path) -> None:
    meta = save_checkpoint(tf, tmp_path, Form())
    imported = import_checkpoint(Request((meta,)))
    assert_is_facenet(imported, embeddings_by_tensorflow_alone(meta), blocks=132)
    assert imported.network.parameters() > 22_000_000


def test_other_ends_can_be_chosen(facenet: Path) -> None:
    request = Request((facenet,), inputs=("batch_join",), outputs=("InceptionResnetV1/Logits/Flatten/Reshape",))
    imported = import_checkpoint(request)
    assert imported.network.input_name == "batch_join"
    expected = embeddings_by_tensorflow_alone(facenet, imported.network.output_name)
    assert_close(OnnxRuntimeRunner(imported.network).run({"batch_join": FACES})[imported.network.output_name], expected)


def test_an_output_that_is_not_there_is_told_with_what_is(facenet: Path) -> None:
    with pytest.raises(UsageError, match="no output embedings") as caught:
        import_checkpoint(Request((facenet,), outputs=("embedings",)))
    assert "embeddings" in str(caught.value)


# Other graphs


def with_training(tf: Any, x: Any) -> None:
    labels = v1.placeholder(tf.float32, (None, 4), name="labels")
    made = tf.reduce_mean(net(tf, x), [1, 2], name="embeddings")
    loss = tf.reduce_mean((made - labels) ** 2, name="loss")
    v1.summary.scalar("loss", loss)
    v1.train.AdamOptimizer(0.1).minimize(loss, global_step=v1.train.get_or_create_global_step())


def assert_equal(meta: Path, **request: Any) -> Any:
    imported = import_checkpoint(Request((meta,), **request))
    feeds = {imported.network.input_name: numbers(2, 3, 6, 5)}
    made, expected = OnnxRuntimeRunner(imported.network).run(feeds), imported.reference.run(feeds)
    for name in imported.network.outputs:
        assert_close(made[name], expected[name])
    return imported


@pytest.mark.parametrize("resource", [True, False])
def test_both_kinds_of_variables(tmp_path: Path, *, resource: bool) -> None:
    imported = assert_equal(save(tf, tmp_path, lambda tf, x: net(tf, x, resource=resource)))
    assert imported.network.output_name == "y"
    assert "2 variables became constants." in imported.notes


def test_the_training_branch_is_no_candidate_and_is_gone(tmp_path: Path) -> None:
    imported = assert_equal(save(tf, tmp_path, with_training))
    assert (imported.network.input_name, imported.network.output_name) == ("x", "embeddings")
    assert [node.op for node in imported.network.nodes] == ["Conv", "Add", "Relu", "ReduceMean"]
    assert len(imported.reference.graph.graph_def.node) < 20


def test_several_outputs_are_listed(tmp_path: Path) -> None:
    def build(tf: Any, x: Any) -> None:
        made = net(tf, x)
        tf.nn.softmax(made, name="prob")
        tf.reduce_max(made, [1, 2], name="best")

    meta = save(tf, tmp_path, build)
    with pytest.raises(ModelError, match="2 candidates for the output: prob, best"):
        import_checkpoint(Request((meta,)))
    assert assert_equal(meta, outputs=("best",)).network.outputs == ("best",)


def test_names_in_the_checkpoint_are_those_of_its_saver(tmp_path: Path) -> None:
    def build(tf: Any, x: Any) -> None:
        made = v1.get_variable("a", initializer=numbers(3, 4), use_resource=True)
        tf.matmul(tf.reduce_mean(x, [1, 2]), made, name="y")

    with v1.Graph().as_default(), v1.Session() as session:
        build(tf, v1.placeholder(tf.float32, (None, 6, 5, 3), name="x"))
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver({"average/of/a": v1.global_variables()[0]})
        meta = Path(f"{saver.save(session, str(tmp_path / 'tiny'), write_state=False)}.meta")
    assert [name for name, _, _ in variables_of(meta)] == ["average/of/a"]
    assert_equal(meta)


def test_a_variable_in_parts(tmp_path: Path) -> None:
    def build(tf: Any, x: Any) -> None:
        with v1.variable_scope("s", partitioner=v1.fixed_size_partitioner(2, axis=1)):
            parts = v1.get_variable("w", (3, 7), initializer=v1.random_normal_initializer(seed=1), use_resource=False)
        tf.matmul(tf.reduce_mean(x, [1, 2]), parts, name="y")

    meta = save(tf, tmp_path, build)
    assert variables_of(meta) == [("s/w", (3, 7), "float32")]
    assert_equal(meta)


@pytest.mark.usefixtures("control_flow_v1")
def test_a_branch_by_a_placeholder_that_is_bound(tmp_path: Path) -> None:
    def build(tf: Any, x: Any) -> None:
        made, decides = net(tf, x), v1.placeholder(tf.bool, (), name="decides")
        tf.identity(v1.cond(decides, lambda: made * 2.0, lambda: made), name="z")

    meta = save(tf, tmp_path, build)
    doubled = assert_equal(meta, inputs=("x",), constants={"decides": True})
    assert [node.op for node in doubled.network.nodes].count("Mul") == 1
    plain = assert_equal(meta, inputs=("x",), constants={"decides": False})
    assert [node.op for node in plain.network.nodes].count("Mul") == 0


def test_a_variable_without_a_value_is_told(tmp_path: Path) -> None:
    def build(tf: Any, x: Any) -> None:
        net(tf, x)

    with v1.Graph().as_default(), v1.Session() as session:
        build(tf, v1.placeholder(tf.float32, (None, 6, 5, 3), name="x"))
        session.run(v1.global_variables_initializer())
        saver = v1.train.Saver([v1.global_variables()[0]])
        meta = Path(f"{saver.save(session, str(tmp_path / 'tiny'), write_state=False)}.meta")
    with pytest.raises(ModelError, match=r"1 variable\(s\) that are not in the checkpoint: b"):
        import_checkpoint(Request((meta,)))
