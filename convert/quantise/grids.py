"""Which integers stand for a network: a grid for each tensor from its range, int8 weights, int32 biases.

Jacob et al. 2018, section 2.1, and https://www.tensorflow.org/lite/performance/quantization_spec.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from convert.network import Array, Floats, Network, Node
from convert.quantise.form import HIGH, LAYERS, LOW, WEIGHT_HIGH, Grid, IntegerNetwork, Layer, steps
from convert.quantise.prepare import faults, refuse
from convert.quantise.spans import RATIOS, Ranges, spans
from convert.shapes import infer_shapes
from edge.errors import ModelError

_STEPS = HIGH - LOW
_REQUANTISE_HIGH = 256.0
"""Of input scale * weight scale / output scale: XNNPACK refuses a file with 256 or more."""
_REQUANTISE_LOW = 2.0**-24
"""Less is nothing: a channel's whole sum would not make a step of the output."""
_BIAS_HIGH = 2.0**30
"""Steps of a bias; the sum of products takes the other half of an int32."""
_PRODUCT = (2.0**-16, 2.0**8)
"""Of a Mul: product of the inputs' scales / scale of the result."""


def grid_of(low: float, high: float) -> Grid:
    """The int8 grid that spans low..high and 0, on which 0 is exact: paddings and ReLU need it."""
    low, high = min(low, 0.0), max(high, 0.0)
    if not np.isfinite(high - low):
        raise ModelError(f"a range from {low} to {high}", expected="two numbers")
    # Of a tensor that is always 0 nothing is known: any scale does.
    scale = max((high - low) / _STEPS, float(np.finfo(np.float32).tiny)) if high > low else 1 / _STEPS
    return Grid(scale, int(np.clip(round(LOW - low / scale), LOW, HIGH)))


def input_grid(network: Network) -> Grid:
    """The grid on which a byte of the picture is a step: (p - mean) / std, 128 steps down.

    ModelError where `mean` is no byte: convert.passes.fold.centre_on_a_byte makes it one where it can.
    """
    if network.mean != round(network.mean) or not 0 <= network.mean <= 255:
        found = f"an input that is 0 at pixel {network.mean:g}"
        raise ModelError(found, where=network.input_name, expected="a whole pixel value from 0 to 255")
    return Grid(1 / network.std, int(network.mean) + LOW)


def integer_network(
    network: Network,
    ranges: Ranges,
    *,
    floats: frozenset[str] = frozenset(),
    weight_clip: Mapping[str, Floats] | None = None,
) -> IntegerNetwork:
    """Integers for a prepared network (convert.quantise.prepare.prepared).

    `ranges` are (least, greatest) of tensors: of what each node makes, where an activation is fused of what that makes;
    what lies on the grid of its source needs none. `floats` are tensors to be computed in float32. `weight_clip` gives a
    layer's output -> greatest magnitude (out,) of its weights where that is not to be their own. ModelError, with all names,
    where ranges are missing or the network holds what integers cannot.
    """
    shapes = infer_shapes(network)
    refuse(network, faults(network, shapes))
    unknown = sorted((floats | set(weight_clip or {})) - set(network.tensors()))
    if unknown:
        raise ModelError(f"no tensor {', '.join(unknown)}", expected="what a node makes")
    # Whether the layer is named or the activation fused into it: both are one step.
    pairs = ({node.output, (last or node).output} for node, last in steps(network))
    floats = frozenset().union(*(pair for pair in pairs if pair & floats))
    given = input_grid(network)
    found = spans(network, ranges, floats, (given.low, given.high))
    grids = {name: grid_of(*span) for name, span in found.items()}
    # Those that lie on the input's grid have it itself, not one of rounded ends.
    grids |= {name: given for name, span in found.items() if span == found[network.input_name]}
    made = IntegerNetwork(network, grids, {}, shapes, floats)
    _check_ratios(made)
    layers = {
        node.output: _layer(made, node, (weight_clip or {}).get(node.output))
        for node in network.nodes
        if node.op in LAYERS and not made.is_float(node)
    }
    return IntegerNetwork(network, grids, layers, shapes, floats)


def _layer(integer: IntegerNetwork, node: Node, clip: Floats | None) -> Layer:
    constants = integer.network.constants
    values = constants[node.inputs[1]], constants[node.inputs[2]]
    grids = integer.grids[node.inputs[0]], integer.grids[integer.result(node)]
    try:
        return quantised_layer(*values, grids, clip)
    except ModelError as error:
        raise ModelError(error.problem, where=str(node), expected=error.expected, hint=error.hint) from error


def quantised_layer(weights: Array, bias: Array, grids: tuple[Grid, Grid], clip: Floats | None = None) -> Layer:
    """Integers of a layer between the grids of its input and its output: symmetric, a scale for each output channel, ties to even.

    `weights` have the output channels first. `clip` (out,) bounds their magnitudes; None takes the greatest there is.
    """
    source, result = grids
    inside = tuple(range(1, weights.ndim))
    exact, offsets = weights.astype(np.float64), bias.astype(np.float64).reshape(-1)
    greatest = np.abs(exact).max(axis=inside) if clip is None else np.asarray(clip, np.float64)
    scales = np.maximum(greatest / WEIGHT_HIGH, _least_scales(offsets, grids)).astype(np.float32)
    factor = float((scales.astype(np.float64) * source.scale / result.scale).max())
    if not factor < _REQUANTISE_HIGH:
        found, hint = f"one step of a sum is {factor:.3g} steps of the output", "The output's range is too narrow."
        raise ModelError(found, expected=f"less than {_REQUANTISE_HIGH:.0f}", hint=hint)
    across = scales.astype(np.float64).reshape(-1, *(1,) * len(inside))
    integers = np.clip(np.rint(exact / across), -WEIGHT_HIGH, WEIGHT_HIGH).astype(np.int8)
    steps_of_bias = np.rint(offsets / bias_scales(source, scales).astype(np.float64))
    sums = np.abs(integers.astype(np.int64)).sum(axis=inside) * _STEPS
    if np.any(np.abs(steps_of_bias) + sums > np.iinfo(np.int32).max):
        raise ModelError("sums that do not fit 32 bits", hint="A bias is out of all proportion to its weights.")
    return Layer(integers, scales, steps_of_bias.astype(np.int32))


def bias_scales(source: Grid, scales: Floats) -> Floats:
    """Step of a layer's sums and biases, a channel: the float32 product that every runtime forms."""
    return np.asarray(np.float32(source.scale) * scales.astype(np.float32), np.float32)


def _least_scales(bias: Array, grids: tuple[Grid, Grid]) -> Array:
    """Smaller scales of weights would drive the bias out of its half of an int32, or make a step of the sum nothing: dead channels."""
    source, result = grids
    return np.maximum(np.abs(bias) / (_BIAS_HIGH * source.scale), _REQUANTISE_LOW * result.scale / source.scale)


def _check_ratios(integer: IntegerNetwork) -> None:
    """ModelError, with all of them, where grids are too far apart for XNNPACK's fixed point."""
    found = []
    for node, _ in steps(integer.network):
        if not integer.is_float(node):
            result = integer.grids[integer.result(node)].scale
            inputs = [integer.grids[name].scale for name in node.inputs if name in integer.grids]
            found += [
                f"{node} ({ratio:.3g})" for ratio, ends in _ratios(node, inputs, result) if not _inside(ratio, ends)
            ]
    if found:
        hint = "Compute them in float32, or use a ReLU for a slope next to 0."
        raise ModelError(f"scales too far apart: {', '.join(found)}", expected="2^-8 to 2^7", hint=hint)


def _ratios(node: Node, inputs: list[float], result: float) -> list[tuple[float, tuple[float, float]]]:
    if node.op == "Mul":
        return [(inputs[0] * inputs[1] / result, _PRODUCT)]
    found = [(scale / result, RATIOS[node.op]) for scale in inputs] if node.op in RATIOS else []
    if node.op == "LeakyRelu":
        found.append((abs(float(node.attributes.get("alpha", 0.01))) * inputs[0] / result, RATIOS[node.op]))
    return found


def _inside(ratio: float, ends: tuple[float, float]) -> bool:
    return ends[0] <= ratio < ends[1]
