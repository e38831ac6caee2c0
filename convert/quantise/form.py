"""A network as integer hardware runs it: int8 tensors with one scale each, int8 weights with one for each output channel.

The form of Jacob et al. 2018 (Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference)
with TFLite's limits (https://www.tensorflow.org/lite/performance/quantization_spec): real = (integer - zero_point) * scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from convert.network import Floats, Network, Node, Shape
from edge.errors import ModelError

Int8s = NDArray[np.int8]
Int32s = NDArray[np.int32]

LOW, HIGH = -128, 127
"""Of an activation."""
WEIGHT_HIGH = 127
"""Weights are symmetric: -127 to 127."""

LAYERS = frozenset({"Conv", "Gemm"})
"""With integer weights."""
SHARING = frozenset({"Flatten", "Reshape", "MaxPool", "Relu", "Clip", "Concat"})
"""Take values as they are: what they make lies on the grid of what they read. (A Relu or Clip may be fused instead.)"""
OPERATORS = LAYERS | SHARING | {"LeakyRelu", "Add", "Sub", "Mul"}
"""What an integer network may hold: what XNNPACK takes with int8 tensors. `prepared` writes other operators in these."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The int8 grid of one tensor: real = (integer - zero_point) * scale. The scale is kept as the nearest float32."""

    scale: float
    zero_point: int = 0

    def __post_init__(self) -> None:
        scale = float(np.float32(self.scale))
        if not 0 < scale < np.inf or not LOW <= self.zero_point <= HIGH:
            raise ModelError(
                f"a grid of scale {self.scale} and zero point {self.zero_point}",
                expected=f"a positive scale, and a zero point from {LOW} to {HIGH}",
            )
        object.__setattr__(self, "scale", scale)

    @property
    def low(self) -> float:
        """The least real number on it."""
        return (LOW - self.zero_point) * self.scale

    @property
    def high(self) -> float:
        """The greatest real number on it."""
        return (HIGH - self.zero_point) * self.scale


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Integers of a Conv or Gemm."""

    weights: Int8s
    """OIHW of a Conv, (out, in) of a Gemm; in float32: weights * scales[out]."""
    scales: Floats
    """(out,) positive."""
    bias: Int32s
    """(out,) in steps of the input's scale * scales[out]."""

    def __post_init__(self) -> None:
        channels = self.weights.shape[:1]
        wrong = [
            f"{name} of {value.dtype} {value.shape}"
            for name, value, dtype in (("scales", self.scales, np.float32), ("bias", self.bias, np.int32))
            if value.dtype != dtype or value.shape != channels
        ]
        if self.weights.dtype != np.int8 or self.weights.ndim not in {2, 4} or wrong:
            found = ", ".join([f"weights of {self.weights.dtype} {self.weights.shape}", *wrong])
            raise ModelError(
                found, expected="int8 weights, and a float32 scale and an int32 bias for each output channel"
            )
        if not np.all(self.scales > 0) or not np.all(np.isfinite(self.scales)):
            raise ModelError("scales of weights that are not positive numbers")

    @property
    def real_weights(self) -> Floats:
        """What the integers stand for."""
        return np.asarray(self.weights * self.scales.reshape(-1, *(1,) * (self.weights.ndim - 1)), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class IntegerNetwork:
    """A float network, and the integers that stand in its place.

    `network` is prepared (convert.quantise.grids.prepared): its normalisation is in `mean` and `std`, `mean` a whole number, and
    every node's operator is one of OPERATORS. What it computes in float32 is what `floats` names; all else is int8.
    """

    network: Network
    grids: Mapping[str, Grid]
    """By tensor: of the input, and of everything that a node makes but what only its fused activation reads."""
    layers: Mapping[str, Layer]
    """By the first output of their node; those of float32 nodes are missing."""
    shapes: Mapping[str, Shape]
    """Of every tensor and constant, NCHW, for one picture."""
    floats: frozenset[str] = field(default_factory=frozenset)
    """Tensors that are computed in float32, from inputs taken back to float32; an integer reader of one gets it on its grid."""

    def is_float(self, node: Node) -> bool:
        """Whether the node, with the activation fused into it, computes in float32."""
        return bool(self.floats.intersection((node.output, self.result(node))))

    def result(self, node: Node) -> str:
        """The tensor that a node makes: of one with a fused activation, what that makes."""
        activation = fused(self.network).get(node.output)
        return node.output if activation is None else activation.output

    def steps(self) -> Iterator[tuple[Node, Node | None]]:
        """Nodes in order, each with the activation fused into it; fused activations have no step of their own."""
        return steps(self.network)


def steps(network: Network) -> Iterator[tuple[Node, Node | None]]:
    """Nodes in order, each with the activation that is computed in the same step."""
    followers = fused(network)
    inside = {node.output for node in followers.values()}
    return ((node, followers.get(node.output)) for node in network.nodes if node.output not in inside)


def fused(network: Network) -> dict[str, Node]:
    """Tensor that a Conv, Gemm, Add, Sub or Mul makes -> the Relu or Clip(0, 6) that alone reads it.

    Both are one step of integer hardware: the sum is never rounded to a grid of its own.
    """
    readers: dict[str, list[Node]] = {}
    for node in network.nodes:
        for name in dict.fromkeys(node.inputs):
            readers.setdefault(name, []).append(node)
    found: dict[str, Node] = {}
    for node in network.nodes:
        follower = readers.get(node.output, [])
        if node.op not in FUSING or network.is_output(node.output) or len(follower) != 1:
            continue
        if limits(network, follower[0]) is not None:
            found[node.output] = follower[0]
    return found


FUSING = LAYERS | {"Add", "Sub", "Mul"}
"""Operators that take an activation into their last step."""


def limits(network: Network, node: Node) -> tuple[float, float] | None:
    """Range of what a Relu (0, inf) or a Clip (0, 6) makes; None for any other node, and for a Clip to other limits."""
    if node.op == "Relu":
        return 0.0, np.inf
    if node.op != "Clip":
        return None
    values = [network.constants.get(name) for name in node.inputs[1:3]]
    if len(values) != 2 or any(value is None or value.size != 1 for value in values):
        return None
    low, high = (float(value.reshape(())) for value in values if value is not None)
    return (low, high) if (low, high) == (0.0, 6.0) else None
