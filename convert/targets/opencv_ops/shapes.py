"""Operators that move values or run over axes, in the forms that OpenCV has."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from convert.network import Node
from convert.targets.opencv_ops.arithmetic import for_opencv, negative
from convert.targets.opencv_ops.emission import OpenCvEmission
from convert.targets.tensorflow_ops.emission import Emission, Emitter, Held, Tensor
from convert.targets.tensorflow_ops.layout import Axes
from convert.targets.tensorflow_ops.shapes import cuts, gathered, numbers, reshaped, times
from edge.errors import ModelError


def _slice(emission: OpenCvEmission, node: Node) -> Held:
    held = emission.input(node)
    made = held.tensor
    for place, cut in enumerate(cuts(emission, node, held)):
        size = made.shape[place]
        if cut == slice(None):
            continue
        if size is None:
            raise ModelError("a Slice of an axis whose size is open", expected="a fixed size")
        made = emission.pick(made, list(range(size))[cut], place)
    return Held(made, held.axes)


def _gather(emission: OpenCvEmission, node: Node) -> Held:
    held = emission.input(node)
    axis = held.axis(int(node.attributes.get("axis", 0)))
    chosen = gathered(emission.constant(node, 1), held.shape[axis])
    made = Held(emission.pick(held.tensor, chosen.reshape(-1).tolist(), held.axes.index(axis)), held.axes)
    if chosen.ndim == 1:
        return made
    return reshaped(emission, made, [*held.shape[:axis], *chosen.shape, *held.shape[axis + 1 :]])


def _split(emission: OpenCvEmission, node: Node) -> tuple[Held, ...]:
    held, sizes = emission.input(node), numbers(emission, node, 1, "split")
    place = held.place(int(node.attributes.get("axis", 0)))
    many = len(node.outputs)
    sizes = [int(held.tensor.shape[place]) // many] * many if sizes is None else sizes
    starts = np.cumsum([0, *sizes]).tolist()
    return tuple(
        Held(emission.part(held.tensor, place, (start, size)), held.axes)
        for start, size in zip(starts, sizes, strict=False)
    )


def _repeated(emission: OpenCvEmission, node: Node) -> Held:
    held, counts = times(emission, node)
    made = held.tensor
    for place, axis in enumerate(held.axes):
        made = emission.joined([made] * counts[axis], place)
    return Held(made, held.axes)


def _squeeze(emission: Emission, node: Node) -> Held:
    held, wanted = emission.input(node), numbers(emission, node, 1, "axes")
    removed = (
        [axis for axis, size in enumerate(held.shape) if size == 1] if wanted is None else [*map(held.axis, wanted)]
    )
    return reshaped(emission, held, [size for axis, size in enumerate(held.shape) if axis not in removed])


def _softmax(emission: OpenCvEmission, node: Node) -> Held:
    """Of a matrix: along which axis OpenCV does it for more axes differs from version to version."""
    tf, held = emission.tf, emission.input(node)
    axis = held.axis(int(node.attributes.get("axis", -1)))
    axes: Axes = (*(other for other in held.axes if other != axis), axis)
    tensor = emission.turned(held, axes)
    sizes = tensor.shape.as_list()
    if len(sizes) == 2:
        return Held(tf.nn.softmax(tensor), axes)
    if len(sizes) == 4:
        return Held(_softmax_of_channels(tf, tensor, sizes[3]), axes)
    if None in sizes[1:]:
        raise ModelError("a Softmax of an open size", expected="a fixed size")
    made = tf.nn.softmax(emission.reshape(tensor, [-1, sizes[-1]]))
    return Held(emission.reshape(made, sizes), axes)


def _softmax_of_channels(tf: Any, image: Tensor, many: int) -> Tensor:
    """By convolutions, so that a picture stays one."""
    if many == 2:
        # Softmax of two is the sigmoid of their difference.
        return tf.sigmoid(tf.nn.conv2d(image, np.array([[[[1, -1], [-1, 1]]]], np.float32), 1, "VALID"))
    largest = tf.nn.conv2d(tf.reduce_max(image, [3], keepdims=True), np.ones((1, 1, 1, many), np.float32), 1, "VALID")
    powers = tf.exp(tf.subtract(image, largest))
    return tf.divide(powers, tf.nn.conv2d(powers, np.ones((1, 1, many, many), np.float32), 1, "VALID"))


def _reduced(name: str) -> Emitter:
    def emit(emission: OpenCvEmission, node: Node) -> Held:
        held, given = emission.input(node), numbers(emission, node, 1, "axes")
        if not given and node.attributes.get("noop_with_empty_axes", 0):
            return held
        over = sorted(held.axis(axis) for axis in given or range(held.rank))
        keeps = bool(node.attributes.get("keepdims", 1))
        return _over(emission, held, over, (name, keeps))

    return for_opencv(emit)


def _over(emission: OpenCvEmission, held: Held, over: list[int], how: tuple[str, bool]) -> Held:
    tf, (name, keeps) = emission.tf, how
    if name == "l2":
        total = _over(emission, Held(tf.square(held.tensor), held.axes), over, ("sum", keeps))
        return Held(tf.sqrt(total.tensor), total.axes)
    if name == "min":
        largest = _over(emission, Held(negative(tf, held.tensor), held.axes), over, ("max", keeps))
        return Held(negative(tf, largest.tensor), largest.axes)
    places = sorted(held.axes.index(axis) for axis in over)
    # OpenCV reduces pictures over both axes of places or over one axis.
    if held.rank == 4 and (places == [1, 2] or (len(places) == 1 and places[0])):
        made = Held(getattr(tf, f"reduce_{name}")(emission.known(held.tensor), places, keepdims=True), held.axes)
        return (
            made
            if keeps
            else reshaped(emission, made, [size for axis, size in enumerate(made.shape) if axis not in over])
        )
    return _of_matrix(emission, held, over, how)


def _of_matrix(emission: OpenCvEmission, held: Held, over: list[int], how: tuple[str, bool]) -> Held:
    """Sums and means as the product with a column of ones."""
    name, keeps = how
    if name == "max":
        raise ModelError(f"the largest over axes {over} of {held.rank}", expected="the places of a picture, for OpenCV")
    kept = [axis for axis in range(held.rank) if axis not in over]
    sizes = [held.shape[axis] for axis in over]
    many = prod(size or 0 for size in sizes)
    if not many:
        raise ModelError("a sum over an axis whose size is open", expected="a fixed size")
    rows = emission.reshape(emission.turned(held, (*kept, *over)), [-1, many])
    column = np.full((many, 1), 1 / many if name == "mean" else 1, np.float32)
    target = [1 if axis in over else held.shape[axis] for axis in range(held.rank) if keeps or axis not in over]
    made = emission.tf.matmul(rows, column)
    return reshaped(emission, Held(made, (0, 1)), target) if target else Held(emission.reshape(made, []), ())


def _normalised(emission: OpenCvEmission, node: Node) -> Held:
    tf, held = emission.tf, emission.input(node)
    axis, power = held.axis(int(node.attributes.get("axis", -1))), int(node.attributes.get("p", 2))
    if power == 2:
        # The form that OpenCV knows as Normalize; it adds 1e-10 itself.
        return Held(tf.math.l2_normalize(held.tensor, held.axes.index(axis), epsilon=1e-30), held.axes)
    if power != 1:
        raise ModelError(f"p {power}", expected="1 or 2")
    length = _over(emission, Held(tf.abs(held.tensor), held.axes), [axis], ("sum", True))
    return Held(
        tf.divide(held.tensor, emission.grown(emission.turned(length, held.axes), held.tensor.shape.as_list())),
        held.axes,
    )


SHAPES: dict[str, Emitter] = {
    "Slice": for_opencv(_slice),
    "Gather": for_opencv(_gather),
    "Split": for_opencv(_split),
    "Expand": for_opencv(_repeated),
    "Tile": for_opencv(_repeated),
    "Squeeze": _squeeze,
    "Softmax": for_opencv(_softmax),
    "ReduceMean": _reduced("mean"),
    "ReduceSum": _reduced("sum"),
    "ReduceMax": _reduced("max"),
    "ReduceMin": _reduced("min"),
    "ReduceL2": _reduced("l2"),
    "LpNormalization": for_opencv(_normalised),
}
