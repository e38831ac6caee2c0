"""Weights rounded so that a layer's sums err least, instead of each weight to its nearest integer.

The error of one rounded weight is made good by the weights that are not rounded yet, as far as their inputs go together: Frantar et
al. 2023 (GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers, algorithm 1), after Hassibi and Stork
1993 (Optimal Brain Surgeon).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convert.network import Array, Network, Node
from convert.quantise.form import WEIGHT_HIGH, IntegerNetwork
from convert.quantise.observe import Observations

_DAMPING = 0.01
"""Of the mean square of the inputs: samples are few, and H must have an inverse."""


def with_error_feedback(integer: IntegerNetwork, observations: Observations) -> IntegerNetwork:
    """The same scales, with other integers in all dense layers and 1x1 convolutions whose inputs were observed.

    In a depthwise convolution nothing could make good: its inputs are the same pixels, moved.
    """
    layers = dict(integer.layers)
    for node in integer.network.nodes:
        seen = observations.get(node.inputs[0])
        if node.output in layers and seen is not None and _is_dense(integer.network, node):
            weights = integer.network.constants[node.inputs[1]].astype(np.float64)
            flat = weights.reshape(weights.shape[0], -1)
            made = rounded_with_feedback(flat, layers[node.output].scales.astype(np.float64), seen.samples)
            layers[node.output] = replace(layers[node.output], weights=made.reshape(weights.shape).astype(np.int8))
    return replace(integer, layers=layers)


def rounded_with_feedback(weights: Array, scales: Array, samples: Array) -> Array:
    """Integers (out, in) for real weights (out, in) with a scale for each row; `samples` are (in, S) inputs."""
    left = weights.copy()
    inputs = samples.astype(np.float64)
    moments = inputs @ inputs.T / inputs.shape[1]
    damping = _DAMPING * max(float(np.mean(np.diag(moments))), 1e-30)
    inverse = np.linalg.inv(moments + damping * np.eye(len(moments)))
    # Upper triangular U with U' U = H^-1: its rows say how to spread the error of each weight over those after it.
    spread = np.linalg.cholesky((inverse + inverse.T) / 2).T
    made = np.zeros_like(left)
    for place in range(left.shape[1]):
        made[:, place] = np.clip(np.rint(left[:, place] / scales), -WEIGHT_HIGH, WEIGHT_HIGH)
        error = (left[:, place] - made[:, place] * scales) / spread[place, place]
        left[:, place + 1 :] -= np.outer(error, spread[place, place + 1 :])
    return made


def _is_dense(network: Network, node: Node) -> bool:
    weights = network.constants[node.inputs[1]]
    return node.op == "Gemm" or (weights.shape[2:] == (1, 1) and int(node.attributes.get("group", 1)) == 1)
