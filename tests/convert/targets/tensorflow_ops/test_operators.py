"""Every operator as TensorFlow computes it, against ONNX Runtime."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from convert.importers.base import Request
from convert.importers.onnx import import_onnx
from convert.network import OPERATORS, Network, Node
from convert.passes.tidy import tidy
from convert.targets.tensorflow_ops import EMITTERS, emitted, import_tensorflow, plain_name, traced
from convert.targets.tensorflow_ops.arithmetic import erf_by_series
from edge.errors import ModelError
from tests.convert.networks import CASES as PLAIN
from tests.convert.networks import FLATTEN, NEW_CASES, conv, network
from tests.convert.targets.tensorflow_ops.cases import CASES, MIX_THE_BATCH, on, ssd_heads, step
from tests.convert.targets.tensorflow_ops.running import expected_of, feeds_of, nchw, nhwc
from tests.support.data import test_data

pytest.importorskip("tensorflow", reason="TensorFlow is not installed (pip install 'ostiary[convert]')")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed (pip install 'ostiary[convert]')")
# TensorFlow and its dependencies warn about themselves.
pytestmark = pytest.mark.filterwarnings("ignore")

ALL: dict[str, Callable[[], Network]] = {
    **CASES,
    **{f"plain: {name}": made for name, made in PLAIN.items()},
    **{f"new: {name}": made for name, made in NEW_CASES.items()},
}


@pytest.fixture(scope="module", autouse=True)
def _tensorflow() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_tensorflow()


def outputs(made: Network, count: int, *, is_open: bool = False) -> dict[str, Any]:
    tf, feeds = import_tensorflow(), feeds_of(made, count)
    function = traced(made, None if is_open else count)
    found = function(*(tf.constant(nhwc(feeds[port.name])) for port in made.inputs))
    return {name: nchw(value.numpy()) for name, value in zip(made.outputs, found, strict=True)}


def off(found: dict[str, Any], expected: dict[str, Any]) -> float:
    """Largest difference, relative to the largest number but to nothing below 1."""
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in expected.items()
    }
    return max(
        float(np.abs(found[name].astype(np.float64) - value).max()) / max(1.0, float(np.abs(value).max()))
        for name, value in expected.items()
    )


def operators(made: Network, batch: int | None = 1) -> Counter[str]:
    return Counter(node.op for node in emitted(made, EMITTERS, batch).graph_def.node)


def test_every_operator_is_written_and_tested() -> None:
    assert set(EMITTERS) == OPERATORS
    assert {node.op for made in ALL.values() for node in made().nodes} == OPERATORS


@pytest.mark.parametrize("name", ALL)
def test_one_picture(name: str) -> None:
    made = ALL[name]()
    assert off(outputs(made, 1), expected_of(made, feeds_of(made, 1))) < 2e-6


@pytest.mark.parametrize("is_open", [False, True], ids=["three", "open"])
@pytest.mark.parametrize("name", [name for name in CASES if name not in MIX_THE_BATCH])
def test_several_pictures(name: str, is_open: bool) -> None:  # noqa: FBT001
    made = CASES[name]()
    assert off(outputs(made, 3, is_open=is_open), expected_of(made, feeds_of(made, 3))) < 2e-6


@pytest.mark.parametrize("name", ["sum of all", "flatten, axis 0"])
def test_a_network_that_mixes_its_batch_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="several pictures"):
        traced(CASES[name](), 3)


def test_erf_by_powers_is_close_enough() -> None:
    tf, made = import_tensorflow(), CASES["erf"]()
    feeds = feeds_of(made, 1)
    found = traced(made, 1, {**EMITTERS, "Erf": erf_by_series})(tf.constant(nhwc(feeds["image"])))
    assert np.abs(nchw(found[0].numpy()) - expected_of(made, feeds)[made.output_name]).max() < 5e-7


TRANSPOSES = {
    "ssd heads": 0,
    "transpose, there and back": 0,
    "softmax of channels": 0,
    "squeeze and excite": 0,
    "flatten before dense": 0,
    "unsqueeze": 0,
    "squeeze": 0,
    "mean of places": 0,
    "shuffle": 1,
    "transpose": 1,
    "flatten, axis 2": 1,
    "reshape to three axes": 1,
}


@pytest.mark.parametrize("name", TRANSPOSES)
def test_tensors_are_turned_only_where_they_must(name: str) -> None:
    assert operators(CASES[name]())["Transpose"] == TRANSPOSES[name]


@pytest.mark.parametrize(
    ("made", "op"),
    [
        (on(conv(4, 3, pads=(1, 1, 1, 1))), "Conv2D"),
        (on(conv(3, 1, group=3)), "DepthwiseConv2dNative"),
        (CASES["clip, 0 to 6"], "Relu6"),
        (CASES["leaky"], "LeakyRelu"),
        (CASES["nearest, twice"], "ResizeNearestNeighbor"),
        (CASES["linear, corners"], "ResizeBilinear"),
        (on(step("Gather", np.array([2, 0]), axis=1)), "GatherV2"),
        (CASES["max pool, padded"], "MirrorPad"),
        (CASES["max pool behind relu"], "Pad"),
        (CASES["conv transpose, twice as large"], "Conv2DBackpropInput"),
    ],
)
def test_operators_of_tensorflow_are_used(made: Callable[[], Network], op: str) -> None:
    assert operators(made())[op] == 1


def test_places_that_no_resize_looks_at_are_gathered() -> None:
    found = operators(CASES["nearest, 3/2, ceil"]())
    assert (found["GatherV2"], found["ResizeNearestNeighbor"]) == (2, 0)


@pytest.mark.parametrize(
    "name", ["plain: conv, padding as SAME", "max pool, padded as SAME", "conv transpose, twice as large"]
)
def test_padding_like_tensorflows_needs_no_operator(name: str) -> None:
    assert not {"Pad", "PadV2", "MirrorPad", "Slice", "StridedSlice"} & set(operators(ALL[name]()))


def test_tensors_are_found_again_by_their_names() -> None:
    made = emitted(CASES["squeeze and excite"](), EMITTERS)
    assert made.inputs == ("image",)
    assert made.outputs == ("t6",)
    named = {node.name: node.op for node in made.graph_def.node}
    assert [named[f"t{index}"] for index in (0, 1, 3, 4, 6)] == ["BiasAdd", "Mean", "MatMul", "Sigmoid", "Mul"]
    assert named["t0/Conv2D"] == "Conv2D"


def test_a_tensor_that_lies_otherwise_has_not_the_name() -> None:
    made = emitted(
        on(conv(4, 3), step("Transpose", perm=(0, 2, 3, 1)), step("Relu"), step("Reshape", np.array([1, -1])))(),
        EMITTERS,
    )
    named = {node.name: node.op for node in made.graph_def.node}
    assert named["t2/lying"] == "Relu"
    assert "t2" not in named


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("conv1/bn", "conv1/bn"),
        ("a:0", "a_0"),
        ("_x", "t_x"),
        ("Bäckchen", "B_ckchen"),
        ("", "t"),
        ("/a", "t/a"),
        ("x-1.y", "x-1.y"),
    ],
)
def test_plain_names(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_names_that_are_alike_when_plain_stay_apart() -> None:
    made = network(conv(4, 3), step("Relu"), step("Abs"))
    names = {"t0": "a:b", "t1": "a_b", "t2": "a*b"}
    nodes = tuple(
        replace(node, inputs=tuple(names.get(each, each) for each in node.inputs), outputs=(names[node.output],))
        for node in made.nodes
    )
    renamed = emitted(replace(made, nodes=nodes, outputs=("a*b",)), EMITTERS)
    assert renamed.outputs == ("a_b",)
    assert len({node.name for node in renamed.graph_def.node}) == len(renamed.graph_def.node)


def test_outputs_stand_in_the_networks_order() -> None:
    made = CASES["two inputs, three outputs"]()
    function = traced(made)
    assert [tensor.op.name for tensor in function.inputs] == ["image", "other"]
    assert [tensor.op.name for tensor in function.outputs] == ["t3", "both", "t1"]
    assert [tensor.shape.as_list() for tensor in function.outputs] == [[1, 4], [1, 7, 7, 4], [1, 7, 7, 4]]


def test_an_input_may_be_an_output() -> None:
    made = network(conv(4, 3))
    both = replace(made, outputs=("image", "t0", "image"))
    function = traced(both)
    assert len({tensor.op.name for tensor in function.outputs}) == 3
    feeds = feeds_of(both, 1)
    found = function(import_tensorflow().constant(nhwc(feeds["image"])))
    np.testing.assert_array_equal(nchw(found[0].numpy()), feeds["image"])


def test_the_same_network_gives_the_same_bytes() -> None:
    first, second = (emitted(ssd_heads(), EMITTERS).graph_def.SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


def test_what_nothing_reads_is_left_out() -> None:
    made = network(conv(4, 3), step("Relu"))
    cut = emitted(replace(made, outputs=("t0",)), EMITTERS)
    assert "Relu" not in {node.op for node in cut.graph_def.node}


REFUSED: dict[str, tuple[Callable[[], Network], str]] = {
    "computed weights": (
        lambda: replace(
            made := network(conv(3, 3, pads=(1, 1, 1, 1)), conv(3, 3)),
            nodes=(made.nodes[0], replace(made.nodes[1], inputs=("image", "t0"))),
        ),
        "computed",
    ),
    "groups": (on(conv(4, 2, group=2)), "channels"),
    "three axes": (on(step("Reshape", np.array([1, 3, 81])), step("MaxPool", kernel_shape=(2, 2))), "axes"),
    "indices of a pooling": (
        lambda: replace(
            made := network(step("MaxPool", kernel_shape=(2, 2))),
            nodes=(replace(made.nodes[0], outputs=("t0", "places")),),
        ),
        "2 outputs",
    ),
    "cubic": (on(step("Resize", "", np.float32([1, 1, 2, 2]), mode="cubic")), "cubic"),
    "resized channels": (on(step("Resize", "", np.float32([1, 2, 1, 1]), mode="nearest")), "channels"),
    "shape that does not fit": (on(FLATTEN, step("Reshape", np.array([1, 7]))), "TensorFlow|shape"),
    "a place beyond": (on(step("Gather", np.array([7]), axis=1)), "beyond"),
    "no such axis": (on(step("Softmax", axis=7)), "axis 7"),
    "even LRN": (on(step("LRN", size=2)), "odd"),
    "zero step": (on(step("Slice", np.array([0]), np.array([1]), np.array([1]), np.array([0]))), "step 0"),
    "double strides": (on(step("MaxPool", kernel_shape=(2, 2), strides=(0, 1))), "at least 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_written_says_where(name: str) -> None:
    made, problem = REFUSED[name]
    with pytest.raises(ModelError, match=problem):
        emitted(made(), EMITTERS)


REAL = {
    "yunet": ("yunet", "yunet_n_320_320.onnx"),
    "ultralight": ("ultralight", "version-RFB-320_without_postprocessing.onnx"),
    "ultralight, boxes decoded": ("ultralight", "version-slim-320.onnx"),
}


@pytest.mark.parametrize("name", REAL)
def test_published_detectors_are_equal_and_never_turned(name: str) -> None:
    imported = import_onnx(Request((test_data("models", *REAL[name]),)))
    made = tidy(imported.network)
    feeds = {port: value * 255 for port, value in feeds_of(made, 1).items()}
    found = traced(made)(import_tensorflow().constant(nhwc(next(iter(feeds.values())))))
    expected = imported.reference.run(feeds)
    for output, value in zip(made.outputs, found, strict=True):
        assert np.abs(value.numpy() - expected[output]).max() <= 1e-5 * np.abs(expected[output]).max(), output
    assert operators(made)["Transpose"] == 0


def test_an_unknown_operator_is_named() -> None:
    made = network(conv(4, 3))
    odd = replace(made, nodes=(*made.nodes, Node("Relu", "odd", ("t0",), ("t1",))), outputs=("t1",))
    with pytest.raises(ModelError, match="Relu 'odd'"):
        emitted(odd, {op: emit for op, emit in EMITTERS.items() if op != "Relu"})
