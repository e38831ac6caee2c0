"""Tiny networks, a few for each operator, with what its ways to be written differ in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from convert.network import Network, Node, Port
from tests.convert.networks import FLATTEN, RELU, Step, conv, network


def _random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng([seed, *shape]).normal(0, 0.5, shape).astype(np.float32)


def _whole(*values: int) -> Any:
    return np.array(values, np.int64)


def _floats(*values: float) -> Any:
    return np.array(values, np.float32)


def step(op: str, *inputs: Any, **attributes: Any) -> Step:
    """One operator; the first input is the tensor so far."""
    return op, [None, *inputs], attributes


CENTRE: Step = ("Sub", [None, np.float32(0.5)], {})
"""The pictures are 0 to 1: values on both sides of 0."""


def one(op: str, **attributes: Any) -> Callable[[], Network]:
    """A unary operator on values of both signs."""
    return lambda: network(CENTRE, step(op, **attributes))


def two(op: str) -> Callable[[], Network]:
    """An operator on a computed picture and a constant for each channel, then on two computed pictures."""
    return lambda: network(
        ("Abs", [None], {}),
        ("Add", [None, np.float32(0.5)], {}),
        step(op, np.abs(_random(3, 1, 1)) + 0.5),
        (op, [None, "t1"], {}),
    )


def on(*steps: Step, channels: int = 3, size: int = 9) -> Callable[[], Network]:
    return lambda: network(*steps, channels=channels, size=size)


def pool(op: str, kernel: int, size: int = 9, **attributes: Any) -> Callable[[], Network]:
    return on(CENTRE, step(op, kernel_shape=(kernel, kernel), **attributes), size=size)


def enlarged(scale: float, mode: str, where: str, nearest: str = "", size: int = 6) -> Callable[[], Network]:
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": where}
    if nearest:
        attributes["nearest_mode"] = nearest
    return on(step("Resize", "", _floats(1, 1, scale, scale), **attributes), size=size)


def transposed(out: int, kernel: int, **attributes: Any) -> Callable[[], Network]:
    groups = attributes.get("group", 1)
    return on(
        conv(4, 3), ("ConvTranspose", [None, _random(4, out // groups, kernel, kernel), _random(out)], attributes)
    )


def _logic(op: str) -> Callable[[], Network]:
    return on(
        step("Greater", np.float32(0.3)),
        ("Less", ["image", np.float32(0.7)], {}),
        (op, [None, "t0"], {}),
        step("Cast", to=1),
    )


def _two_outputs() -> Network:
    """Two pictures in; out come a picture, a vector and one that is inside, too."""
    made = network(conv(4, 3), RELU, step("GlobalAveragePool"), FLATTEN)
    nodes = (*made.nodes, Node("Add", "sum", ("t1", "other"), ("both",)))
    ports = (*made.inputs, Port("other", (1, 4, 7, 7)))
    return replace(made, nodes=nodes, inputs=ports, outputs=("t3", "both", "t1"))


def _split() -> Network:
    made = network(conv(6, 3), ("Split", [None, _whole(1, 2, 3)], {"axis": 1}))
    nodes = (replace(made.nodes[1], outputs=("a", "b", "c")), Node("Neg", "neg", ("b",), ("d",)))
    return replace(made, nodes=(made.nodes[0], *nodes), outputs=("c", "a", "d"))


def _even_split() -> Network:
    made = network(conv(6, 3), ("Split", [None], {"axis": 1}))
    return replace(made, nodes=(made.nodes[0], replace(made.nodes[1], outputs=("a", "b"))), outputs=("b", "a"))


def _priors() -> Network:
    """A constant beside what is computed."""
    made = network(conv(4, 3))
    return replace(made, constants={**made.constants, "priors": _random(1, 7, 4)}, outputs=("t0", "priors"))


def ssd_heads() -> Network:
    """Two heads as single-shot detectors have them: NHWC and flat, joined, cut, softmax over classes."""
    stem = network(conv(4, 3, pads=(1, 1, 1, 1)), RELU, conv(6, 4, pads=(1, 1, 1, 1), strides=(2, 2)))
    constants = dict(stem.constants)
    nodes = [*stem.nodes]
    for place, (source, channels) in enumerate((("t0", 4), ("t2", 6))):
        constants |= {f"w{place}": _random(8, channels, 3, 3), f"shape{place}": _whole(1, -1, 4)}
        nodes += [
            Node("Conv", "", (source, f"w{place}"), (f"head{place}",), {"pads": (1, 1, 1, 1)}),
            Node("Transpose", "", (f"head{place}",), (f"nhwc{place}",), {"perm": (0, 2, 3, 1)}),
            Node("Reshape", "", (f"nhwc{place}", f"shape{place}"), (f"flat{place}",)),
        ]
    nodes += [
        Node("Concat", "", ("flat0", "flat1"), ("offsets",), {"axis": 1}),
        Node("Softmax", "", ("offsets",), ("scores",), {"axis": 2}),
    ]
    return replace(stem, nodes=tuple(nodes), constants=constants, outputs=("scores", "offsets"))


SHUFFLE = (
    conv(6, 3),
    step("Reshape", _whole(0, 2, 3, 7, 7)),
    step("Transpose", perm=(0, 2, 1, 3, 4)),
    step("Reshape", _whole(0, -1, 7, 7)),
    conv(3, 6),
)
"""Channel shuffle (Zhang et al. 2018, ShuffleNet)."""

WEIGHTS = {
    "conv, SAME_UPPER": on(conv(4, 3, auto_pad="SAME_UPPER", strides=(2, 2)), size=8),
    "conv, SAME_LOWER": on(conv(4, 3, auto_pad="SAME_LOWER", strides=(2, 2)), size=8),
    "conv, VALID": on(conv(4, 3, auto_pad="VALID")),
    "conv, uneven strides": on(conv(4, 3, strides=(2, 1))),
    "depthwise, uneven strides": on(conv(3, 1, group=3, strides=(2, 1))),
    "depthwise, dilated": on(conv(3, 1, group=3, dilations=(2, 2), pads=(2, 2, 2, 2))),
    "depthwise, stride 2, dilated": on(conv(3, 1, group=3, dilations=(2, 2), strides=(2, 2))),
    "groups, stride 2": on(conv(4, 3), conv(6, 2, group=2, strides=(2, 2), pads=(1, 1, 1, 1))),
    "conv transpose": transposed(2, 3),
    "conv transpose, twice as large": transposed(2, 4, strides=(2, 2), pads=(1, 1, 1, 1)),
    "conv transpose, output_padding": transposed(2, 3, strides=(2, 2), pads=(1, 1, 1, 1), output_padding=(1, 1)),
    "conv transpose, lopsided": transposed(2, 3, strides=(2, 3), pads=(0, 1, 2, 1), output_padding=(1, 0)),
    "conv transpose, dilated": transposed(2, 3, dilations=(2, 1)),
    "conv transpose, groups": transposed(6, 3, group=2, strides=(2, 2)),
    "conv transpose, depthwise": transposed(4, 4, group=4, strides=(2, 2), pads=(1, 1, 1, 1)),
    "conv transpose, SAME_UPPER": transposed(2, 3, strides=(2, 2), auto_pad="SAME_UPPER"),
    "conv transpose, output_shape": transposed(2, 3, strides=(2, 2), output_shape=(14, 15)),
    "gemm, transA": on(conv(4, 3, (8, 8)), step("Reshape", _whole(16, 1)), step("Gemm", _random(16, 5), transA=1)),
    "matmul, three axes": on(step("Reshape", _whole(0, 3, 81)), step("MatMul", _random(81, 5))),
    "matmul, batches": on(
        step("Reshape", _whole(0, 3, 81)),
        step("Transpose", perm=(0, 2, 1)),
        ("MatMul", ["t0", None], {}),
        step("Softmax"),
    ),
    "matmul, four axes": on(conv(4, 3), step("MatMul", _random(7, 5))),
    "instance norm": on(conv(4, 3), step("InstanceNormalization", _random(4), _random(4), epsilon=1e-3)),
    "batch norm of a vector": on(
        conv(4, 3, (9, 9)),
        FLATTEN,
        step("BatchNormalization", _random(4), _random(4), _random(4), np.abs(_random(4)) + 0.1),
    ),
    "lrn": on(conv(8, 3), step("LRN", size=5, alpha=0.5, beta=0.6, bias=1.5)),
}
ONE = {
    "leaky": one("LeakyRelu", alpha=0.2),
    "leaky, above 1": one("LeakyRelu", alpha=1.5),
    "leaky, negative": one("LeakyRelu", alpha=-0.5),
    "elu": one("Elu"),
    "elu, alpha": one("Elu", alpha=0.5),
    "selu": one("Selu"),
    "sigmoid": one("Sigmoid"),
    "hard sigmoid": on(CENTRE, step("Mul", np.float32(12)), step("HardSigmoid", alpha=0.3, beta=0.4)),
    "tanh": one("Tanh"),
    "softplus": on(CENTRE, step("Mul", np.float32(200)), step("Softplus")),
    "erf": on(CENTRE, step("Mul", np.float32(6)), step("Erf")),
    "abs": one("Abs"),
    "neg": one("Neg"),
    "sqrt": on(step("Sqrt")),
    "exp": one("Exp"),
    "log": on(step("Add", np.float32(0.1)), step("Log")),
    "reciprocal": on(step("Add", np.float32(0.1)), step("Reciprocal")),
    "floor": on(CENTRE, step("Mul", np.float32(9)), step("Floor")),
    "ceil": on(CENTRE, step("Mul", np.float32(9)), step("Ceil")),
    "round": on(CENTRE, step("Mul", np.float32(9)), step("Round")),
    "clip, 0 to 6": on(CENTRE, step("Mul", np.float32(20)), step("Clip", np.float32(0), np.float32(6))),
    "clip, -0.2 to 0.3": on(CENTRE, step("Clip", np.float32(-0.2), np.float32(0.3))),
    "clip below": on(CENTRE, step("Clip", np.float32(-0.2))),
    "clip above": on(CENTRE, step("Clip", "", np.float32(0.1))),
    "prelu of a vector": on(conv(4, 3, (9, 9)), FLATTEN, step("PRelu", _random(4))),
    "not": on(step("Greater", np.float32(0.3)), step("Not"), step("Cast", to=1)),
    "cast to whole numbers": on(CENTRE, step("Mul", np.float32(9)), step("Cast", to=6), step("Cast", to=1)),
}
TWO = {
    **{op.lower(): two(op) for op in ("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max")},
    "max of three": on(conv(3, 3, pads=(1, 1, 1, 1)), ("Max", [None, "image", np.float32(0.4)], {})),
    "and": _logic("And"),
    "or": _logic("Or"),
    "equal": on(step("Cast", to=6), ("Equal", [None, "t0"], {}), step("Cast", to=1)),
    "where": on(step("Greater", np.float32(0.5)), ("Where", [None, "image", np.float32(-1)], {})),
    "squeeze and excite": on(
        conv(4, 3), step("GlobalAveragePool"), FLATTEN, step("Gemm", _random(4, 4)), step("Sigmoid"),
        step("Reshape", _whole(0, 4, 1, 1)), ("Mul", ["t0", None], {}),
    ),
    "fewer axes beside a picture": on(
        conv(7, 3, (3, 3)), step("ReduceMean", axes=(0, 1, 2), keepdims=0), ("Add", ["t0", None], {})
    ),
    "one order beside another": on(conv(9, 3, pads=(1, 1, 1, 1)), step("Transpose", perm=(0, 2, 3, 1)), ("Add", ["t0", None], {})),
}  # fmt: skip
PLACES = {
    "max pool": pool("MaxPool", 2, strides=(2, 2)),
    "max pool, padded": pool("MaxPool", 3, 8, strides=(2, 2), pads=(1, 1, 1, 1)),
    "max pool, padded as SAME": pool("MaxPool", 3, 9, strides=(2, 2), pads=(1, 1, 1, 1)),
    "max pool, wide padding": pool("MaxPool", 3, 8, strides=(2, 2), pads=(2, 0, 2, 1)),
    "max pool behind relu": on(
        CENTRE, RELU, step("MaxPool", kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1)), size=8
    ),
    "max pool, ceil": pool("MaxPool", 2, 9, strides=(2, 2), ceil_mode=1),
    "max pool, ceil, nothing left": pool("MaxPool", 3, 9, strides=(2, 2), ceil_mode=1),
    "max pool, ceil, last window in the padding": pool("MaxPool", 2, 8, strides=(3, 3), pads=(0, 0, 1, 1), ceil_mode=1),
    "max pool, dilated": pool("MaxPool", 2, dilations=(2, 2)),
    "max pool, SAME_LOWER": pool("MaxPool", 2, 9, strides=(2, 2), auto_pad="SAME_LOWER"),
    "average pool": pool("AveragePool", 3, strides=(2, 2)),
    "average pool, padded": pool("AveragePool", 3, 8, strides=(2, 2), pads=(1, 1, 1, 1)),
    "average pool, padded as SAME": pool("AveragePool", 3, 9, strides=(2, 2), pads=(1, 1, 1, 1)),
    "average pool, padding counts": pool("AveragePool", 3, 9, strides=(2, 2), pads=(1, 1, 1, 1), count_include_pad=1),
    "average pool, ceil": pool("AveragePool", 2, 9, strides=(2, 2), ceil_mode=1),
    "average pool, ceil, padding counts": pool(
        "AveragePool", 3, 8, strides=(2, 2), pads=(1, 1, 1, 1), ceil_mode=1, count_include_pad=1
    ),
    "global max": on(conv(4, 3), step("GlobalMaxPool")),
    "nearest, twice": enlarged(2, "nearest", "asymmetric", "floor"),
    "nearest, twice, half pixel": enlarged(2, "nearest", "half_pixel", "round_prefer_floor"),
    "nearest, 3/2, half pixel": enlarged(1.5, "nearest", "half_pixel", "round_prefer_ceil"),
    "nearest, half, ties down": enlarged(0.5, "nearest", "half_pixel", "round_prefer_floor"),
    "nearest, half, ceil": enlarged(0.5, "nearest", "half_pixel", "ceil"),
    "nearest, 3/2, ceil": enlarged(1.5, "nearest", "asymmetric", "ceil"),
    "nearest, corners": enlarged(2, "nearest", "align_corners", "round_prefer_ceil"),
    "linear, half pixel": enlarged(2, "linear", "half_pixel"),
    "linear, PyTorch": enlarged(1.5, "linear", "pytorch_half_pixel"),
    "linear, corners": enlarged(2, "linear", "align_corners"),
    "linear, asymmetric": enlarged(2, "linear", "asymmetric"),
    "linear, smaller": enlarged(0.5, "linear", "half_pixel"),
    "resize to sizes": on(
        step(
            "Resize",
            "",
            "",
            _whole(1, 3, 14, 5),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    ),
    "pad": on(step("Pad", _whole(0, 1, 2, 0, 0, 0, 1, 3), np.float32(0.25))),
    "pad with zeros, cut": on(step("Pad", _whole(0, 0, -1, 2, 0, 0, 1, -2))),
    "pad before a padded conv": on(step("Pad", _whole(0, 0, 1, 1, 0, 0, 1, 1)), conv(4, 3, pads=(1, 1, 1, 1))),
    "pad before two convs": on(
        step("Pad", _whole(0, 0, 1, 1, 0, 0, 1, 1)),
        conv(4, 3),
        ("Conv", ["t0", _random(4, 3, 3, 3)], {}),
        ("Add", ["t1", None], {}),
    ),
    "pad, reflect": on(step("Pad", _whole(0, 0, 2, 1, 0, 0, 1, 3), mode="reflect")),
    "pad, edge": on(step("Pad", _whole(0, 0, 2, 1, 0, 0, 1, 3), mode="edge")),
    "pad a vector": on(conv(4, 3, (9, 9)), FLATTEN, step("Pad", _whole(0, 1, 0, 2))),
    "depth to space": on(conv(8, 3), step("DepthToSpace", blocksize=2)),
    "depth to space, CRD": on(conv(8, 3), step("DepthToSpace", blocksize=2, mode="CRD")),
    "space to depth": on(step("SpaceToDepth", blocksize=2), size=8),
}
AXES = {
    "mean of channels": on(step("ReduceMean", axes=(1,), keepdims=1)),
    "mean of places": on(conv(4, 3), step("ReduceMean", axes=(2, 3), keepdims=0)),
    "mean of rows": on(conv(4, 3), step("ReduceMean", axes=(2,), keepdims=0)),
    "sum": on(step("ReduceSum", _whole(1), keepdims=0)),
    "sum of all": on(step("ReduceSum", keepdims=1)),
    "sum of none": on(step("ReduceSum", noop_with_empty_axes=1)),
    "largest": on(step("ReduceMax", axes=(-1,))),
    "smallest": on(step("ReduceMin", axes=(1, 2))),
    "length": on(step("ReduceL2", axes=(1,))),
    "l2 norm of a vector": on(conv(4, 3, (9, 9)), FLATTEN, step("LpNormalization", axis=1, p=2)),
    "l2 norm of channels": on(conv(4, 3), step("LpNormalization", axis=1)),
    "l1 norm": on(conv(4, 3), step("LpNormalization", axis=-1, p=1)),
    "l2 norm by hand": on(conv(4, 3, (9, 9)), FLATTEN, step("ReduceL2", axes=(1,)), ("Div", ["t1", None], {})),
    "softmax of channels": on(conv(4, 3), step("Softmax", axis=1)),
    "softmax of rows": on(conv(4, 3), step("Softmax", axis=2), conv(2, 4)),
    "softmax of a vector": on(conv(4, 3, (9, 9)), FLATTEN, step("Softmax")),
    "arg max": on(conv(4, 3), step("ArgMax", axis=1, keepdims=0), step("Cast", to=1)),
    "arg max, kept": on(conv(4, 3), step("ArgMax", axis=1, keepdims=1), step("Cast", to=1)),
}
SHAPES = {
    "flatten, axis 2": on(conv(4, 3), step("Flatten", axis=2)),
    "flatten, axis 0": on(conv(4, 3), step("Flatten", axis=0)),
    "flatten before dense": on(conv(4, 3), FLATTEN, step("Gemm", _random(5, 196), transB=1)),
    "flatten, one channel": on(conv(1, 3), FLATTEN),
    "reshape to three axes": on(conv(4, 3), step("Reshape", _whole(0, 4, -1))),
    "reshape, places stay": on(conv(4, 3), step("Reshape", _whole(0, 2, 2, 49))),
    "reshape, batch in front": on(conv(4, 3), step("Reshape", _whole(-1, 14))),
    "shuffle": on(*SHUFFLE),
    "transpose": on(conv(4, 3), step("Transpose", perm=(0, 3, 1, 2))),
    "transpose, reversed": on(conv(4, 3), step("Transpose")),
    "transpose, there and back": on(
        conv(4, 3), step("Transpose", perm=(0, 2, 3, 1)), RELU, step("Transpose", perm=(0, 3, 1, 2)), conv(2, 4)
    ),
    "squeeze": on(conv(4, 3, (9, 9)), step("Squeeze", _whole(2, 3))),
    "squeeze all": on(conv(4, 3, (9, 9)), step("Squeeze")),
    "squeeze rows": on(conv(4, 3, (9, 1)), step("Squeeze", _whole(2))),
    "unsqueeze": on(conv(4, 3, (9, 9)), FLATTEN, step("Unsqueeze", _whole(2, 3)), conv(2, 4, (1, 1))),
    "unsqueeze to five": on(conv(4, 3), step("Unsqueeze", _whole(-1)), step("Squeeze", _whole(4))),
    "concat channels": on(conv(3, 3, pads=(1, 1, 1, 1)), ("Concat", [None, "image"], {"axis": 1}), conv(2, 6)),
    "concat rows": on(conv(3, 3, pads=(1, 1, 1, 1)), ("Concat", [None, "image"], {"axis": -2})),
    "concat vectors": on(conv(4, 3, (9, 9)), FLATTEN, ("Concat", [None, "t1"], {"axis": 1})),
    "slice channels": on(conv(6, 3), step("Slice", _whole(1), _whole(5), _whole(1), _whole(2))),
    "slice to the end": on(conv(6, 3), step("Slice", _whole(1, -3), _whole(2**63 - 1, 2**31 - 1), _whole(2, 1))),
    "slice backwards": on(conv(6, 3), step("Slice", _whole(-1), _whole(-(2**63)), _whole(1), _whole(-1))),
    "slice of everything": on(conv(6, 3), step("Slice", _whole(0), _whole(6), _whole(1))),
    "gather channels": on(conv(6, 3), step("Gather", _whole(5, 0, -2), axis=1)),
    "gather one": on(conv(6, 3), step("Gather", np.int64(3), axis=1)),
    "gather a table": on(conv(6, 3), step("Gather", np.array([[0, 1], [2, 3]]), axis=1)),
    "expand": on(conv(4, 3, (9, 9)), step("Expand", _whole(1, 1, 3, 5))),
    "expand, more axes": on(conv(4, 3, (9, 9)), FLATTEN, step("Expand", _whole(3, 1, 4))),
    "tile": on(conv(4, 3), step("Tile", _whole(1, 2, 1, 3))),
}
GRAPHS: dict[str, Callable[[], Network]] = {
    "two inputs, three outputs": _two_outputs,
    "split": _split,
    "even split": _even_split,
    "ssd heads": ssd_heads,
    "a constant output": _priors,
}
CASES: dict[str, Callable[[], Network]] = {**WEIGHTS, **ONE, **TWO, **PLACES, **AXES, **SHAPES, **GRAPHS}
MIX_THE_BATCH = frozenset({
    "gemm, transA", "fewer axes beside a picture", "sum of all", "flatten, axis 0", "transpose, reversed", "squeeze all",
    "expand, more axes", "a constant output",
})  # fmt: skip
"""Several pictures in one run are not several runs, in these."""
