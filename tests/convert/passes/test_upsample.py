from __future__ import annotations

from collections import Counter
from typing import Any

import cv2
import numpy as np
import pytest

from convert.network import Network
from convert.passes.upsample import upsampling_as_transposed_convolution
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.targets.onnx import to_onnx
from tests.convert.networks import conv, ints, network, without

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (pip install 'ostiary[convert]')")

NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
FORMS = {
    "nearest": NEAREST,
    "nearest, half-pixel": {"mode": "nearest", "coordinate_transformation_mode": "half_pixel"},
    "nearest, half-pixel, floor of what is clamped": {"mode": "nearest", "coordinate_transformation_mode": "half_pixel", "nearest_mode": "round_prefer_ceil"},
    "linear, half-pixel": {"mode": "linear", "coordinate_transformation_mode": "half_pixel"},
    "linear, PyTorch's half-pixel": {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    "linear, asymmetric": {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
}  # fmt: skip
OTHERS = {
    "align_corners": {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    "cubic": {"mode": "cubic", "coordinate_transformation_mode": "half_pixel"},
    "nearest, rounded up": {**NEAREST, "nearest_mode": "ceil"},
    "nearest, rounded": {**NEAREST, "nearest_mode": "round_prefer_ceil"},
}


def resizing(
    attributes: dict[str, Any], factors: tuple[float, float] = (2, 2), size: int = 5, channels: int = 3
) -> Network:
    scales = np.array([1, 1, *factors], np.float32)
    made = network(("Resize", [None, np.zeros(0, np.float32), scales], attributes), channels=channels, size=size)
    return without("", made)


def outputs(made: Network, seed: int = 0) -> Any:
    image = np.random.default_rng(seed).normal(size=made.input_shape).astype(np.float32)
    return OnnxRuntimeRunner(made).run({made.input_name: image})[made.output_name]


@pytest.mark.parametrize("size", [1, 2, 5, 8])
@pytest.mark.parametrize("factors", [(2, 2), (3, 3), (4, 4), (2, 3), (1, 4), (3, 1)], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_it_is_the_resize(form: str, factors: tuple[int, int], size: int) -> None:
    before = resizing(FORMS[form], factors, size)
    after = upsampling_as_transposed_convolution(before)
    counts = Counter(node.op for node in after.nodes)
    assert "Resize" not in counts
    assert counts["ConvTranspose"] == 1
    assert after.nodes[-1].attributes["group"] == 3
    expected = outputs(before)
    assert expected.shape == (1, 3, size * factors[0], size * factors[1])
    assert np.abs(outputs(after) - expected).max() <= 1e-6
    assert outputs(after).shape == expected.shape


@pytest.mark.parametrize("factors", [(2, 2), (3, 3), (2, 4)], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_opencv_takes_it(form: str, factors: tuple[int, int]) -> None:
    after = upsampling_as_transposed_convolution(resizing(FORMS[form], factors))
    image = np.random.default_rng(0).normal(size=after.input_shape).astype(np.float32)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(to_onnx(after).SerializeToString(), np.uint8))
    net.setInput(image)
    assert np.abs(net.forward() - outputs(after)).max() <= 1e-6


@pytest.mark.parametrize("form", ["nearest", "linear, half-pixel"])
def test_sizes_do_as_well_as_factors(form: str) -> None:
    empty = np.zeros(0, np.float32)
    before = without("", network(("Resize", [None, empty, empty, ints(1, 3, 14, 21)], FORMS[form]), size=7))
    after = upsampling_as_transposed_convolution(before)
    assert after.nodes[-1].attributes["strides"] == (2, 3)
    assert np.abs(outputs(after) - outputs(before)).max() <= 1e-6


def test_nearest_needs_nothing_else() -> None:
    after = upsampling_as_transposed_convolution(resizing(NEAREST))
    assert [node.op for node in after.nodes] == ["ConvTranspose"]
    assert after.nodes[0].attributes["pads"] == (0, 0, 0, 0)


def test_the_kernel_of_the_usual_case_is_the_known_one() -> None:
    after = upsampling_as_transposed_convolution(resizing(FORMS["linear, half-pixel"]))
    kernel = after.constants[after.nodes[-1].inputs[1]][0, 0]
    assert np.array_equal(kernel, np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25]).astype(np.float32))


@pytest.mark.parametrize("form", OTHERS)
def test_other_forms_stay(form: str) -> None:
    before = resizing(OTHERS[form])
    assert upsampling_as_transposed_convolution(before).nodes == before.nodes


@pytest.mark.parametrize("factors", [(1.5, 1.5), (0.5, 0.5), (1, 1), (32, 32)], ids=str)
def test_other_factors_stay(factors: tuple[float, float]) -> None:
    before = resizing(FORMS["linear, half-pixel"], factors)
    assert upsampling_as_transposed_convolution(before).nodes == before.nodes


def test_two_in_a_row_behind_a_convolution() -> None:
    empty = np.zeros(0, np.float32)
    scales = np.array([1, 1, 2, 2], np.float32)
    steps = [("Resize", [None, empty, scales], dict(FORMS[form])) for form in ("nearest", "linear, asymmetric")]
    before = without("", network(conv(4, 3), *steps, conv(2, 4)))
    after = upsampling_as_transposed_convolution(before)
    assert Counter(node.op for node in after.nodes) == {"Conv": 2, "ConvTranspose": 2, "Slice": 2, "Concat": 2}
    assert np.abs(outputs(after) - outputs(before)).max() <= 1e-6 * np.abs(outputs(before)).max()
