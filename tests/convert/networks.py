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


def ints(*values: int) -> Any:
    """Axes, sizes, paddings: int64."""
    return np.array(values, np.int64)


def number(value: float) -> Any:
    """float32, no axes."""
    return np.float32(value)


def step(op: str, *inputs: Any, **attributes: Any) -> Step:
    """An operator of the tensor so far, and then of `inputs`."""
    return op, [None, *inputs], attributes


FLOAT = 1
"""onnx.TensorProto.FLOAT"""


def resize(inputs: list[Any], **attributes: Any) -> Network:
    """Resize with its roi, and scales where sizes are given, left out."""
    return without("", network(("Resize", [None, *inputs], attributes), size=6))


def without(missing: str, made: Network) -> Network:
    """Inputs of size 0 are left out, as ONNX writes it."""
    empty = {name for name, value in made.constants.items() if np.size(value) == 0}
    nodes = tuple(
        Node(
            node.op,
            node.name,
            tuple(missing if name in empty else name for name in node.inputs),
            node.outputs,
            node.attributes,
        )
        for node in made.nodes
    )
    return single("image", made.inputs[0].shape, made.output_name, nodes, made.constants)


def split(sizes: tuple[int, ...], axis: int) -> Network:
    """Both halves are read, in turn."""
    nodes = (
        Node("Split", "node0", ("image", "sizes"), ("t0", "t1"), {"axis": axis}),
        Node("Concat", "node1", ("t1", "t0"), ("t2",), {"axis": axis}),
    )
    return single("image", (1, 4, SIZE, SIZE), "t2", nodes, {"sizes": ints(*sizes)})


def unary(op: str, **attributes: Any) -> Callable[[], Network]:
    """Of numbers on both sides of 0."""
    return lambda: network(conv(4, 3), step(op, **attributes))


def of_positive(op: str) -> Callable[[], Network]:
    """Of numbers above 0."""
    return lambda: network(conv(4, 3), step("Abs"), step("Add", number(0.5)), step(op))


def compared(op: str) -> Callable[[], Network]:
    """Truth values choose between two tensors."""
    return lambda: network(conv(3, 3, (1, 1)), step(op, number(0.1)), ("Where", [None, "t0", number(-2.0)], {}))


def reduced(op: str, axes: tuple[int, ...], keepdims: int) -> Callable[[], Network]:
    """Behind a convolution, so that there are numbers on both sides of 0."""
    return lambda: network(conv(4, 3), step(op, axes=axes, keepdims=keepdims))


NEW_CASES: dict[str, Callable[[], Network]] = {
    # with weights
    "transposed conv": lambda: network(
        ("ConvTranspose", [None, _random(3, 4, 2, 2), _random(4)], {"strides": (2, 2)}), RELU
    ),
    "transposed conv, padded": lambda: network(
        ("ConvTranspose", [None, _random(3, 4, 4, 4)], {"strides": (2, 2), "pads": (1, 1, 1, 1)})
    ),
    "transposed conv, odd size": lambda: network(
        ("ConvTranspose", [None, _random(3, 4, 3, 3)], {"strides": (2, 2), "pads": (1, 1, 1, 1), "output_padding": (1, 1)})
    ),
    "transposed conv, depthwise": lambda: network(
        ("ConvTranspose", [None, _random(3, 1, 4, 4)], {"strides": (2, 2), "pads": (1, 1, 1, 1), "group": 3})
    ),
    "instance norm": lambda: network(
        conv(4, 3), ("InstanceNormalization", [None, _random(4), _random(4, seed=1)], {"epsilon": 1e-3})
    ),
    "local response": lambda: network(conv(6, 3), step("LRN", size=3, alpha=0.1, beta=0.75, bias=1.0)),
    "matmul of stacks": lambda: network(
        conv(4, 3), step("Reshape", ints(1, 4, 49)), step("MatMul", _random(49, 5))
    ),
    "matmul, both computed": lambda: network(
        conv(4, 3), step("Reshape", ints(1, 4, 49)), step("Transpose", perm=(0, 2, 1)), ("MatMul", ["t1", None], {})
    ),
    # one value in, one out
    "leaky relu": unary("LeakyRelu", alpha=0.1),
    "elu": unary("Elu", alpha=0.5),
    "selu": unary("Selu"),
    "sigmoid": unary("Sigmoid"),
    "hard sigmoid": unary("HardSigmoid", alpha=0.25, beta=0.5),
    "tanh": unary("Tanh"),
    "softplus": unary("Softplus"),
    "softmax of channels": unary("Softmax", axis=1),
    "softmax of the last axis": lambda: network(conv(4, 3), FLATTEN, step("Softmax", axis=-1)),
    "clip": lambda: network(conv(4, 3), step("Clip", number(0.0), number(0.5))),
    "relu6": lambda: network(conv(4, 3), step("Mul", number(9.0)), step("Clip", number(0.0), number(6.0))),
    "clip from below": lambda: network(conv(4, 3), step("Clip", number(-0.1))),
    "erf": unary("Erf"),
    "abs": unary("Abs"),
    "neg": unary("Neg"),
    "exp": unary("Exp"),
    "floor": unary("Floor"),
    "ceil": unary("Ceil"),
    "round": unary("Round"),
    "sqrt": of_positive("Sqrt"),
    "log": of_positive("Log"),
    "reciprocal": of_positive("Reciprocal"),
    "cast and back": lambda: network(
        conv(4, 3), step("Greater", number(0.1)), step("Cast", to=FLOAT), step("Mul", number(2.0))
    ),
    "not": lambda: network(
        conv(3, 3, (1, 1)), step("Greater", number(0.1)), step("Not"), ("Where", [None, "t0", number(-2.0)], {})
    ),
    # two values in, one out
    "pow": lambda: network(conv(4, 3), step("Pow", number(2.0))),
    "root": lambda: network(conv(4, 3), step("Abs"), step("Pow", number(0.5))),
    "min": lambda: network(conv(4, 3), step("Min", number(0.2))),
    "max": lambda: network(conv(4, 3), conv(4, 4, (1, 1)), ("Max", [None, "t0"], {})),
    "sub, both computed": lambda: network(conv(4, 3), conv(4, 4, (1, 1)), ("Sub", ["t0", None], {})),
    "mul, one value a channel": lambda: network(
        conv(4, 3), step("GlobalAveragePool"), step("Sigmoid"), ("Mul", ["t0", None], {})
    ),
    "div by a computed number": lambda: network(
        conv(4, 3), step("Abs"), step("Add", number(1.0)), ("Div", ["t0", None], {})
    ),
    "one divided by": lambda: network(conv(4, 3), step("Abs"), step("Add", number(1.0)), ("Div", [number(1.0), None], {})),
    "equal": lambda: network(
        conv(3, 3, (1, 1)), step("Floor"), step("Equal", number(0.0)), ("Where", [None, "t0", number(-2.0)], {})
    ),
    "greater": compared("Greater"),
    "less": compared("Less"),
    "and, or": lambda: network(
        conv(3, 3, (1, 1)),
        step("Greater", number(0.1)),
        ("Less", ["t0", number(0.5)], {}),
        ("And", [None, "t1"], {}),
        ("Or", [None, "t1"], {}),
        ("Where", [None, "t0", number(-2.0)], {}),
    ),
    # over places
    "max pool": lambda: network(conv(4, 3), step("MaxPool", kernel_shape=(2, 2), strides=(2, 2))),
    "max pool, rounded up": lambda: network(
        conv(4, 3), step("MaxPool", kernel_shape=(3, 3), strides=(2, 2), ceil_mode=1), size=10
    ),
    "max pool, padded": lambda: network(
        conv(4, 3), step("MaxPool", kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    ),
    "average pool": lambda: network(conv(4, 3), step("AveragePool", kernel_shape=(2, 2), strides=(2, 2))),
    "average pool, padded": lambda: network(
        conv(4, 3), step("AveragePool", kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    ),
    "average pool, padding counted": lambda: network(
        conv(4, 3),
        step("AveragePool", kernel_shape=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1), count_include_pad=1),
    ),
    "global max pool": lambda: network(conv(4, 3), step("GlobalMaxPool"), FLATTEN),
    "nearest, twice the size": lambda: resize(
        [[], np.array([1, 1, 2, 2], np.float32)],
        mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    ),
    "bilinear, twice the size": lambda: resize(
        [[], np.array([1, 1, 2, 2], np.float32)], mode="linear", coordinate_transformation_mode="half_pixel"
    ),
    "bilinear, asymmetric": lambda: resize(
        [[], np.array([1, 1, 2, 2], np.float32)], mode="linear", coordinate_transformation_mode="asymmetric"
    ),
    "bilinear, corners aligned": lambda: resize(
        [[], [], ints(1, 3, 11, 11)], mode="linear", coordinate_transformation_mode="align_corners"
    ),
    "bilinear, smaller": lambda: resize(
        [[], [], ints(1, 3, 4, 3)], mode="linear", coordinate_transformation_mode="half_pixel"
    ),
    "pad": lambda: network(step("Pad", ints(0, 0, 1, 0, 0, 0, 2, 1), number(0.0)), conv(4, 3)),
    "pad with a number": lambda: network(step("Pad", ints(0, 0, 1, 1, 0, 0, 1, 1), number(0.5)), conv(4, 3)),
    "pad channels": lambda: network(conv(4, 3), step("Pad", ints(0, 0, 0, 0, 0, 2, 0, 0)), conv(2, 6, (1, 1))),
    "pad, mirrored": lambda: network(step("Pad", ints(0, 0, 1, 2, 0, 0, 2, 1), mode="reflect"), conv(4, 3)),
    "depth to space": lambda: network(conv(8, 3), step("DepthToSpace", blocksize=2)),
    "depth to space, CRD": lambda: network(conv(8, 3), step("DepthToSpace", blocksize=2, mode="CRD")),
    "space to depth": lambda: network(conv(4, 3), step("SpaceToDepth", blocksize=2), size=10),
    # over axes
    "mean of places": reduced("ReduceMean", (2, 3), 1),
    "mean of places, axes gone": reduced("ReduceMean", (2, 3), 0),
    "mean of channels": reduced("ReduceMean", (1,), 1),
    "max of channels": reduced("ReduceMax", (1,), 1),
    "min of places": reduced("ReduceMin", (2, 3), 0),
    "length of channels": reduced("ReduceL2", (1,), 1),
    "sum of channels": lambda: network(conv(4, 3), step("ReduceSum", ints(1), keepdims=1)),
    "length 1": lambda: network(conv(4, 3), FLATTEN, step("LpNormalization", axis=1, p=2)),
    "length 1 of channels": lambda: network(conv(4, 3), step("LpNormalization", axis=1, p=2)),
    "best channel": lambda: network(conv(4, 3), step("ArgMax", axis=1, keepdims=1), step("Cast", to=FLOAT)),
    # other shapes
    "reshape keeps two axes": lambda: network(conv(4, 3), step("Reshape", ints(0, 4, -1))),
    "transpose to places first": lambda: network(conv(4, 3), step("Transpose", perm=(0, 2, 3, 1)), step("Reshape", ints(1, -1, 2))),
    "squeeze": lambda: network(conv(4, 3), step("GlobalAveragePool"), step("Squeeze", ints(2, 3))),
    "unsqueeze": lambda: network(conv(4, 3, (9, 9)), FLATTEN, step("Unsqueeze", ints(2, 3)), conv(2, 4, (1, 1))),
    "concat of channels": lambda: network(conv(4, 3), conv(2, 4, (1, 1)), ("Concat", [None, "t0"], {"axis": 1})),
    "concat of rows": lambda: network(
        conv(4, 3), conv(4, 4, (3, 1)), ("Concat", [None, "t0"], {"axis": 2})
    ),
    "split of channels": lambda: split((1, 3), 1),
    "split of columns": lambda: split((4, 5), 3),
    "slice of channels": lambda: network(conv(4, 3), step("Slice", ints(1), ints(3), ints(1), ints(1))),
    "slice of places": lambda: network(step("Slice", ints(1, 2), ints(8, -1), ints(2, 3), ints(2, 1)), conv(4, 3)),
    "gather of channels": lambda: network(step("Gather", ints(2, 1, 0), axis=1), conv(4, 3)),
    "gather of one row": lambda: network(conv(4, 3), step("Gather", np.int64(1), axis=2)),
    "expand": lambda: network(conv(4, 3), step("GlobalAveragePool"), step("Expand", ints(1, 4, 3, 3))),
    "tile": lambda: network(conv(4, 3), step("Tile", ints(1, 2, 1, 2))),
}  # fmt: skip
"""As CASES, for operators beyond what an embedder holds."""
