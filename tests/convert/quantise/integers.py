"""Integer networks of tiny networks, and what a TFLite runtime makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.network import Network
from convert.quantise.form import IntegerNetwork, steps
from convert.quantise.grids import Ranges, integer_network
from convert.quantise.prepare import prepared
from convert.runners.layout import to_nchw
from convert.runners.onnx_runtime import OnnxRuntimeRunner
from convert.targets.tflite.integer import integer_bytes
from edge.interpreter import TfliteModel
from tests.convert.networks import CASES, FLATTEN, RELU, conv, ints, network, number, step

CLIP = step("Clip", number(0), number(6))


def _gemm(out: int, inside: int) -> Any:
    generator = np.random.default_rng([out, inside])
    weights, bias = generator.normal(0, 0.5, (out, inside)), generator.normal(0, 0.5, out)
    return step("Gemm", weights.astype(np.float32), bias.astype(np.float32), transB=1)


def leaky(alpha: float) -> Any:
    """One slope."""
    return step("LeakyRelu", alpha=alpha)


SAME = {"pads": (1, 1, 1, 1)}
POOL = {"kernel_shape": (2, 2), "strides": (2, 2)}
OWN: dict[str, Callable[[], Network]] = {
    "conv 1x1": lambda: network(conv(5, 3, (1, 1))),
    "conv, relu": lambda: network(conv(4, 3, **SAME), RELU),
    "conv, relu6": lambda: network(conv(4, 3, **SAME), CLIP),
    "wide sums": lambda: network(conv(64, 3, (3, 3), **SAME), RELU, conv(32, 64, (7, 7))),
    "depthwise, relu": lambda: network(conv(3, 1, group=3, **SAME), RELU),
    "depthwise, stride 2": lambda: network(conv(3, 1, group=3, strides=(2, 2), **SAME), size=8),
    "clip from 0 up": lambda: network(conv(4, 3), step("Clip", number(0))),
    "relu alone": lambda: network(conv(4, 3), RELU, ("Add", [None, "t0"], {})),
    "relu6 alone": lambda: network(conv(4, 3), CLIP, ("Add", [None, "t0"], {})),
    "relu of a row": lambda: network(conv(4, 3), FLATTEN, RELU),
    "leaky, 0.25": lambda: network(conv(4, 3, **SAME), leaky(0.25)),
    "leaky, negative": lambda: network(conv(4, 3, **SAME), leaky(-0.4)),
    "leaky, magnitude": lambda: network(conv(4, 3, **SAME), leaky(-1.0)),
    "leaky, steep": lambda: network(conv(4, 3, **SAME), leaky(1.9)),
    "add": lambda: network(conv(4, 3, **SAME), conv(4, 4, **SAME), ("Add", [None, "t0"], {})),
    "add, relu": lambda: network(conv(4, 3, **SAME), conv(4, 4, **SAME), ("Add", [None, "t0"], {}), RELU),
    "add to itself": lambda: network(conv(4, 3), ("Add", ["t0", "t0"], {})),
    "sub": lambda: network(conv(4, 3, **SAME), conv(4, 4, **SAME), ("Sub", [None, "t0"], {})),
    "sub, relu6": lambda: network(conv(4, 3, **SAME), conv(4, 4, **SAME), ("Sub", [None, "t0"], {}), CLIP),
    "mul": lambda: network(conv(4, 3, **SAME), conv(4, 4, **SAME), ("Mul", [None, "t0"], {})),
    "concat": lambda: network(conv(4, 3, **SAME), conv(2, 4, **SAME), ("Concat", [None, "t0"], {"axis": 1})),
    "concat of rows": lambda: network(conv(4, 3), step("Concat", "t0", axis=2)),
    "max pool": lambda: network(conv(4, 3), step("MaxPool", **POOL)),
    "max pool, padded": lambda: network(conv(4, 3, **SAME), step("MaxPool", kernel_shape=(3, 3), **SAME)),
    "max pool first": lambda: network(step("MaxPool", **POOL), conv(4, 3)),
    "average pool": lambda: network(conv(4, 3), step("AveragePool", **POOL)),
    "flatten, gemm": lambda: network(conv(4, 3), FLATTEN, _gemm(6, 196)),
    "flatten, gemm, relu": lambda: network(conv(4, 3, (9, 9)), FLATTEN, _gemm(6, 4), RELU),
    "gemm behind gemm": lambda: network(conv(4, 3), FLATTEN, _gemm(6, 196), RELU, _gemm(3, 6)),
    "row read twice": lambda: network(conv(4, 3, (8, 8)), FLATTEN, _gemm(16, 16), ("Add", [None, "t1"], {})),
    "reshape to a pixel": lambda: network(
        conv(4, 3, (9, 9)), FLATTEN, _gemm(6, 4), step("Reshape", ints(1, 6, 1, 1)), conv(3, 6, (1, 1))
    ),
}  # fmt: skip


def _bottleneck(inside: int, wide: int, source: str, first: int, stride: int) -> list[Any]:
    """As in MobileFaceNet; `first` is the index of its first step, `source` what it reads and is added to where stride is 1."""
    steps_ = [
        conv(wide, inside, (1, 1)),
        RELU,
        conv(wide, 1, group=wide, strides=(stride, stride), **SAME),
        leaky(0.25),
        conv(inside, wide, (1, 1)),
    ]
    steps_[0] = (steps_[0][0], [source, *steps_[0][1][1:]], steps_[0][2])
    return steps_ if stride > 1 else [*steps_, ("Add", [source, f"t{first + 4}"], {})]


def embedder() -> Network:
    """A small MobileFaceNet: stem, bottlenecks with and without shortcut, one filter over the whole picture, a dense layer."""
    return network(
        conv(8, 3, strides=(2, 2), **SAME), RELU,
        *_bottleneck(8, 16, "t1", 2, 1), *_bottleneck(8, 16, "t7", 8, 2), *_bottleneck(8, 16, "t12", 13, 1),
        conv(24, 8, (1, 1)), leaky(0.1), conv(24, 1, (4, 4), group=24), FLATTEN, _gemm(12, 24), size=16,
    )  # fmt: skip


OTHERS = (
    "conv, no padding", "conv, padding as SAME", "conv, stride 2, padding unlike SAME", "conv, stride 4, 5x5 stem",
    "conv, lopsided padding", "conv, oblong kernel", "conv, dilated", "conv without bias", "depthwise",
    "depthwise, two outputs a channel", "depthwise, whole picture", "batch norm behind conv", "batch norm alone", "residual",
    "channel factors", "constant first", "normalised inside", "gemm", "matmul", "reshape", "average",
)  # fmt: skip
NETWORKS = OWN | {"embedder": embedder} | {name: CASES[name] for name in OTHERS}
"""Every operator that an integer network has, and what `prepared` writes in them."""


def bytes_in(made: Network) -> Network:
    """The same network for pixels 0 to 255, which become -1 to 1 and something."""
    return replace(made, mean=128.0, std=128.0)


def pixels_for(made: Network, count: int = 2, seed: int = 0) -> Any:
    """uint8 (N, H, W, C): noise, and black and white beside it."""
    _, channels, height, width = made.input_shape
    pixels = np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), np.uint8)
    pixels[0, 0], pixels[-1, -1] = 0, 255
    return pixels


def reals(made: Network, pixels: Any) -> Any:
    """What the float network is fed with for these pixels, NCHW."""
    return ((pixels.astype(np.float32) - made.mean) / made.std).transpose(0, 3, 1, 2).astype(np.float32)


def results(made: Network) -> list[str]:
    """What every step makes, its activation included."""
    return [(last or node).output for node, last in steps(made)]


def float_values(made: Network, pixels: Any) -> dict[str, Any]:
    """Every result of the float network for these pixels, by ONNX Runtime."""
    runner = OnnxRuntimeRunner(made)
    runs = [
        runner.run({made.input_name: picture}, results(made)) for picture in np.split(reals(made, pixels), len(pixels))
    ]
    return {name: np.concatenate([run[name] for run in runs]) for name in results(made)}


def ranges_of(made: Network, pixels: Any, *, part: float = 1.0) -> Ranges:
    """Least and greatest value of each result over the pixels; `part` below 1 makes ranges too narrow, so that integers saturate."""
    return {
        name: (float(values.min()) * part, float(values.max()) * part)
        for name, values in float_values(made, pixels).items()
    }


def integers_of(name: str, *, part: float = 1.0, seed: int = 0) -> IntegerNetwork:
    """One of NETWORKS, returning every result, with ranges of noise."""
    made = prepared(bytes_in(NETWORKS[name]()))
    made = made.with_outputs(tuple(results(made)))
    return integer_network(made, ranges_of(made, pixels_for(made, 4, seed), part=part))


def written(integer: IntegerNetwork, folder: Path) -> Path:
    """The TFLite file of it."""
    path = folder / "integer.tflite"
    path.write_bytes(integer_bytes(integer, description="by test"))
    return path


def runtime_integers(path: Path, integer: IntegerNetwork, pixels: Any) -> dict[str, Any]:
    """What the runtime returns for each picture, as int8 NCHW."""
    model = TfliteModel(path)
    found = {}
    for place, name in enumerate(integer.network.outputs):
        runs = np.concatenate([model.run(picture, place) for picture in np.split(pixels, len(pixels))])
        found[name] = (to_nchw(runs).astype(np.int16) - 128).astype(np.int8)
    return found
