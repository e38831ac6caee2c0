from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra convert)")

from convert.architectures import ARCHITECTURES
from convert.importers.base import Request
from convert.importers.caffe import import_caffe
from convert.importers.numpy_weights import import_numpy_weights
from convert.importers.safe_pickle import read_checkpoint
from convert.network import Array, Network, Node, Port
from convert.passes.mtcnn import (
    BOX,
    LANDMARKS,
    OUTPUTS,
    MtcnnForm,
    flattened_in_order,
    to_device_form,
    with_axes_swapped,
    with_channels,
    with_pools_rounded_up,
    with_softmax,
)
from convert.passes.rename import renamed
from convert.passes.tidy import tidy
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.targets.base import Options
from convert.targets.onnx import write_onnx
from edge.config.settings import Detect
from edge.datatypes import Image
from edge.detect import make_detector
from edge.errors import ModelError
from tests.convert.networks import FLATTEN, RELU, conv, network
from tests.support.bundles import MTCNN, detector_bundle
from tests.support.data import test_data

NAMES = {
    "pnet": {"prob1": "prob", "conv4-2": "box"},
    "rnet": {"prob1": "prob", "conv5-2": "box"},
    "onet": {"prob1": "prob", "conv6-2": "box", "conv6-3": "landmarks"},
}
"""Of the Caffe files."""
SIZES = {"pnet": 12, "rnet": 24, "onet": 48}


def caffe(part: str) -> Network:
    stem = f"det{list(SIZES).index(part) + 1}"
    paths = tuple(test_data("models", "mtcnn-caffe", f"{stem}.{end}") for end in ("prototxt", "caffemodel"))
    return renamed(tidy(import_caffe(Request(paths)).network), NAMES[part])


def numpy(part: str) -> Network:
    path = test_data("models", "mtcnn-numpy", f"det{list(SIZES).index(part) + 1}.npy")
    return tidy(import_numpy_weights(Request((path,))).network)


def pytorch(part: str) -> Network:
    weights = read_checkpoint(test_data("models", "mtcnn-pytorch", f"{part}.pt"))
    return tidy(ARCHITECTURES[f"mtcnn-{part}"].network(weights))


def tf1(part: str) -> Network:
    """Each network cut out of the one graph with its loop and its branches."""
    pytest.importorskip("tensorflow", reason="tensorflow is not installed (extra convert)")
    from convert.importers.tensorflow.graph_def import import_frozen_graph

    source, names = TF1[part]
    shape = (None, SIZES[part], SIZES[part], 3)
    path = test_data("models", "mtcnn-tf1", "mtcnn.pb")
    made = import_frozen_graph(Request((path,), inputs=(source,), outputs=tuple(names), shapes={source: shape}))
    return renamed(tidy(made.network), names)


TF1 = {
    "pnet": ("pnet/while/ResizeBilinear", {"pnet/while/prob1": "prob", "pnet/while/conv4-2/BiasAdd": "box"}),
    "rnet": ("rnet/cond/CropAndResize", {"rnet/cond/prob1": "prob", "rnet/cond/Flatten_1/flatten/Reshape": "box"}),
    "onet": (
        "onet/cond/CropAndResize",
        {
            "onet/cond/prob1": "prob",
            "onet/cond/Flatten_1/flatten/Reshape": "box",
            "onet/cond/Flatten_2/flatten/Reshape": "landmarks",
        },
    ),
}
YX = MtcnnForm(box_order=("y1", "x1", "y2", "x2"), landmark_order=(*LANDMARKS[5:], *LANDMARKS[:5]))
SOURCES: dict[str, tuple[Any, MtcnnForm, str]] = {
    "caffe": (caffe, MtcnnForm(swap_axes=True), "RGB"),
    "numpy": (numpy, MtcnnForm(), "RGB"),
    "pytorch": (pytorch, MtcnnForm(), "RGB"),
    "tf1": (tf1, YX, "BGR"),
}
"""Where it comes from, its form, and the order of the channels it expects."""


def run(made: Network, values: Array) -> dict[str, Array]:
    return dict(OnnxRuntimeRunner(made).run({made.inputs[0].name: values}))


def pictures(part: str) -> Array:
    # P-Net runs on one picture of the pyramid at a time.
    count = 1 if part == "pnet" else 3
    return np.random.default_rng(5).uniform(-1, 1, (count, 3, SIZES[part], SIZES[part])).astype(np.float32)


@pytest.mark.parametrize("part", SIZES)
def test_the_device_form_of_caffes_weights_sees_upright_what_they_see_swapped(part: str) -> None:
    source, values = caffe(part), pictures(part)

    found = run(to_device_form(source, part, MtcnnForm(swap_axes=True)), values)

    expected = run(source, np.ascontiguousarray(values.swapaxes(2, 3)))
    for name in OUTPUTS[part]:
        wanted = expected[name].swapaxes(2, 3) if expected[name].ndim == 4 else expected[name]
        assert np.abs(found[name] - wanted).max() < 1e-5


@pytest.mark.parametrize("part", SIZES)
@pytest.mark.parametrize("source", ["numpy", "pytorch", "tf1"])
def test_every_source_gives_the_same_network(source: str, part: str) -> None:
    make, form, colours = SOURCES[source]
    made = to_device_form(make(part), part, form)
    reference = to_device_form(caffe(part), part, MtcnnForm(swap_axes=True))
    values = pictures(part)

    found = run(made, np.ascontiguousarray(values[:, ::-1]) if colours == "BGR" else values)
    expected = run(reference, values)

    assert made.outputs == reference.outputs == OUTPUTS[part]
    assert "Transpose" not in {node.op for node in made.nodes}
    for name, wanted in expected.items():
        assert found[name].shape == wanted.shape
        assert np.abs(found[name] - wanted).max() < 1e-5


def test_whole_cascades_find_the_same_faces(lfw: list[Image], hopper: Image, collins: Image, tmp_path: Path) -> None:
    found = {}
    for source, (make, form, colours) in SOURCES.items():
        folder = tmp_path / source
        folder.mkdir()
        files = {
            part: write_onnx(to_device_form(make(part), part, form), folder / f"{part}.onnx", Options())[0]
            for part in SIZES
        }
        section = {**MTCNN, "colour_order": colours}
        detector = make_detector(detector_bundle(folder / "bundle", files, section), Detect())
        found[source] = [detector.detect(image) for image in (*lfw[:20], hopper, collins)]

    assert sum(map(len, found["caffe"])) >= 22
    for source in ("numpy", "pytorch", "tf1"):
        for ours, theirs in zip(found["caffe"], found[source], strict=True):
            assert len(ours) == len(theirs)
            for one, other in zip(ours, theirs, strict=True):
                assert one.box.iou(other.box) >= 0.98
                assert one.landmarks is not None
                assert other.landmarks is not None
                assert np.abs(one.landmarks - other.landmarks).max() < 1


OBLONG = network(
    conv(4, 3, (3, 1), strides=(2, 1), pads=(1, 0, 0, 2)),
    ("MaxPool", [None], {"kernel_shape": (2, 3), "strides": (1, 2), "pads": (0, 1, 1, 0)}),
    RELU,
    FLATTEN,
    ("Gemm", [None, np.random.default_rng(0).normal(0, 1, (5, 80)).astype(np.float32)], {"transB": 1}),
)


def test_axes_are_swapped_in_kernels_windows_and_the_matrix_behind_them() -> None:
    values = np.random.default_rng(2).normal(0, 1, (1, 3, 9, 9)).astype(np.float32)

    swapped = with_axes_swapped(OBLONG)

    found = run(swapped, np.ascontiguousarray(values.swapaxes(2, 3)))
    assert np.abs(found["t4"] - run(OBLONG, values)["t4"]).max() < 1e-5
    assert np.array_equal(with_axes_swapped(swapped).constants["c0_1"], OBLONG.constants["c0_1"])


def test_an_operator_that_knows_of_places_is_refused() -> None:
    made = network(conv(4, 3), ("Transpose", [None], {"perm": (0, 2, 3, 1)}))

    with pytest.raises(ModelError, match=r"Transpose 'node1'"):
        with_axes_swapped(made)


@pytest.mark.parametrize("transposed", [0, 1])
def test_a_map_flattened_in_another_order_is_flattened_in_its_own(transposed: int) -> None:
    weights = np.random.default_rng(0).normal(0, 1, (5, 4 * 7 * 5)).astype(np.float32)
    made = network(
        conv(4, 3, (3, 5)),
        ("Transpose", [None], {"perm": (0, 3, 2, 1)}),
        FLATTEN,
        ("Gemm", [None, weights if transposed else weights.T], {"transB": transposed}),
    )
    values = np.random.default_rng(1).normal(0, 1, (1, 3, 9, 9)).astype(np.float32)

    straight = flattened_in_order(made)

    assert [node.op for node in straight.nodes] == ["Conv", "Flatten", "Gemm"]
    assert np.abs(run(straight, values)["t3"] - run(made, values)["t3"]).max() < 1e-4


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ({"pads": (0, 0, 0, 0)}, 5),
        ({}, 5),
        ({"auto_pad": "VALID"}, 5),
        ({"pads": (0, 1, 0, 1)}, 4),
        ({"auto_pad": "SAME_LOWER"}, 5),
    ],
)
def test_unpadded_maxima_see_the_last_row(attributes: dict[str, Any], size: int) -> None:
    made = network(("MaxPool", [None], {"kernel_shape": (2, 2), "strides": (2, 2), **attributes}))

    found = run(with_pools_rounded_up(made), np.ones((1, 3, 9, 9), np.float32))["t0"]

    assert found.shape[2] == size


def headed(*tail: Any) -> Network:
    return network(conv(4, 3, (9, 9)), *tail)


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param((), id="a convolution"),
        pytest.param((FLATTEN,), id="flattened"),
        pytest.param((("Add", [None, np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1)], {}),), id="its bias apart"),
        pytest.param((FLATTEN, ("Gemm", [None, np.eye(4, dtype=np.float32) * 3], {})), id="a matrix"),
        pytest.param((FLATTEN, ("MatMul", [None, np.diag([1.0, 2, 3, 4]).astype(np.float32)], {})), id="a product"),
    ],
)
def test_channels_change_places_in_the_weights(tail: tuple[Any, ...]) -> None:
    made = headed(*tail)
    values = np.random.default_rng(1).normal(0, 1, (1, 3, 9, 9)).astype(np.float32)

    ordered = with_channels(made, made.output_name, [1, 0, 3, 2])

    assert [node.op for node in ordered.nodes] == [node.op for node in made.nodes]
    expected = run(made, values)[made.output_name][:, [1, 0, 3, 2]]
    assert np.abs(run(ordered, values)[made.output_name] - expected).max() < 1e-5


def test_channels_that_others_read_too_are_left_alone() -> None:
    made = headed(RELU)
    with pytest.raises(ModelError, match="order has to change"):
        with_channels(made, made.output_name, [1, 0, 3, 2])


def test_softmax_is_added_only_where_it_is_missing() -> None:
    without = headed(FLATTEN)
    added = with_softmax(without, without.output_name)
    values = np.random.default_rng(1).normal(0, 1, (1, 3, 9, 9)).astype(np.float32)

    assert added.outputs == without.outputs
    assert run(added, values)[added.output_name].sum() == pytest.approx(1, abs=1e-5)
    assert with_softmax(added, added.output_name) is added


def test_orders_are_those_of_the_source() -> None:
    yx = ("y1", "x1", "y2", "x2")
    made = _three_heads()
    form = MtcnnForm(box_order=yx, landmark_order=(*LANDMARKS[5:], *LANDMARKS[:5]))

    found = to_device_form(made, "onet", form)

    values = np.ones((1, 3, 1, 1), np.float32)
    before, after = run(made, values), run(found, values)
    assert after["box"][0].tolist() == [before["box"][0][yx.index(name)] for name in BOX]
    assert after["landmarks"][0].tolist() == [*before["landmarks"][0][5:], *before["landmarks"][0][:5]]


def _three_heads() -> Network:
    sizes = {"prob": 2, "box": 4, "landmarks": 10}
    constants = {
        name: np.random.default_rng(size).normal(0, 1, (3, size)).astype(np.float32) for name, size in sizes.items()
    }
    nodes = [Node("Flatten", "flat", ("input",), ("flat",), {"axis": 1})]
    nodes += [Node("MatMul", name, ("flat", f"{name}/w"), (name,)) for name in sizes]
    weights = {f"{name}/w": value for name, value in constants.items()}
    return Network((Port("input", (1, 3, 1, 1)),), tuple(sizes), tuple(nodes), weights)


@pytest.mark.parametrize("part", ["pnet", "qnet"])
def test_other_outputs_or_parts_are_refused(part: str) -> None:
    with pytest.raises(ModelError) as caught:
        to_device_form(_three_heads(), part, MtcnnForm())
    assert "prob" in str(caught.value) or "pnet" in str(caught.value)


@pytest.mark.parametrize("change", [{"box_order": ("x1", "y1")}, {"landmark_order": ("x1",) * 10}])
def test_orders_name_every_value_once(change: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match="in some order"):
        MtcnnForm(**change)  # type: ignore[arg-type]
