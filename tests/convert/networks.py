"""Tiny networks, one for each thing that an embedder may hold; seeded, so the same in every run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convert.network import Network, Node, single

SIZE = 9
Step = tuple[str, list[Any], dict[str, Any]]
"""Operator, its constant inputs (None: the tensor computed so far; a str: an earlier output, t0, t1, ...), attributes."""


def network(*steps: Step, channels: int = 3, size: int = SIZE) -> Network:
    """Each step reads what the one before it made."""
    nodes, constants, last = [], {}, "image"
    for index, (op, inputs, attributes) in enumerate(steps):
        names = []
        for place, value in enumerate(inputs):
            if value is None or isinstance(value, str):
                names.append(last if value is None else value)
                continue
            names.append(f"c{index}_{place}")
            constants[names[-1]] = np.asarray(value)
        last = f"t{index}"
        nodes.append(Node(op, f"node{index}", tuple(names), (last,), attributes))
    return single("image", (1, channels, size, size), last, tuple(nodes), constants)


def _random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).normal(0, 0.5, shape).astype(np.float32)


def conv(out: int, inside: int, kernel: tuple[int, int] = (3, 3), **attributes: Any) -> Step:
    """A convolution with bias of the tensor so far."""
    return "Conv", [None, _random(out, inside, *kernel), _random(out)], attributes


def batch_norm(channels: int) -> Step:
    """Inference form; variances are positive."""
    parts = [_random(channels, seed=seed) for seed in (1, 2, 3)]
    return "BatchNormalization", [None, *parts, np.abs(_random(channels, seed=4)) + 0.1], {"epsilon": 1e-3}


FLATTEN: Step = ("Flatten", [None], {"axis": 1})
RELU: Step = ("Relu", [None], {})

CASES: dict[str, Callable[[], Network]] = {
    "conv, no padding": lambda: network(conv(4, 3)),
    "conv, padding as SAME": lambda: network(conv(4, 3, pads=(1, 1, 1, 1))),
    "conv, stride 2, padding unlike SAME": lambda: network(conv(4, 3, pads=(1, 1, 1, 1), strides=(2, 2)), size=8),
    "conv, stride 4, 5x5 stem": lambda: network(conv(4, 3, (5, 5), pads=(2, 2, 2, 2), strides=(4, 4)), size=16),
    "conv, lopsided padding": lambda: network(conv(4, 3, pads=(0, 1, 2, 0))),
    "conv, oblong kernel": lambda: network(conv(4, 3, (1, 5), pads=(0, 2, 0, 2))),
    "conv, dilated": lambda: network(conv(4, 3, pads=(2, 2, 2, 2), dilations=(2, 2))),
    "conv, kernel_shape given": lambda: network(conv(4, 3, kernel_shape=(3, 3))),
    "conv without bias": lambda: network(("Conv", [None, _random(4, 3, 3, 3)], {})),
    "depthwise": lambda: network(conv(3, 1, group=3, pads=(1, 1, 1, 1))),
    "depthwise, two outputs a channel": lambda: network(conv(6, 1, group=3)),
    "depthwise, whole picture": lambda: network(conv(3, 1, (9, 9), group=3), FLATTEN),
    "groups": lambda: network(conv(4, 3, (1, 1)), conv(6, 2, group=2)),
    "batch norm behind conv": lambda: network(conv(4, 3), batch_norm(4), RELU),
    "batch norm alone": lambda: network(batch_norm(3), conv(4, 3)),
    "batch norm, conv read twice": lambda: network(conv(4, 3), batch_norm(4), ("Add", [None, "t0"], {})),
    "prelu": lambda: network(conv(4, 3), ("PRelu", [None, _random(4, 1, 1)], {})),
    "prelu, one slope": lambda: network(conv(4, 3), ("PRelu", [None, np.array([0.25], np.float32)], {})),
    "residual": lambda: network(conv(3, 3, pads=(1, 1, 1, 1)), RELU, ("Add", [None, "t0"], {})),
    "channel factors": lambda: network(conv(4, 3), ("Mul", [None, _random(4, 1, 1)], {})),
    "constant first": lambda: network(("Sub", [np.float32(1.0), None], {}), conv(4, 3)),
    "normalised inside": lambda: network(
        ("Sub", [None, np.float32(0.4)], {}), ("Div", [None, np.float32(0.5)], {}), conv(4, 3, pads=(1, 1, 1, 1))
    ),
    "gemm": lambda: network(
        conv(4, 3, (8, 8)), FLATTEN, ("Gemm", [None, _random(5, 16), _random(5)], {"transB": 1, "alpha": 0.5, "beta": 2.0})
    ),
    "matmul": lambda: network(conv(4, 3, (8, 8)), FLATTEN, ("MatMul", [None, _random(16, 5)], {})),
    "reshape": lambda: network(conv(4, 3, (8, 8)), ("Reshape", [None, np.array([0, -1])], {})),
    "reshape to a picture": lambda: network(conv(4, 3, (8, 8)), ("Reshape", [None, np.array([1, 2, 2, 4])], {}), RELU),
    "identity": lambda: network(conv(4, 3), ("Identity", [None], {})),
    "average": lambda: network(conv(4, 3), ("GlobalAveragePool", [None], {}), FLATTEN),
}  # fmt: skip


def picture(made: Network, seed: int = 0) -> Any:
    """float32 NCHW input, 0 to 1."""
    return np.random.default_rng(seed).random(made.input_shape, np.float32)
