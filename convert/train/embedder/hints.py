"""Which inner tensors of a teacher a student's parts are taught by (hints: Romero et al. 2015, FitNets)."""

from __future__ import annotations

from collections.abc import Sequence

from convert.network import Network, Shape
from convert.shapes import infer_shapes

_LINEAR = frozenset({"Conv", "Add"})
_ACTIVATIONS = frozenset({"PRelu", "Relu", "LeakyRelu", "Clip", "Elu", "Sigmoid"})


def hints_for(teacher: Network, sizes: Sequence[tuple[int, int, int]]) -> tuple[str, ...] | None:
    """For outputs of these sizes (channels, height, width), in order: the teacher's tensors that they imitate.

    They are the teacher's linear bottlenecks: what a convolution or a sum makes and no activation reads, and what is no
    branch that a sum takes up. None where the teacher's are not, size by size, as many: then the embedding alone teaches.
    """
    shapes = infer_shapes(teacher)
    wanted = set(sizes)
    found = [
        (node.output, size)
        for node in teacher.nodes
        if node.op in _LINEAR and _is_bottleneck(teacher, node.output)
        for size in [_size(shapes.get(node.output))]
        if size in wanted
    ]
    if [size for _, size in found] != list(sizes):
        return None
    return tuple(name for name, _ in found)


def _size(shape: Shape | None) -> tuple[int, int, int] | None:
    if shape is None or len(shape) != 4:
        return None
    _, channels, height, width = shape
    return None if channels is None or height is None or width is None else (channels, height, width)


def _is_bottleneck(network: Network, name: str) -> bool:
    readers = network.readers(name)
    if not readers or any(node.op in _ACTIVATIONS for node in readers):
        return False
    # A branch is read by nothing but the sum that it goes into; the tensor beside it is read by the next branch, too.
    return not (len(readers) == 1 and readers[0].op == "Add")
