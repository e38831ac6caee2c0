"""Frozen graphs as the installed OpenCV reads them, against ONNX Runtime."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from convert.network import OPERATORS, Network
from convert.targets.frozen_graph import frozen_graph
from convert.targets.opencv_ops import OPENCV_EMITTERS, UNKNOWN_TO_OPENCV
from convert.targets.opencv_ops.emission import moves
from convert.targets.opencv_ops.text import text_graph
from convert.targets.tensorflow_ops import concrete, import_tensorflow
from edge.errors import ModelError
from tests.convert.networks import CASES as PLAIN
from tests.convert.networks import FLATTEN, NEW_CASES, conv, network
from tests.convert.targets.tensorflow_ops.cases import CASES, MIX_THE_BATCH, on, step
from tests.convert.targets.tensorflow_ops.running import expected_of, feeds_of, nchw, nhwc

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")
# TensorFlow and its dependencies warn about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")

ALL: dict[str, Callable[[], Network]] = {
    **CASES,
    **{f"plain: {name}": made for name, made in PLAIN.items()},
    **{f"new: {name}": made for name, made in NEW_CASES.items()},
}
REFUSED = {
    "matmul, batches": "computed",
    "new: matmul, both computed": "computed",
    "cast to whole numbers": "Cast",
    "pow": "exponent",
    "max pool, dilated": "dilations",
    "smallest": "largest over axes",
    "fewer axes beside a picture": "batch in front",
    "flatten, axis 2": "batch in front",
    "transpose, reversed": "batch in front",
    "gather a table": "four axes",
}
"""What OpenCV's reader has no form for, and what is said of it."""
WITHOUT_VECTORS = frozenset({"squeeze all"})
"""OpenCV has nothing with one axis; what it makes of these has two."""


def is_known(made: Network) -> bool:
    return not any(node.op in UNKNOWN_TO_OPENCV for node in made.nodes)


READ = [name for name, made in ALL.items() if name not in REFUSED and is_known(made())]


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_tensorflow()
        yield


def by_opencv(graph: bytes, feeds: dict[str, Any], wanted: tuple[str, ...], text: str = "") -> dict[str, Any]:
    read = [np.frombuffer(graph, np.uint8)] + [np.frombuffer(text.encode(), np.uint8)] * bool(text)
    net = cv2.dnn.readNetFromTensorflow(*read)
    for name, value in feeds.items():
        net.setInput(value, name)
    return dict(zip(wanted, net.forward(list(wanted)), strict=True))


def check(made: Network, count: int, *, has_text: bool = False) -> None:
    feeds, written = feeds_of(made, count), frozen_graph(made, count)
    text = text_graph(written.graph_def, written.outputs) if has_text else ""
    found = by_opencv(written.graph_def.SerializeToString(), feeds, written.outputs, text)
    for name, expected in expected_of(made, feeds).items():
        value = found[name]
        if expected.ndim > 1:
            assert value.shape == expected.shape
        assert np.abs(value.reshape(expected.shape) - expected).max() < 1e-4 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", READ)
def test_one_picture(name: str) -> None:
    check(ALL[name](), 1)


@pytest.mark.parametrize("name", [name for name in READ if name not in MIX_THE_BATCH])
def test_several_pictures(name: str) -> None:
    check(ALL[name](), 3)


@pytest.mark.parametrize("name", [*PLAIN, "leaky relu", "length 1", "softmax of channels", "transposed conv"])
def test_with_a_text_graph(name: str) -> None:
    check((PLAIN.get(name) or NEW_CASES[name])(), 3, has_text=True)


@pytest.mark.parametrize(
    "name", ["ssd heads", "plain: prelu", "plain: residual", "plain: depthwise", "plain: average", "plain: gemm"]
)
def test_an_open_batch(name: str) -> None:
    made = ALL[name]()
    written, feeds = frozen_graph(made, None), feeds_of(made, 3)
    found = by_opencv(written.graph_def.SerializeToString(), feeds, written.outputs)
    for output, expected in expected_of(made, feeds).items():
        assert np.abs(found[output] - expected).max() < 1e-5


@pytest.mark.parametrize("name", READ)
def test_tensorflow_reads_it_alike(name: str) -> None:
    tf, made = import_tensorflow(), ALL[name]()
    feeds, written = feeds_of(made, 1), frozen_graph(made)
    found = concrete(written)(*(tf.constant(nhwc(feeds[port.name])) for port in made.inputs))
    for value, expected in zip(found, expected_of(made, feeds).values(), strict=True):
        assert np.abs(nchw(value.numpy()) - expected).max() < 1e-5 * max(1.0, np.abs(expected).max())


def test_every_operator_is_written_or_named() -> None:
    assert set(OPENCV_EMITTERS) | UNKNOWN_TO_OPENCV == OPERATORS
    assert not set(OPENCV_EMITTERS) & UNKNOWN_TO_OPENCV


@pytest.mark.parametrize("name", REFUSED)
def test_what_opencv_cannot_read_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=REFUSED[name]):
        frozen_graph(ALL[name]())


def test_all_operators_that_opencv_lacks_are_named_at_once() -> None:
    with pytest.raises(ModelError, match=r"3 operator\(s\).*Greater 'node0', Less 'node1', And 'node2'"):
        frozen_graph(CASES["and"]())


def operators(made: Network) -> Counter[str]:
    return Counter(node.op for node in frozen_graph(made).graph_def.node)


def test_only_plain_operators_with_frozen_weights() -> None:
    found = set().union(*(operators(ALL[name]()) for name in READ))
    assert not {op for op in found if "Variable" in op or "Partitioned" in op or op in {"ReadVariableOp", "NoOp"}}
    assert not found & {"Maximum", "Minimum", "Neg", "Identity", "GatherV2", "Tile", "DepthToSpace", "BatchMatMulV2"} - {
        "Neg", "Maximum",  # inside PReLU and normalisation, which OpenCV knows by their parts
    }  # fmt: skip


def test_detectors_heads_stay_where_they_are() -> None:
    assert operators(CASES["ssd heads"]())["Transpose"] == 0


def test_a_layer_of_opencv_has_the_outputs_name() -> None:
    made = frozen_graph(
        network(conv(4, 3), FLATTEN, step("Gemm", np.ones((196, 2), np.float32), np.ones(2, np.float32)))
    )
    net = cv2.dnn.readNetFromTensorflow(np.frombuffer(made.graph_def.SerializeToString(), np.uint8))
    assert list(net.getUnconnectedOutLayersNames()) == ["t2"]


def test_prelu_and_normalisation_are_one_operator_in_the_text(tmp_path: Path) -> None:
    made = frozen_graph(
        network(
            conv(4, 3, (9, 9)), step("PRelu", np.ones((4, 1, 1), np.float32)), FLATTEN, step("LpNormalization", axis=1)
        )
    )
    text = text_graph(made.graph_def, made.outputs)
    assert '"PReLU"' in text
    assert '"L2Normalize"' in text
    assert '"Const"' not in text
    assert '"Neg"' not in text


@pytest.mark.parametrize("order", [[0, 3, 1, 2], [0, 2, 3, 1], [0, 1, 3, 2], [0, 2, 1, 3], [0, 3, 2, 1], [0, 1, 2, 3]])
def test_moving_blocks_to_the_end_turns_axes(order: list[int]) -> None:
    now = [0, 1, 2, 3]
    for block in moves(order):
        at = now.index(block[0])
        assert now[at : at + len(block)] == block
        now = [*now[:at], *now[at + len(block) :], *block]
    assert now == order


def test_a_picture_whose_size_is_open() -> None:
    made = on(conv(4, 3), step("Relu"))()
    open_ = Network((type(made.inputs[0])("image", (1, 3, None, None)),), made.outputs, made.nodes, made.constants)
    written = frozen_graph(open_)
    feeds = feeds_of(made, 1)
    found = by_opencv(written.graph_def.SerializeToString(), feeds, written.outputs)
    assert np.abs(found["t1"] - expected_of(made, feeds)["t1"]).max() < 1e-5
