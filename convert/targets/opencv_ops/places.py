"""Operators over places and with weights, in the forms that OpenCV has."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.network import Floats, Node
from convert.targets.opencv_ops.arithmetic import for_opencv
from convert.targets.opencv_ops.emission import OpenCvEmission
from convert.targets.tensorflow_ops import EMITTERS
from convert.targets.tensorflow_ops.emission import Emission, Emitter, Held, Tensor
from convert.targets.tensorflow_ops.layout import NHWC, source_order
from convert.targets.tensorflow_ops.places import pool_window, pooled, shares
from convert.targets.tensorflow_ops.shapes import numbers
from convert.targets.tensorflow_ops.weights import conv_weights
from convert.targets.tensorflow_ops.windows import Pair, pair, window
from edge.errors import ModelError


def _conv(emission: Emission, node: Node) -> Held:
    """OpenCV does not see the dilations of a Conv2D, so the kernel gets zeros in between."""
    steps = pair(node.attributes.get("dilations") or (1, 1), "dilations")
    if steps == (1, 1):
        return _usual(emission, node)
    weights = conv_weights(emission, node)
    name = f"{node.output}/spread"
    spread = with_zeros_between(weights, steps)
    how = window(node.attributes, pair(weights.shape[2:], "kernel"), tuple(emission.image(node).shape[1:3]))
    pads = [before for before, _ in how.pads] + [after for _, after in how.pads]
    kept = {key: value for key, value in node.attributes.items() if key in {"group", "strides"}}
    emission.network = emission.network.with_constants({name: spread})
    attributes = {**kept, "pads": tuple(pads)}
    return _usual(emission, Node("Conv", node.name, (node.inputs[0], name, *node.inputs[2:]), node.outputs, attributes))


def with_zeros_between(weights: Floats, steps: Pair) -> Floats:
    """OIHW with `dilations`, as one without."""
    height, width = ((size - 1) * step + 1 for size, step in zip(weights.shape[2:], steps, strict=True))
    made = np.zeros((*weights.shape[:2], height, width), np.float32)
    made[:, :, :: steps[0], :: steps[1]] = weights
    return made


def _usual(emission: Emission, node: Node) -> Held:
    made = EMITTERS[node.op](emission, node)
    return made if isinstance(made, Held) else made[0]


def _max_pool(emission: Emission, node: Node) -> Held:
    """Explicit padding, which OpenCV fills with minus infinity; a mirrored one it reads otherwise."""
    image = emission.image(node)
    how = pool_window(node, image)
    if how.dilations != (1, 1):
        raise ModelError(f"dilations {how.dilations}", expected="none, for OpenCV")
    padding: Any = "SAME" if how.same else "VALID"
    if how.is_padded and not how.same:
        padding = [(0, 0), *how.around, (0, 0)]
    return Held(emission.tf.nn.max_pool2d(image, how.kernel, how.strides, padding), NHWC)


def _average_pool(emission: OpenCvEmission, node: Node) -> Held:
    tf, image = emission.tf, emission.image(node)
    how = pool_window(node, image)
    counts_pads = bool(node.attributes.get("count_include_pad", 0))
    if how.dilations != (1, 1):
        raise ModelError(f"dilations {how.dilations}", expected="none, for OpenCV")
    if not how.is_padded or (how.same and not counts_pads):
        return _usual(emission, node)
    made = pooled(tf, tf.pad(image, [(0, 0), *how.around, (0, 0)]), how, ("AVG", "VALID"))
    factors = shares(how, (image.shape[1], image.shape[2]), counts_pads=counts_pads)
    return Held(made if np.all(factors == 1) else emission.beside_constant(made, factors, tf.multiply), NHWC)


def _pad(emission: OpenCvEmission, node: Node) -> Held:
    mode = node.attributes.get("mode", "constant")
    fill = emission.optional(node, 2) if len(node.inputs) > 2 else None
    number = float(node.attributes.get("value", 0.0)) if fill is None else float(fill.reshape(()))
    if mode == "edge":
        return _with_edges(emission, node)
    held = emission.input(node)
    # OpenCV pads with zeros only.
    is_shifted = mode == "constant" and number != 0
    name = f"{node.output}/known"
    tensor = emission.known(held.tensor)
    emission.values[name] = Held(emission.tf.add(tensor, -number) if is_shifted else tensor, held.axes)
    inputs = (
        name,
        node.inputs[1],
        "" if is_shifted else node.inputs[2] if len(node.inputs) > 2 else "",
        *node.inputs[3:],
    )
    made = _usual(emission, Node("Pad", node.name, inputs, node.outputs, {"mode": mode}))
    if made.tensor.op.type == "PadV2":
        made = Held(_without_pad_v2(emission, made.tensor), made.axes)
    if is_shifted:
        return Held(emission.tf.add(made.tensor, number), made.axes)
    return made if _is_merged_rightly(emission, node) else Held(emission.settled(made.tensor), made.axes)


def _is_merged_rightly(emission: OpenCvEmission, node: Node) -> bool:
    """OpenCV makes a Pad part of the convolution behind it, whose own padding it then forgets, and only if there is one."""
    convolutions = [reader for reader in emission.network.readers(node.output) if reader.op == "Conv"]
    pads = [reader.attributes.get("pads") or (0,) for reader in convolutions]
    is_bare = all(reader.attributes.get("auto_pad", "NOTSET") in {"NOTSET", "VALID"} for reader in convolutions)
    is_picture = emission.input(node).rank == 4
    return not is_picture or (len(convolutions) < 2 and is_bare and not any(map(any, pads)))


def _without_pad_v2(emission: OpenCvEmission, padded: Tensor) -> Tensor:
    """Channels of zeros by a convolution: OpenCV, too, merges a Pad into the convolution behind it, without the channels."""
    tf, image = emission.tf, padded.op.inputs[0]
    around = tf.get_static_value(padded.op.inputs[1])
    kernel = np.pad(np.eye(int(image.shape[3]), dtype=np.float32), ((0, 0), tuple(around[3])))
    wider = tf.nn.conv2d(image, kernel[None, None], 1, "VALID")
    return tf.pad(wider, [*around[:3].tolist(), [0, 0]]) if np.any(around[:3]) else wider


def _with_edges(emission: OpenCvEmission, node: Node) -> Held:
    held, pads = emission.input(node), numbers(emission, node, 1, "pads") or []
    if len(pads) != 2 * held.rank or len(node.inputs) > 3 or min(pads) < 0:
        raise ModelError(f"pads {pads}", expected=f"{2 * held.rank} constants, none negative")
    made = emission.known(held.tensor)
    for axis in range(held.rank):
        place, before, after = held.axes.index(axis), pads[axis], pads[axis + held.rank]
        if before or after:
            size = made.shape[place]
            first, last = emission.part(made, place, (0, 1)), emission.part(made, place, (size - 1, 1))
            made = emission.joined([*[first] * before, made, *[last] * after], place)
    return Held(made, held.axes)


def _depth_to_space(emission: Emission, node: Node) -> Held:
    """A transposed convolution whose kernel puts each channel in its place; OpenCV 4.8 has no other."""
    tf, image, size = emission.tf, emission.image(node), int(node.attributes["blocksize"])
    _, height, width, inside = image.shape
    out = inside // (size * size)
    order = np.arange(inside)
    is_crd = node.attributes.get("mode", "DCR") == "CRD"
    places, channels = (order % (size * size), order // (size * size)) if is_crd else (order // out, order % out)
    kernel = np.zeros((size, size, out, inside), np.float32)
    kernel[places // size, places % size, channels, order] = 1
    shape = [tf.shape(image)[0] if image.shape[0] is None else image.shape[0], height * size, width * size, out]
    return Held(tf.nn.conv2d_transpose(image, kernel, shape, (size, size), "VALID"), NHWC)


def _space_to_depth(emission: Emission, node: Node) -> Held:
    image, size = emission.image(node), int(node.attributes["blocksize"])
    inside = int(image.shape[3])
    order = np.arange(inside * size * size)
    places, channels = order // inside, order % inside
    kernel = np.zeros((size, size, inside, order.size), np.float32)
    kernel[places // size, places % size, channels, order] = 1
    return Held(emission.tf.nn.conv2d(image, kernel, (size, size), "VALID"), NHWC)


def _matmul(emission: OpenCvEmission, node: Node) -> Held:
    """Matrices only: what comes with more axes is made one, where the weights are constant."""
    tensor = emission.plain(node)
    if len(tensor.shape) == 2 or node.inputs[0] in emission.columns:
        return _usual(emission, node)
    weights = emission.constant(node, 1).astype(np.float32)
    sizes = tensor.shape.as_list()
    if weights.ndim != 2 or None in sizes[1:]:
        raise ModelError(f"{weights.ndim} axes", expected="weights of two, for OpenCV")
    rows = emission.tf.matmul(emission.reshape(tensor, [-1, sizes[-1]]), weights)
    made = emission.reshape(rows, [*sizes[:-1], weights.shape[1]])
    return Held(made, source_order(len(sizes)))


def _gemm(emission: Emission, node: Node) -> Held:
    if not node.attributes.get("transA", 0):
        return _usual(emission, node)
    held = emission.input(node)
    name = f"{node.output}/turned"
    emission.values[name] = Held(emission.tf.transpose(emission.turned(held, source_order(2)), [1, 0]), source_order(2))
    attributes = {**node.attributes, "transA": 0}
    return _usual(emission, Node("Gemm", node.name, (name, *node.inputs[1:]), node.outputs, attributes))


def _instance_norm(emission: OpenCvEmission, node: Node) -> Held:
    tf, image = emission.tf, emission.image(node)
    scale, bias = (emission.constant(node, index).astype(np.float32) for index in (1, 2))

    def mean(values: Tensor) -> Tensor:
        return emission.grown(tf.reduce_mean(values, [1, 2], keepdims=True), image.shape.as_list())

    centred = tf.subtract(image, mean(image))
    spread = tf.sqrt(tf.add(mean(tf.square(centred)), np.float32(node.attributes.get("epsilon", 1e-5))))
    return Held(tf.add(tf.multiply(tf.divide(centred, spread), scale), bias), NHWC)


PLACES: dict[str, Emitter] = {
    "Conv": _conv,
    "MatMul": for_opencv(_matmul),
    "Gemm": _gemm,
    "InstanceNormalization": for_opencv(_instance_norm),
    "MaxPool": _max_pool,
    "AveragePool": for_opencv(_average_pool),
    "Pad": for_opencv(_pad),
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
}
