"""Feeds for the tiny networks, and what ONNX Runtime, an independent implementation, makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from convert.network import Network
from convert.runners.onnx_runtime import OnnxRuntimeRunner


def feeds_of(network: Network, count: int) -> dict[str, Any]:
    """float32 NCHW, 0 to 1, for each input."""
    random = np.random.default_rng(0)
    return {
        port.name: random.random((count, *(size or 1 for size in port.shape[1:])), np.float32)
        for port in network.inputs
    }


def expected_of(network: Network, feeds: dict[str, Any]) -> dict[str, Any]:
    """Outputs for each picture by itself, joined."""
    runner = OnnxRuntimeRunner(network)
    count = len(next(iter(feeds.values())))
    runs = [runner.run({name: value[index : index + 1] for name, value in feeds.items()}) for index in range(count)]
    return {
        name: np.concatenate([run[name] for run in runs]) if count > 1 else runs[0][name] for name in network.outputs
    }


def nhwc(value: Any) -> Any:
    return value.transpose(0, 2, 3, 1) if value.ndim == 4 else value


def nchw(value: Any) -> Any:
    return value.transpose(0, 3, 1, 2) if value.ndim == 4 else value
