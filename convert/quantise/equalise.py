"""Channels scaled so that all of a tensor use its grid alike.

A tensor has one scale; where one channel reaches 20 and another 0.2, the second has two bits left of eight. Nagel et al. 2019
(section 4.1) balance weights against weights, which matters where weights have one scale too. Here each row of a layer has its own, so
that scaling what a layer makes is free, and only the columns of the layer behind pay. `balance` says whose ranges are made alike: 1
the activations', 0 the columns' (Xiao et al. 2023, SmoothQuant, equation 4, has the same trade under the name alpha).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from convert.network import Array, Network, Node
from convert.quantise.channels import Tie
from convert.quantise.observe import Observation, Observations

_LEAST = 1e-3
"""Of the largest channel: a channel that is dead on all calibration pictures must not be blown up."""


def _extremes(seen: Observation) -> Array:
    return seen.magnitude.astype(np.float64)


def _spread(seen: Observation) -> Array:
    """Root mean square: the whole distribution, not its rarest value."""
    return np.asarray(np.sqrt(np.mean(np.square(seen.samples, dtype=np.float64), axis=1)))


MAGNITUDES: dict[str, Callable[[Observation], Array]] = {"extremes": _extremes, "spread": _spread}
"""What is taken for the size of a channel."""


def equalising_factors(
    network: Network, ties: Sequence[Tie], observations: Observations, *, balance: float, magnitude: str
) -> list[Array]:
    """Factors for `convert.quantise.channels.rescaled`; their geometric mean is 1 in each tie."""
    return [_factor(network, tie, observations, balance, MAGNITUDES[magnitude]) for tie in ties]


def _factor(
    network: Network, tie: Tie, observations: Observations, balance: float, size: Callable[[Observation], Array]
) -> Array:
    seen = [size(observations[name]) for name in tie.tensors if name in observations]
    if not seen or not np.any(reach := np.max(seen, axis=0)):
        return np.ones(1)
    reach = np.maximum(reach, _LEAST * reach.max())
    columns = [column_sizes(network, node) for node in tie.readers]
    known = [column for column in columns if column is not None]
    factor = 1 / reach
    if known:
        column = np.max(known, axis=0)
        column = np.maximum(column, _LEAST * max(column.max(), 1e-30))
        factor = column ** (1 - balance) / reach**balance
    return np.asarray(factor / np.exp(np.mean(np.log(factor))))


def column_sizes(network: Network, node: Node) -> Array | None:
    """(C,) greatest weight that an input channel has in any row, as a part of the greatest weight of that row.

    None for a depthwise convolution: each of its rows has one column, and a scale of its own.
    """
    weights = np.abs(network.constants[node.inputs[1]].astype(np.float64))
    if node.op == "Conv" and int(node.attributes.get("group", 1)) > 1:
        return None
    if node.op == "Gemm" and not node.attributes.get("transB", 0):
        weights = weights.T
    by_row = weights.reshape(weights.shape[0], weights.shape[1], -1).max(axis=2)
    rows = np.maximum(by_row.max(axis=1, keepdims=True), 1e-30)
    return np.asarray((by_row / rows).max(axis=0))
