"""How a TensorFlow graph must look for OpenCV to read it rightly; every rule was found on OpenCV 4.8, 4.11 and 5.0.

OpenCV holds tensors with four axes as NCHW and others as they are, and guesses for each whether it is NHWC in TensorFlow.
A Reshape from four axes to any number is read rightly, and an operator with `data_format` settles that a tensor is NHWC;
a Reshape from another number to four is not turned, and a Transpose of four axes means something else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convert.network import Array
from convert.targets.tensorflow_ops.emission import Emission, Tensor
from edge.errors import ModelError

VANISHING = frozenset({"Const", "Identity", "Placeholder", "BatchToSpaceND", "BiasAdd"})
"""Operators that OpenCV takes out or merges into the one before: their names are lost."""
MANY = 512
"""Parts of a Concat beyond which a network is not written this way."""


class OpenCvEmission(Emission):
    """Writes a graph for OpenCV."""

    def reshape(self, tensor: Tensor, sizes: Any) -> Tensor:
        """The values in another shape. One Reshape right after another replaces it."""
        while tensor.op.type == "Reshape" or _only_settles(tensor):
            tensor = tensor.op.inputs[0]
        wanted = [-1 if size is None else int(size) for size in sizes]
        if tensor.shape.as_list() == [None if size < 0 else size for size in wanted]:
            return tensor
        tensor = self.known(tensor)
        if len(wanted) != 4:
            return self.tf.reshape(tensor, wanted)
        rest = wanted[1:]
        if min(rest) < 0:
            raise ModelError(f"a Reshape to {wanted}", expected="all sizes but the batch fixed, for OpenCV")
        if len(tensor.shape) != 4:
            # OpenCV does turn what one axis more makes a picture.
            rows = self.tf.reshape(tensor, [wanted[0], int(np.prod(rest)), 1])
            tensor = self.settled(self.tf.expand_dims(rows, 3))
        # With -1 in front: OpenCV takes [1, 1, a, b] for something else.
        return tensor if tensor.shape[1:] == rest else self.settled(self.tf.reshape(tensor, [-1, *rest]))

    def settled(self, image: Tensor) -> Tensor:
        """The same picture, and it is NHWC."""
        return self.tf.nn.max_pool2d(image, 1, 1, "VALID")

    def known(self, tensor: Tensor) -> Tensor:
        """The same tensor; an input that is a picture says so."""
        return self.settled(tensor) if tensor.op.type == "Placeholder" and len(tensor.shape) == 4 else tensor

    def transpose(self, tensor: Tensor, order: list[int]) -> Tensor:
        """Blocks of axes moved to the end one after the other, each as a Transpose of three axes."""
        sizes = [-1 if size is None else size for size in tensor.shape.as_list()]
        if order[0] != 0 or min([1, *sizes[1:]]) < 0:
            raise ModelError(
                f"a Transpose {order} of {tensor.shape}", expected="a fixed size, the batch in front, for OpenCV"
            )
        now = list(range(len(order)))
        for block in moves(order):
            at = now.index(block[0])
            fixed, rest = now[:at], now[at + len(block) :]
            if rest:
                shape = [int(np.prod([sizes[axis] for axis in part])) for part in (fixed, block, rest)]
                tensor = self.tf.transpose(
                    self.reshape(tensor, [-1 if shape[0] < 0 else shape[0], *shape[1:]]), [0, 2, 1]
                )
                now = [*fixed, *rest, *block]
        return self.reshape(tensor, [sizes[axis] for axis in order])

    def output(self, tensor: Tensor, *, is_named: bool) -> Tensor:
        """The tensor, or once more times 1, where its operator has another name or would lose it."""
        if tensor.op.type == "Const":
            return self._constant_output(tensor)
        is_merged = tensor.op.type == "AddV2" and any(read.op.type == "Const" for read in tensor.op.inputs)
        is_plain = len(tensor.op.outputs) == 1 and tensor.op.type not in VANISHING and not is_merged
        # OpenCV 5 gives only what nothing else reads.
        carries = is_plain and not is_named and not tensor.consumers()
        return tensor if carries else self.tf.multiply(tensor, 1.0)

    def _constant_output(self, tensor: Tensor) -> Tensor:
        """A constant that depends on the input, as OpenCV wants of every output: 0 of its first value + the constant."""
        values = np.asarray(self.tf.get_static_value(tensor), np.float32).reshape(-1)
        first = self.values[self.network.inputs[0].name].tensor
        one = self.part(self.part(self.reshape(first, [1, -1]), 1, (0, 1)), 0, (0, 1))
        made = self.plus(self.tf.matmul(one, np.zeros((1, values.size), np.float32)), values)
        return self.tf.multiply(self.reshape(made, tensor.shape.as_list()), 1.0)

    def joined(self, parts: Sequence[Tensor], place: int) -> Tensor:
        """Concat; a single part as it is."""
        if len(parts) > MANY:
            raise ModelError(f"{len(parts)} parts", expected=f"at most {MANY}")
        return parts[0] if len(parts) == 1 else self.tf.concat(list(parts), place)

    def part(self, tensor: Tensor, place: int, cut: tuple[int, int]) -> Tensor:
        """(first, count) along one axis as it lies."""
        begin, size = [0] * len(tensor.shape), [-1] * len(tensor.shape)
        begin[place], size[place] = cut
        return self.tf.slice(self.known(tensor), begin, size)

    def pick(self, tensor: Tensor, chosen: Sequence[int], place: int) -> Tensor:
        """Runs of neighbours, cut out and joined: OpenCV has no Gather."""
        runs = [index for index, at in enumerate(chosen) if index == 0 or at != chosen[index - 1] + 1]
        pieces = [(chosen[start], end - start) for start, end in zip(runs, [*runs[1:], len(chosen)], strict=True)]
        return self.joined([self.part(tensor, place, piece) for piece in pieces], place)

    def grown(self, tensor: Tensor, shape: Sequence[int | None]) -> Tensor:
        """The tensor repeated to this shape, as it lies: OpenCV does not broadcast everywhere."""
        if len(shape) == 4 and tensor.shape[1:3] == [1, 1] and tuple(shape[1:3]) != (1, 1):
            tensor = self.tf.raw_ops.ResizeNearestNeighbor(images=tensor, size=np.array(shape[1:3], np.int32))
        for place, size in enumerate(shape):
            if size is not None and size > 1 and tensor.shape[place] == 1:
                tensor = self.joined([tensor] * size, place)
        return tensor

    def plus(self, tensor: Tensor, vector: Array) -> Tensor:
        """Tensor + numbers for its channels. OpenCV adds a bare vector along the batch, and one behind a product rightly."""
        if vector.ndim:
            tensor = self.tf.multiply(tensor, np.ones_like(vector))
        return self.tf.add(tensor, vector)

    def beside_constant(self, tensor: Tensor, values: Array, compute: Callable[[Tensor, Array], Tensor]) -> Tensor:
        """compute(tensor, values) for a constant that broadcasts over the tensor as it lies.

        OpenCV reads numbers, and vectors for the channels of pictures or the columns of matrices. With any other constant the
        tensor is made such a vector first.
        """
        rank = len(tensor.shape)
        wide = values.reshape((1,) * (rank - values.ndim) + values.shape)
        if values.size == 1:
            return compute(tensor, values.reshape(()))
        if rank in {2, 4} and wide.size == wide.shape[-1] == tensor.shape[-1]:
            return compute(tensor, wide.reshape(-1))
        sizes = tensor.shape.as_list()
        if None in sizes[1:] or wide.shape[0] != 1:
            raise ModelError(
                f"a constant of shape {list(values.shape)} beside {tensor.shape}", expected="one for each picture"
            )
        row = np.ascontiguousarray(np.broadcast_to(wide[0], sizes[1:]).reshape(-1))
        flat = self.reshape(tensor, [-1, 1, 1, row.size] if rank == 4 else [-1, row.size])
        return self.reshape(compute(flat, row), [sizes[0], *sizes[1:]])


def _only_settles(tensor: Tensor) -> bool:
    """Whether this is what `settled` made of a Reshape."""
    op = tensor.op
    return op.type == "MaxPool" and list(op.get_attr("ksize")) == [1] * 4 and op.inputs[0].op.type == "Reshape"


def moves(order: list[int]) -> list[list[int]]:
    """Runs of neighbours behind what stays in front, in the order in which they must come to the end."""
    start = next((place for place, axis in enumerate(order) if place != axis), len(order))
    made: list[list[int]] = []
    for axis in order[start:]:
        if made and made[-1][-1] + 1 == axis:
            made[-1].append(axis)
        else:
            made.append([axis])
    return made
