"""Biases that take back what quantisation adds on average: Nagel et al. 2019, section 4.2, measured instead of derived."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from convert.network import Array, Floats
from convert.passes.tidy import without_unread
from convert.quantise.form import IntegerNetwork, Layer, steps
from convert.quantise.grids import bias_scales
from convert.quantise.observe import run_float
from convert.quantise.running import run_integer
from edge.datatypes import Image


def channel_means(integer: IntegerNetwork, pictures: Image) -> dict[str, Array]:
    """float64 (C,) mean over pictures and places of what each correctable layer makes in the float network."""
    names = correctable(integer)
    made = run_float(integer.network, pictures, names)
    return {
        name: np.mean([value[0].reshape(value.shape[1], -1).mean(1) for value in made[name]], axis=0) for name in names
    }


def correctable(integer: IntegerNetwork) -> tuple[str, ...]:
    """Outputs of the integer layers whose sum is seen as it is: no activation is fused."""
    return tuple(node.output for node, last in steps(integer.network) if node.output in integer.layers and last is None)


def corrected(integer: IntegerNetwork, pictures: Image, means: Mapping[str, Array]) -> IntegerNetwork:
    """The network with biases such that each layer's mean on these pictures is that of the float network.

    One layer after the other, each measured behind those that are corrected already: all at once, every layer would also take back
    what the ones before it take back, and the biases grow without end.
    """
    for name in correctable(integer):
        excess = _mean(run_integer(_up_to(integer, name), pictures)[name]) - means[name]
        integer = replace(
            integer, layers={**integer.layers, name: _shifted(integer, name, integer.layers[name], excess)}
        )
    return integer


def _up_to(integer: IntegerNetwork, name: str) -> IntegerNetwork:
    """Only what leads to one tensor."""
    network = without_unread(integer.network.with_outputs((name,)))
    return replace(integer, network=network, floats=integer.floats & set(network.tensors()))


def _mean(values: Floats) -> Array:
    """(C,) of NHWC pictures or rows."""
    return np.asarray(values.reshape(-1, values.shape[-1]).mean(axis=0, dtype=np.float64))


def _shifted(integer: IntegerNetwork, name: str, layer: Layer, excess: Array) -> Layer:
    node = next(node for node in integer.network.nodes if node.output == name)
    step = bias_scales(integer.grids[node.inputs[0]], layer.scales).astype(np.float64)
    # A channel that saturates has no bias that helps, and must not be driven away.
    reach = integer.grids[name]
    bound = 0.05 * (reach.high - reach.low)
    shift = np.rint(np.clip(excess, -bound, bound) / step)
    return replace(layer, bias=(layer.bias - shift).astype(np.int32))
