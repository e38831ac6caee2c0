"""What an integer network computes, without the runtime that will run it: every tensor's exact integers, many pictures at once.

Bit for bit what ai-edge-litert gives with XNNPACK on x86-64. tflite-runtime's own kernels round otherwise here and there. A float32
island is only as exact as float32 sums are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.network import Array, Floats, Node
from convert.quantise.form import HIGH, LAYERS, LOW, Grid, IntegerNetwork, Layer, limits
from convert.quantise.formulas import (
    Step,
    activated,
    add,
    factors,
    leaky_relu,
    multiply,
    plain,
    requantise,
    to_integer,
    to_real,
)
from convert.runners.torch import import_torch
from convert.targets.tensorflow_ops.windows import pair, window
from edge.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

_EXACT = 1 << 24
"""Whole numbers up to here are exact in float32."""
PURPOSE = "simulating an integer network"


class IntegerSimulator:
    """Runs an IntegerNetwork with PyTorch."""

    def __init__(self, integer: IntegerNetwork, *, device: str = "cpu", step: Step = plain) -> None:
        """`step` is what becomes of each rounding: see convert.quantise.formulas."""
        self.integer = integer
        self._torch = import_torch(PURPOSE)
        self._device = self._torch.device(device)
        self._step = step
        self._layers = {name: self._held(name, layer) for name, layer in integer.layers.items()}

    def run(self, pixels: Array, wanted: Sequence[str] | None = None) -> dict[str, Array]:
        """uint8 (N, H, W, C) -> tensors by name: every one, or those `wanted`; int8 NCHW, float32 what is computed so."""
        self._check(pixels)
        with self._torch.no_grad():
            made = self.tensors(self._torch.from_numpy(np.array(pixels.transpose(0, 3, 1, 2))), wanted)
        return {name: self._array(name, value) for name, value in made.items()}

    def outputs(self, pixels: Array, *, outputs: str = "uint8") -> Floats:
        """uint8 (N, H, W, C) -> the only output in real numbers, float32; of a file that returns `outputs`."""
        name = self.integer.network.output_name
        made = self._torch.from_numpy(self.run(pixels, (name,))[name]).float()
        is_integer, grid = name not in self.integer.floats, self.integer.grids[name]
        if not is_integer and outputs == "float32":
            return np.asarray(made.numpy(), np.float32)
        return np.asarray(to_real(made if is_integer else to_integer(made, grid), grid).numpy(), np.float32)

    def tensors(self, pixels: Tensor, wanted: Sequence[str] | None = None) -> dict[str, Tensor]:
        """The same for a uint8 (N, C, H, W) tensor; integers are held in float32."""
        network = self.integer.network
        made = {network.input_name: pixels.to(self._device).float() - 128}
        nodes = list(self.integer.steps())
        last = {name: place for place, (node, _) in enumerate(nodes) for name in node.inputs}
        keep = (
            {network.input_name, *(self.integer.result(node) for node, _ in nodes)} if wanted is None else set(wanted)
        )
        unknown = sorted(keep - {network.input_name} - {self.integer.result(node) for node, _ in nodes})
        if unknown:
            raise ModelError(
                f"no tensor {', '.join(unknown)}", expected="one that a node makes, its activation included"
            )
        for place, (node, activation) in enumerate(nodes):
            made[self.integer.result(node)] = self._made(node, activation, made)
            for name in node.inputs:
                if last.get(name) == place and name not in keep:
                    made.pop(name, None)
        return {name: value for name, value in made.items() if name in keep}

    def _made(self, node: Node, activation: Node | None, made: Mapping[str, Tensor]) -> Tensor:
        integer = self.integer
        real = integer.is_float(node)
        inputs = [self._given(name, made, real=real) for name in node.inputs if name not in integer.network.constants]
        ends = None if activation is None else limits(integer.network, activation)
        if real:
            value = REALS[node.op](self, node, inputs)
            return value if ends is None else value.clamp(ends[0], ends[1])
        grids = [integer.grids[name] for name in node.inputs if name not in integer.network.constants]
        result = integer.grids[integer.result(node)]
        if node.op in LAYERS:
            return self._layer(node, inputs[0], activated(result, ends))
        return INTEGERS[node.op](Place(node, integer, (*grids, result), activated(result, ends), self._step), inputs)

    def _given(self, name: str, made: Mapping[str, Tensor], *, real: bool) -> Tensor:
        """A tensor as a float32 node reads it, or as an integer one does."""
        is_real = name in self.integer.floats
        if real == is_real:
            return made[name]
        grid = self.integer.grids[name]
        return to_real(made[name], grid) if real else to_integer(made[name], grid, step=self._step)

    def _layer(self, node: Node, values: Tensor, ends: tuple[int, int]) -> Tensor:
        held = self._layers[node.output]
        centred = (values - held.zero_point).to(held.weights.dtype)
        sums = convolved(node, centred, held.weights, held.bias) if node.op == "Conv" else dense(centred, held)
        return requantise(sums, held.factor, held.result.zero_point, ends, self._step)

    def _held(self, name: str, layer: Layer) -> _Held:
        torch, integer = self._torch, self.integer
        node = next(node for node in integer.network.nodes if node.output == name)
        source, result = integer.grids[node.inputs[0]], integer.grids[integer.result(node)]
        inside = tuple(range(1, layer.weights.ndim))
        greatest = np.abs(layer.weights.astype(np.int64)).sum(axis=inside) * (HIGH - LOW) + np.abs(
            layer.bias.astype(np.int64)
        )
        dtype = torch.float32 if greatest.max() < _EXACT else torch.float64
        factor = torch.from_numpy(
            factors(source, layer.scales, result).reshape(-1, *(1,) * (2 if node.op == "Conv" else 0))
        )
        weights, bias = (
            torch.from_numpy(np.array(value)).to(self._device, dtype) for value in (layer.weights, layer.bias)
        )
        return _Held(weights, bias, factor.to(self._device), source.zero_point, result)

    def _check(self, pixels: Array) -> None:
        _, channels, height, width = self.integer.network.input_shape
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (height, width, channels):
            raise ModelError(
                f"pixels of {pixels.dtype} {pixels.shape}", expected=f"uint8 (N, {height}, {width}, {channels})"
            )

    def _array(self, name: str, value: Tensor) -> Array:
        found: Array = value.cpu().numpy()
        return found if name in self.integer.floats else found.astype(np.int8)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A layer's integers as tensors, in a dtype in which its sums are exact."""

    weights: Tensor
    bias: Tensor
    factor: Tensor
    zero_point: int
    result: Grid


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A node without weights, its grids (inputs, and last the result), and what its activation lets through."""

    node: Node
    integer: IntegerNetwork
    grids: tuple[Grid, ...]
    ends: tuple[int, int]
    step: Step


def convolved(node: Node, values: Tensor, weights: Tensor, bias: Tensor) -> Tensor:
    """Convolution of a picture with zeros around it, in the tensors' own dtype."""
    functional = import_torch(PURPOSE).nn.functional
    how = window(node.attributes, pair(weights.shape[2:], "kernel"), (values.shape[2], values.shape[3]))
    (top, bottom), (left, right) = how.around
    values = functional.pad(values, (left, right, top, bottom)) if how.is_padded else values
    return functional.conv2d(
        values, weights, bias, how.strides, dilation=how.dilations, groups=int(node.attributes.get("group", 1))
    )


def dense(values: Tensor, held: _Held) -> Tensor:
    """Rows times weights (out, in), and the bias."""
    return import_torch(PURPOSE).nn.functional.linear(values, held.weights, held.bias)


def pooled(node: Node, values: Tensor) -> Tensor:
    """MaxPool; what lies outside never counts."""
    functional = import_torch(PURPOSE).nn.functional
    how = window(node.attributes, pair(node.attributes["kernel_shape"], "kernel"), (values.shape[2], values.shape[3]))
    (top, bottom), (left, right) = how.around
    values = functional.pad(values, (left, right, top, bottom), value=-np.inf) if how.is_padded else values
    return functional.max_pool2d(values, how.kernel, how.strides)


def _joined(node: Node, inputs: list[Tensor]) -> Tensor:
    return import_torch(PURPOSE).cat(inputs, int(node.attributes["axis"]))


def _shaped(integer: IntegerNetwork, node: Node, values: Tensor) -> Tensor:
    return values.reshape(len(values), *(int(size or 0) for size in integer.shapes[node.output][1:]))


def _leaky(place: Place, inputs: list[Tensor]) -> Tensor:
    source, result = place.grids
    return leaky_relu(inputs[0], float(place.node.attributes.get("alpha", 0.01)), source, result, place.step)


INTEGERS: dict[str, Callable[[Place, list[Tensor]], Tensor]] = {
    "Add": lambda place, inputs: add(_two(inputs), _three(place), place.ends, place.step),
    "Sub": lambda place, inputs: add(_two(inputs), _three(place), place.ends, place.step, sign=-1),
    "Mul": lambda place, inputs: multiply(_two(inputs), _three(place), place.ends, place.step),
    "Relu": lambda place, inputs: _clamped(place, inputs[0]),
    "Clip": lambda place, inputs: _clamped(place, inputs[0]),
    "LeakyRelu": _leaky,
    "Concat": lambda place, inputs: _joined(place.node, inputs),
    "MaxPool": lambda place, inputs: pooled(place.node, inputs[0]),
    "Flatten": lambda place, inputs: _shaped(place.integer, place.node, inputs[0]),
    "Reshape": lambda place, inputs: _shaped(place.integer, place.node, inputs[0]),
}
"""Operators on integers, but those with weights."""


def _two(inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
    one, other = inputs
    return one, other


def _three(place: Place) -> tuple[Grid, Grid, Grid]:
    one, other, result = place.grids
    return one, other, result


def _clamped(place: Place, values: Tensor) -> Tensor:
    """A Relu or Clip that is not fused: on the grid of what it reads."""
    return values.clamp(*activated(place.grids[-1], limits(place.integer.network, place.node)))


def _real_layer(simulator: IntegerSimulator, node: Node, inputs: list[Tensor]) -> Tensor:
    constants = simulator.integer.network.constants
    torch = import_torch(PURPOSE)
    weights, bias = (
        torch.from_numpy(np.array(constants[name], np.float32)).to(inputs[0].device) for name in node.inputs[1:3]
    )
    if node.op == "Conv":
        return convolved(node, inputs[0], weights, bias)
    return torch.nn.functional.linear(inputs[0], weights, bias)


REALS: dict[str, Callable[[IntegerSimulator, Node, list[Any]], Any]] = {
    "Conv": _real_layer,
    "Gemm": _real_layer,
    "Add": lambda _, __, inputs: inputs[0] + inputs[1],
    "Sub": lambda _, __, inputs: inputs[0] - inputs[1],
    "Mul": lambda _, __, inputs: inputs[0] * inputs[1],
    "Relu": lambda _, __, inputs: inputs[0].clamp(min=0),
    "Clip": lambda _, __, inputs: inputs[0].clamp(0, 6),
    "LeakyRelu": lambda _, node, inputs: inputs[0].where(
        inputs[0] >= 0, inputs[0] * float(node.attributes.get("alpha", 0.01))
    ),
    "Concat": lambda _, node, inputs: _joined(node, inputs),
    "MaxPool": lambda _, node, inputs: pooled(node, inputs[0]),
    "Flatten": lambda simulator, node, inputs: _shaped(simulator.integer, node, inputs[0]),
    "Reshape": lambda simulator, node, inputs: _shaped(simulator.integer, node, inputs[0]),
}
"""Operators of float32 islands."""
