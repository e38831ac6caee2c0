"""Networks of which a file holds the weights alone: nodes written from named weights, every shape checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convert.network import Array, Network, Node, Port, Shape
from edge.errors import ModelError

_TORCH_EPSILON = 1e-5
"""Of torch.nn.BatchNorm1d and 2d where a program says nothing else."""
_ALWAYS_UNUSED = r"(.*\.)?num_batches_tracked"
_SHOWN = 12


class WeightedGraph:
    """Writes nodes in order; each method takes the name of a tensor and gives that of its result.

    Weights have PyTorch's names and shapes. One that is missing is remembered, and `finish` reports all of them; so a graph
    written from no weights at all tells which are needed (`wanted`).
    """

    def __init__(self, weights: Mapping[str, Any], port: Port, where: str = "") -> None:
        """`port` is the only input, NCHW."""
        self.wanted: list[str] = []
        self._weights = weights
        self._where = where
        self._port = port
        self._shapes: dict[str, Shape] = {port.name: port.shape}
        self._nodes: list[Node] = []
        self._constants: dict[str, Array] = {}

    @property
    def input(self) -> str:
        """Name of the input."""
        return self._port.name

    def shape(self, name: str) -> Shape:
        """NCHW of a tensor written so far; None where it is open or where weights are missing."""
        return self._shapes[name]

    def weight(self, name: str, shape: Shape, *, as_shape: Sequence[int] | None = None) -> Shape:
        """Take a weight as a float32 constant of its own name; gives its shape. ModelError where `shape` (None: any) is not met."""
        self.wanted.append(name)
        found = self._weights.get(name)
        if found is None:
            return shape
        if not isinstance(found, np.ndarray) or found.dtype.kind != "f":
            raise ModelError(f"weight {name!r} is no array of real numbers", where=self._where)
        fits = len(found.shape) == len(shape) and all(
            size in {None, got} for size, got in zip(shape, found.shape, strict=True)
        )
        if not fits:
            expected = str([size or "any" for size in shape]).replace("'", "")
            raise ModelError(f"weight {name!r} of shape {list(found.shape)}", where=self._where, expected=expected)
        self._constants[name] = np.array(found if as_shape is None else found.reshape(as_shape), np.float32)
        return tuple(found.shape)

    def has(self, name: str) -> bool:
        """Whether the file has a weight: of a bias that some versions of a network lack."""
        return name in self._weights

    def node(self, op: str, name: str, inputs: tuple[str, ...], shape: Shape, **attributes: Any) -> str:
        """Add any operator; its output has the node's name."""
        self._nodes.append(Node(op, name, inputs, (name,), attributes))
        self._shapes[name] = shape
        return name

    def constant(self, name: str, value: Array) -> str:
        """Add numbers that are not in the file."""
        self._constants[name] = value
        return name

    def conv(self, source: str, name: str, *, stride: int = 1, pad: int = 0, depthwise: bool = False) -> str:
        """torch.nn.Conv2d: `name.weight`, and `name.bias` where it is there."""
        batch, channels, *places = self.shape(source)
        expected = (channels, 1, None, None) if depthwise else (None, channels, None, None)
        filters, _, *kernel = self.weight(f"{name}.weight", expected)
        inputs = (source, f"{name}.weight", *self._bias(name, filters))
        sizes = [_places(size, taken, stride, pad) for size, taken in zip(places, kernel, strict=True)]
        if any(size is not None and size < 1 for size in sizes):
            raise ModelError(f"{name!r} has kernel {kernel} over {places}", where=self._where, expected="a smaller one")
        group = (channels or 1) if depthwise else 1
        attributes = {"strides": (stride, stride), "pads": (pad,) * 4, "group": group}
        return self.node("Conv", name, inputs, (batch, filters, *sizes), **attributes)

    def linear_as_conv(self, source: str, name: str) -> str:
        """torch.nn.Linear over a map of one place, as the 1x1 convolution that it is; so that a norm behind it can be folded."""
        batch, channels, *places = self.shape(source)
        if any(size not in {1, None} for size in places):
            raise ModelError(f"{name!r} follows a map of {places}", where=self._where, expected="one place")
        made = self._weights.get(f"{name}.weight")
        as_shape = (*made.shape, 1, 1) if isinstance(made, np.ndarray) else None
        filters, _ = self.weight(f"{name}.weight", (None, channels), as_shape=as_shape)
        inputs = (source, f"{name}.weight", *self._bias(name, filters))
        return self.node("Conv", name, inputs, (batch, filters, 1, 1))

    def gemm(self, source: str, name: str) -> str:
        """torch.nn.Linear over (N, features)."""
        batch, features = self.shape(source)
        units, _ = self.weight(f"{name}.weight", (None, features))
        inputs = (source, f"{name}.weight", *self._bias(name, units))
        return self.node("Gemm", name, inputs, (batch, units), transB=1)

    def _bias(self, name: str, count: int | None) -> tuple[str, ...]:
        if not self.has(f"{name}.bias"):
            return ()
        self.weight(f"{name}.bias", (count,))
        return (f"{name}.bias",)

    def batch_norm(self, source: str, name: str, *, epsilon: float = _TORCH_EPSILON) -> str:
        """torch.nn.BatchNorm1d or 2d in inference."""
        shape = self.shape(source)
        parts = tuple(f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
        for part in parts:
            self.weight(part, (shape[1],))
        return self.node("BatchNormalization", name, (source, *parts), shape, epsilon=epsilon)

    def prelu(self, source: str, name: str) -> str:
        """torch.nn.PReLU with a slope for each channel."""
        shape = self.shape(source)
        slopes = f"{name}.weight"
        as_shape = (-1, *(1,) * (len(shape) - 2))
        self.weight(slopes, (shape[1],), as_shape=as_shape)
        return self.node("PRelu", name, (source, slopes), shape)

    def max_pool(self, source: str, name: str, *, kernel: int, stride: int, ceil: bool = False) -> str:
        """torch.nn.MaxPool2d without padding."""
        batch, channels, *places = self.shape(source)
        sizes = [_places(size, kernel, stride, 0, ceil=ceil) for size in places]
        attributes = {"kernel_shape": (kernel, kernel), "strides": (stride, stride), "ceil_mode": int(ceil)}
        return self.node("MaxPool", name, (source,), (batch, channels, *sizes), **attributes)

    def activation(self, op: str, source: str, name: str, **attributes: Any) -> str:
        """Any operator of one tensor that keeps its shape: Relu, Sigmoid, Softmax ..."""
        return self.node(op, name, (source,), self.shape(source), **attributes)

    def add(self, first: str, second: str, name: str) -> str:
        """A shortcut. ModelError where the shapes differ."""
        shapes = [self.shape(first), self.shape(second)]
        if any(a not in {None, b} and b is not None for a, b in zip(*shapes, strict=True)):
            raise ModelError(
                f"{name!r} adds {list(shapes[0])} and {list(shapes[1])}", where=self._where, expected="one shape"
            )
        return self.node("Add", name, (first, second), shapes[0])

    def scale(self, source: str, factors: str, name: str) -> str:
        """Each channel by its factor, (N, C, 1, 1)."""
        return self.node("Mul", name, (source, factors), self.shape(source))

    def average(self, source: str, name: str) -> str:
        """The mean of each channel, (N, C, 1, 1)."""
        batch, channels, *_ = self.shape(source)
        return self.node("GlobalAveragePool", name, (source,), (batch, channels, 1, 1))

    def flatten(self, source: str, name: str) -> str:
        """To (N, features), channels outermost."""
        batch, *rest = self.shape(source)
        known = [size for size in rest if size is not None]
        features = int(np.prod(known)) if len(known) == len(rest) else None
        return self.node("Flatten", name, (source,), (batch, features), axis=1)

    def unused(self) -> list[str]:
        """Arrays of the file that no node reads; counters of batches, which mean nothing here, left out."""
        names = (name for name, value in self._weights.items() if isinstance(value, np.ndarray))
        return [name for name in names if name not in self._constants and not re.fullmatch(_ALWAYS_UNUSED, name)]

    def finish(self, outputs: tuple[str, ...], *, training_only: Sequence[str] = ()) -> Network:
        """The network. ModelError lists all weights missing and all unused but those whose names match `training_only`."""
        missing = [name for name in self.wanted if name not in self._constants]
        unused = [name for name in self.unused() if not matches(name, training_only)]
        problems = [f"{len(missing)} weight(s) missing: {_listed(missing)}"] if missing else []
        problems += [f"{len(unused)} weight(s) that it does not use: {_listed(unused)}"] if unused else []
        if problems:
            hint = "The weights belong to another architecture, or to another version of it."
            raise ModelError("; ".join(problems), where=self._where, hint=hint)
        return Network((self._port,), outputs, tuple(self._nodes), self._constants)


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network known by its weights."""

    name: str
    what: str
    """Whose it is and what it does, for lists."""
    port: Port
    """Its input, NCHW."""
    write: Callable[[WeightedGraph], tuple[str, ...]]
    """Writes the nodes, gives the outputs' names."""
    training_only: tuple[str, ...] = ()
    """Patterns of names of weights that only training reads: heads and losses."""

    @property
    def input_shape(self) -> Shape:
        """NCHW."""
        return self.port.shape

    @property
    def keys(self) -> frozenset[str]:
        """Names of the weights it needs."""
        graph = WeightedGraph({}, self.port)
        self.write(graph)
        return frozenset(graph.wanted)

    def network(self, weights: Mapping[str, Any], where: str = "") -> Network:
        """The network with these weights. ModelError names what is missing, unused, or of another shape."""
        graph = WeightedGraph(weights, self.port, f"{where}, as {self.name}" if where else self.name)
        return graph.finish(self.write(graph), training_only=self.training_only)

    def left_out(self, weights: Mapping[str, Any]) -> list[str]:
        """Names of the file's weights that only training reads."""
        return [name for name in weights if matches(name, self.training_only)]


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a whole name matches one of the regular expressions."""
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _places(size: int | None, kernel: int | None, stride: int, pad: int, *, ceil: bool = False) -> int | None:
    """Places after a sliding window (torch.nn.MaxPool2d: a window must begin inside)."""
    if size is None or kernel is None:
        return None
    steps, rest = divmod(size + 2 * pad - kernel, stride)
    return steps + 1 + int(ceil and rest > 0 and (steps + 1) * stride < size + pad)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
