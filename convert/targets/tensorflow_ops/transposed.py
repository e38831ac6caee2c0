"""Transposed convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.network import Floats, Node
from convert.targets.tensorflow_ops.emission import Emission, Held, Tensor
from convert.targets.tensorflow_ops.layout import NHWC
from convert.targets.tensorflow_ops.windows import Pair, pair
from edge.errors import ModelError


def conv_transpose(emission: Emission, node: Node) -> Held:
    """Each pixel spreads its kernel; `pads` then crops what sticks out, unless TensorFlow's SAME crops alike."""
    tf, image = emission.tf, emission.image(node)
    kernel = _kernel(node, emission.constant(node, 1).astype(np.float32), int(image.shape[3]))
    height, width = (_axis(node, axis, image.shape[1 + axis], kernel.shape[axis]) for axis in (0, 1))
    strides = pair(node.attributes.get("strides") or (1, 1), "strides")
    sizes = zip((height, width), image.shape[1:3], strides, kernel.shape[:2], strict=True)
    is_same = all(_is_same(*each) for each in sizes)
    spread = [axis[2] if is_same else axis[0] for axis in (height, width)]
    shape = [tf.shape(image)[0] if image.shape[0] is None else image.shape[0], *spread, kernel.shape[2]]
    made = tf.nn.conv2d_transpose(image, kernel, shape, strides, "SAME" if is_same else "VALID")
    bias = emission.optional(node, 2)
    # Before cropping: there runtimes can make it part of the convolution.
    made = made if bias is None else tf.nn.bias_add(made, bias.astype(np.float32))
    return Held(made if is_same else _cropped(tf, made, (height, width)), NHWC)


def _kernel(node: Node, weights: Floats, channels: int) -> Floats:
    """I(O/groups)HW -> HWOI. Groups become one dense kernel with zeros, dilations zeros between: TensorFlow has neither."""
    groups = int(node.attributes.get("group", 1))
    if weights.ndim != 4 or weights.shape[0] != channels or groups < 1 or channels % groups:
        raise ModelError(f"weights {weights.shape} in {groups} group(s)", expected=f"four axes, {channels} channels")
    inside, outside = channels // groups, weights.shape[1]
    steps = pair(node.attributes.get("dilations") or (1, 1), "dilations")
    height, width = ((size - 1) * step + 1 for size, step in zip(weights.shape[2:], steps, strict=True))
    dense = np.zeros((height, width, outside * groups, channels), np.float32)
    for group in range(groups):
        own = slice(group * inside, (group + 1) * inside)
        part = dense[:: steps[0], :: steps[1], group * outside : (group + 1) * outside, own]
        part[...] = weights[own].transpose(2, 3, 1, 0)
    return dense


def _axis(node: Node, axis: int, size: int | None, reach: int) -> tuple[int, int, int]:
    """(size before cropping, cropped before, size after) of one axis; https://onnx.ai/onnx/operators/onnx__ConvTranspose.html."""
    if size is None:
        raise ModelError("a transposed convolution of a picture whose size is open", expected="a fixed size")
    stride = pair(node.attributes.get("strides") or (1, 1), "strides")[axis]
    more = pair(node.attributes.get("output_padding") or (0, 0), "output_padding")[axis]
    full = stride * (size - 1) + reach + more
    auto, wanted = node.attributes.get("auto_pad", "NOTSET") or "NOTSET", node.attributes.get("output_shape")
    if wanted or auto in {"SAME_UPPER", "SAME_LOWER"}:
        target = pair(wanted[-2:], "output_shape")[axis] if wanted else size * stride
        total = max(0, full - target)
        before = total // 2 if auto == "SAME_UPPER" else total - total // 2
        return max(full, target), before, target
    pads = (0, 0, 0, 0) if auto == "VALID" else tuple(node.attributes.get("pads") or (0, 0, 0, 0))
    before, after = int(pads[axis]), int(pads[axis + 2])
    return full, before, full - before - after


def _is_same(axis: tuple[int, int, int], size: int, stride: int, reach: int) -> bool:
    """Whether SAME crops alike: it gives what a convolution with SAME would have made `size` of."""
    _, before, target = axis
    total = max(0, (size - 1) * stride + reach - target)
    return -(-target // stride) == size and before == total // 2


def _cropped(tf: Any, made: Tensor, axes: tuple[tuple[int, int, int], tuple[int, int, int]]) -> Tensor:
    crops: list[Pair] = [(before, size) for _, before, size in axes]
    if all(before == 0 and full == size for (before, size), (full, _, _) in zip(crops, axes, strict=True)):
        return made
    (top, height), (left, width) = crops
    return tf.slice(made, [0, top, left, 0], [-1, height, width, -1])
