"""Operators over the places of a picture: pooling, padding, and blocks of pixels as channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.network import Floats, Node
from convert.targets.tensorflow_ops.emission import Emission, Emitter, Held, Tensor
from convert.targets.tensorflow_ops.layout import NHWC
from convert.targets.tensorflow_ops.resize import resize
from convert.targets.tensorflow_ops.shapes import numbers
from convert.targets.tensorflow_ops.windows import Window, pair, places, window
from edge.errors import ModelError

NOT_NEGATIVE = frozenset({"Relu", "Sigmoid", "Softmax", "Abs", "Exp"})


def pool_window(node: Node, image: Tensor) -> Window:
    """The window of a pooling operator over an NHWC picture."""
    kernel = pair(node.attributes.get("kernel_shape") or (), "kernel_shape")
    return window(node.attributes, kernel, (image.shape[1], image.shape[2]))


def pooled(tf: Any, image: Tensor, how: Window, kind: tuple[str, str]) -> Tensor:
    """MAX or AVG, with SAME or VALID."""
    name, padding = kind
    if how.dilations != (1, 1):
        return tf.nn.pool(image, how.kernel, name, how.strides, padding, dilations=how.dilations)
    compute = tf.nn.max_pool2d if name == "MAX" else tf.nn.avg_pool2d
    return compute(image, how.kernel, how.strides, padding)


def _max_pool(emission: Emission, node: Node) -> Held:
    tf, image = emission.tf, emission.image(node)
    how = pool_window(node, image)
    if how.is_padded and not how.same:
        image = _padded_for_max(emission, node, image, how)
    return Held(pooled(tf, image, how, ("MAX", "SAME" if how.same else "VALID")), NHWC)


def _padded_for_max(emission: Emission, node: Node, image: Tensor, how: Window) -> Tensor:
    """The picture with values around it that are never the largest in a window, and that a quantised tensor can hold."""
    tf, around = emission.tf, [(0, 0), *how.around, (0, 0)]
    maker = emission.network.maker(node.inputs[0])
    if maker is not None and maker.op in NOT_NEGATIVE:
        return tf.pad(image, around)
    if how.dilations == (1, 1) and all(
        2 * max(pads) <= size for pads, size in zip(how.around, how.kernel, strict=True)
    ):
        # A window that reaches k pixels out sees at least k pixels inside, and so what they mirror.
        return tf.pad(image, around, mode="SYMMETRIC")
    return tf.pad(image, around, constant_values=np.finfo(np.float32).min)


def _average_pool(emission: Emission, node: Node) -> Held:
    tf, image = emission.tf, emission.image(node)
    how = pool_window(node, image)
    counts_pads = bool(node.attributes.get("count_include_pad", 0))
    if not how.is_padded or (how.same and not counts_pads):
        return Held(pooled(tf, image, how, ("AVG", "SAME" if how.same else "VALID")), NHWC)
    made = pooled(tf, tf.pad(image, [(0, 0), *how.around, (0, 0)]), how, ("AVG", "VALID"))
    factors = shares(how, (image.shape[1], image.shape[2]), counts_pads=counts_pads)
    return Held(made if np.all(factors == 1) else made * factors, NHWC)


def shares(how: Window, size: Any, *, counts_pads: bool) -> Floats:
    """Kernel size over the number of values that a window counts, (1, H, W, 1)."""
    counted = []
    for axis in (0, 1):
        if size[axis] is None:
            raise ModelError("padding of a picture whose size is open", expected="a fixed size")
        before, after = how.pads[axis]
        kernel, stride, step = how.kernel[axis], how.strides[axis], how.dilations[axis]
        many = places(size[axis], how.pads[axis], how.extra[axis], (kernel, stride, step))
        seen = np.arange(many)[:, None] * stride + np.arange(kernel)[None] * step - before
        low, high = (-before, size[axis] + after) if counts_pads else (0, size[axis])
        counted.append(np.maximum(((seen >= low) & (seen < high)).sum(1), 1))
    made = how.kernel[0] * how.kernel[1] / (counted[0][:, None] * counted[1][None])
    return np.asarray(made[None, :, :, None], np.float32)


def _over_all(name: str) -> Emitter:
    def emit(emission: Emission, node: Node) -> Held:
        held = emission.input(node)
        over = [held.place(axis) for axis in range(2, held.rank)]
        return Held(getattr(emission.tf, name)(held.tensor, over, keepdims=True), held.axes)

    return emit


def _pad(emission: Emission, node: Node) -> Held:
    held, pads = emission.input(node), numbers(emission, node, 1, "pads")
    axes = [held.axis(axis) for axis in numbers(emission, node, 3, "axes") or range(held.rank)]
    if pads is None or len(pads) != 2 * len(axes):
        raise ModelError(f"pads {pads}", expected=f"{2 * len(axes)} constants")
    around = [(0, 0)] * held.rank
    for index, axis in enumerate(axes):
        around[held.axes.index(axis)] = (pads[index], pads[index + len(axes)])
    cuts = tuple(_kept(size, pads) for size, pads in zip(held.tensor.shape.as_list(), around, strict=True))
    values = held.tensor if all(cut == slice(None) for cut in cuts) else held.tensor[cuts]
    grown = [(max(0, before), max(0, after)) for before, after in around]
    return Held(_grown(emission, node, values, grown), held.axes)


def _kept(size: int | None, pads: tuple[int, int]) -> slice:
    """What negative padding leaves."""
    before, after = (max(0, -pad) for pad in pads)
    if not before and not after:
        return slice(None)
    return slice(before, -after or None) if size is None else slice(before, size - after)


def _grown(emission: Emission, node: Node, values: Tensor, around: list[tuple[int, int]]) -> Tensor:
    tf, mode = emission.tf, node.attributes.get("mode", "constant")
    if not any(map(any, around)):
        return values
    if mode == "constant":
        fill = emission.optional(node, 2)
        number = float(node.attributes.get("value", 0.0)) if fill is None else fill.reshape(()).item()
        # TensorFlow merges a Pad of channels into the convolution behind it, and then finds too many channels.
        is_usual = not number and not (len(around) == 4 and any(around[3]))
        return (
            tf.pad(values, around)
            if is_usual
            else tf.raw_ops.PadV2(input=values, paddings=around, constant_values=number)
        )
    if mode == "reflect":
        return tf.pad(values, around, mode="REFLECT")
    if mode != "edge":
        raise ModelError(f"mode {mode!r}", expected="constant, reflect or edge")
    # One mirrored pixel is the edge itself.
    while any(map(any, around)):
        values = tf.pad(values, [(min(1, before), min(1, after)) for before, after in around], mode="SYMMETRIC")
        around = [(max(0, before - 1), max(0, after - 1)) for before, after in around]
    return values


def _depth_to_space(emission: Emission, node: Node) -> Held:
    tf, image = emission.tf, emission.image(node)
    size, mode = int(node.attributes["blocksize"]), node.attributes.get("mode", "DCR")
    if mode not in {"DCR", "CRD"}:
        raise ModelError(f"mode {mode!r}", expected="DCR or CRD")
    if mode == "CRD":
        # Channel (c, y, x) of the source is (y, x, c) in TensorFlow.
        order = np.arange(int(image.shape[3]), dtype=np.int32).reshape(-1, size * size).T.reshape(-1)
        image = emission.pick(image, order.tolist(), 3)
    return Held(tf.nn.depth_to_space(image, size), NHWC)


def _space_to_depth(emission: Emission, node: Node) -> Held:
    return Held(emission.tf.nn.space_to_depth(emission.image(node), int(node.attributes["blocksize"])), NHWC)


PLACES: dict[str, Emitter] = {
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _over_all("reduce_mean"),
    "GlobalMaxPool": _over_all("reduce_max"),
    "Resize": resize,
    "Pad": _pad,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
