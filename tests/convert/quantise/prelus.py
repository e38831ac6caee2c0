"""Small networks with PReLU, as faces are embedded, and pictures for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from convert.network import Network
from convert.quantise.channels import rescaled, ties_of
from convert.quantise.observe import run_float
from tests.convert.networks import FLATTEN, conv, network, step
from tests.convert.quantise.integers import SAME

STEEP = (-1.5, -1.0, -0.3, 0.0, 0.2, 0.9, 1.0, 2.5)
"""Slopes on both sides of 1, and 1 itself, where nothing is bent."""


def prelu(*slopes: float) -> Any:
    """One slope a channel of a picture."""
    return step("PRelu", np.array(slopes, np.float32).reshape(-1, 1, 1))


def spread(channels: int, seed: int = 0, most: float = 1.8) -> Any:
    """A PReLU with slopes from -1 to `most`."""
    return prelu(*np.random.default_rng([seed, channels]).uniform(-1, most, channels))


def uneven(made: Network, seed: int = 0) -> Network:
    """The same function with inner channels of very different size: what equalising is for."""
    ties = ties_of(made)
    widths = [made.constants[tie.makers[0].inputs[1]].shape[0] for tie in ties]
    generator = np.random.default_rng(seed)
    return rescaled(made, ties, [np.float32(10.0) ** generator.uniform(-1.5, 1.5, width) for width in widths])


def prelu_embedder() -> Network:
    """16x16 pixels to a row of 12: stem, a bottleneck with a shortcut, a filter over the whole picture, a dense layer."""
    dense = np.random.default_rng(7).normal(0, 0.3, (12, 24)).astype(np.float32)
    made = network(
        conv(8, 3, strides=(2, 2), **SAME), spread(8),
        conv(16, 8, (1, 1)), spread(16), conv(16, 1, group=16, **SAME), spread(16, 1), conv(8, 16, (1, 1)), step("Add", "t1"),
        conv(24, 8, (1, 1)), spread(24), conv(24, 1, (8, 8), group=24), FLATTEN,
        step("Gemm", dense, np.zeros(12, np.float32), transB=1), size=16,
    )  # fmt: skip
    return replace(uneven(made), mean=128.0, std=128.0)


def pictures(made: Network, count: int = 12, seed: int = 0) -> Any:
    """uint8 (N, H, W, C): smooth, so that neighbouring pixels go together."""
    _, channels, height, width = made.input_shape
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (count, -(-height // 4), -(-width // 4), channels))
    fine = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width] + generator.integers(
        -20, 21, (count, height, width, channels)
    )
    return np.clip(fine, 0, 255).astype(np.uint8)


def output_of(made: Network, shown: Any) -> Any:
    """(N, ...) of the float network."""
    return np.concatenate(run_float(made, shown)[made.output_name])
