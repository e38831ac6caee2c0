"""Operators on single values, in the forms that OpenCV has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convert.network import Array, Node
from convert.targets.opencv_ops.emission import OpenCvEmission
from convert.targets.tensorflow_ops import EMITTERS
from convert.targets.tensorflow_ops.arithmetic import bounds
from convert.targets.tensorflow_ops.emission import Emission, Emitter, Held, Tensor, narrow
from edge.errors import ModelError

FAR = float(np.finfo(np.float32).max)
OpenCvEmitter = Callable[[OpenCvEmission, Node], Held | tuple[Held, ...]]


def for_opencv(emit: OpenCvEmitter) -> Emitter:
    """An emitter that needs more of the emission than TensorFlow's do."""

    def checked(emission: Emission, node: Node) -> Held | tuple[Held, ...]:
        if not isinstance(emission, OpenCvEmission):
            raise TypeError(type(emission))
        return emit(emission, node)

    return checked


def negative(tf: Any, values: Tensor) -> Tensor:
    """-x; OpenCV has no Neg."""
    return tf.multiply(values, -1.0)


def clipped(tf: Any, values: Tensor, low: float, high: float) -> Tensor:
    """Clip between two numbers; OpenCV has neither Minimum nor Maximum."""
    return tf.raw_ops.ClipByValue(t=values, clip_value_min=np.float32(low), clip_value_max=np.float32(high))


def _each(compute: Callable[[Any, Tensor, Node], Tensor]) -> Emitter:
    def emit(emission: Emission, node: Node) -> Held:
        held = emission.input(node)
        return Held(compute(emission.tf, held.tensor, node), held.axes)

    return emit


def _elu(tf: Any, values: Tensor, node: Node) -> Tensor:
    alpha = float(node.attributes.get("alpha", 1.0))
    return tf.nn.elu(values) if alpha == 1 else _scaled_elu(tf, values, (alpha, 1.0))


def _selu(tf: Any, values: Tensor, node: Node) -> Tensor:
    # Klambauer et al. 2017; the numbers are ONNX's defaults.
    alpha, gamma = (
        node.attributes.get("alpha", 1.67326319217681884765625),
        node.attributes.get("gamma", 1.05070102214813232421875),
    )
    return _scaled_elu(tf, values, (float(alpha), float(gamma)))


def _scaled_elu(tf: Any, values: Tensor, factors: tuple[float, float]) -> Tensor:
    alpha, gamma = factors
    below = tf.add(tf.exp(clipped(tf, values, -FAR, 0.0)), -1.0)
    return tf.add(tf.multiply(tf.nn.relu(values), gamma), tf.multiply(below, alpha * gamma))


def _hard_sigmoid(tf: Any, values: Tensor, node: Node) -> Tensor:
    line = tf.multiply(values, np.float32(node.attributes.get("alpha", 0.2)))
    return clipped(tf, tf.add(line, np.float32(node.attributes.get("beta", 0.5))), 0.0, 1.0)


def _softplus(tf: Any, values: Tensor, _: Node) -> Tensor:
    near = tf.math.log(tf.add(tf.exp(negative(tf, tf.abs(values))), 1.0))
    return tf.add(tf.nn.relu(values), near)


def _clip(emission: Emission, node: Node) -> Held:
    low, high = bounds(emission, node)
    if low == 0 and high in {None, 6.0}:
        return _as_usual(emission, node, "Clip")
    held = emission.input(node)
    made = clipped(emission.tf, held.tensor, -FAR if low is None else low, FAR if high is None else high)
    return Held(made, held.axes)


def _as_usual(emission: Emission, node: Node, op: str) -> Held:
    made = EMITTERS[op](emission, node)
    return made if isinstance(made, Held) else made[0]


def _leaky_relu(emission: Emission, node: Node) -> Held:
    held = emission.input(node)
    return Held(emission.tf.nn.leaky_relu(held.tensor, float(node.attributes.get("alpha", 0.01))), held.axes)


def _prelu(emission: Emission, node: Node) -> Held:
    """The form that OpenCV knows as PReLU, with the slope itself as a constant."""
    slopes = emission.constant(node, 1).astype(np.float32)
    if slopes.size == 1:
        held = emission.input(node)
        return Held(emission.tf.nn.leaky_relu(held.tensor, float(slopes.reshape(()))), held.axes)
    tf = emission.tf
    (values, slope), axes = emission.aligned(node.inputs[:2])
    if slope.size != slope.shape[-1] or slope.shape[-1] != values.shape[-1]:
        raise ModelError(f"slopes of shape {list(slopes.shape)}", expected="one for each channel, for OpenCV")
    below = tf.multiply(tf.negative(tf.constant(slope.reshape(-1))), tf.nn.relu(tf.negative(values)))
    return Held(tf.add(tf.nn.relu(values), below), axes)


def _cast(emission: Emission, node: Node) -> Held:
    made = _as_usual(emission, node, "Cast")
    if made.tensor is not emission.input(node).tensor:
        raise ModelError("a Cast to another dtype", expected="floating-point numbers throughout, for OpenCV")
    return made


WithConstant = Callable[[OpenCvEmission, Tensor, Array], Tensor]


def _reciprocal_of(emission: OpenCvEmission, values: Tensor, above: Array) -> Tensor:
    """Constant / x: OpenCV divides tensors by tensors, or by a constant."""
    tf = emission.tf
    return tf.divide(emission.plus(tf.multiply(values, 0.0), above), values)


def _power(emission: OpenCvEmission, values: Tensor, exponent: Array) -> Tensor:
    tf = emission.tf
    ways: dict[float, Callable[[], Tensor]] = {
        0.5: lambda: tf.sqrt(values),
        1.0: lambda: values,
        2.0: lambda: tf.square(values),
        3.0: lambda: tf.multiply(tf.square(values), values),
    }
    if exponent.ndim or float(exponent) not in ways:
        raise ModelError("an exponent other than 0.5, 1, 2 and 3", expected="one of these, for OpenCV")
    return ways[float(exponent)]()


def _no_power(_: Any, __: Tensor, ___: Tensor) -> Tensor:
    raise ModelError("a computed exponent", expected="0.5, 1, 2 or 3, for OpenCV")


def _minus(emission: OpenCvEmission, first: Tensor, second: Any) -> Tensor:
    is_constant = isinstance(second, np.ndarray)
    return emission.plus(first, -second) if is_constant else emission.tf.subtract(first, second)


def _times(emission: OpenCvEmission, first: Tensor, second: Any) -> Tensor:
    return emission.tf.multiply(first, second)


def _over(emission: OpenCvEmission, first: Tensor, second: Any) -> Tensor:
    return emission.tf.divide(first, second)


def _reciprocal(emission: OpenCvEmission, node: Node) -> Held:
    held = emission.input(node)
    return Held(_reciprocal_of(emission, held.tensor, np.array(1.0, np.float32)), held.axes)


def _larger(emission: OpenCvEmission, first: Tensor, second: Any) -> Tensor:
    """The larger: b + relu(a - b)."""
    if isinstance(second, np.ndarray) and second.ndim == 0:
        return clipped(emission.tf, first, float(second), FAR)
    above = emission.tf.nn.relu(_minus(emission, first, second))
    return emission.plus(above, second) if isinstance(second, np.ndarray) else emission.tf.add(above, second)


def _smaller(emission: OpenCvEmission, first: Tensor, second: Any) -> Tensor:
    """The smaller: a - relu(a - b)."""
    if isinstance(second, np.ndarray) and second.ndim == 0:
        return clipped(emission.tf, first, -FAR, float(second))
    return emission.tf.subtract(first, emission.tf.nn.relu(_minus(emission, first, second)))


def _two(both: Callable[[OpenCvEmission, Tensor, Tensor], Tensor], right: WithConstant, left: WithConstant) -> Emitter:
    """For two computed values of one shape, x op constant and constant op x."""

    def emit(emission: OpenCvEmission, node: Node) -> Held:
        made, *rest = (_Operand.of(emission, name) for name in node.inputs)
        for other in rest:
            made = _applied(emission, (made, other), (both, right, left))
        if made.held is None:
            raise ModelError("only constants", expected="a value that is computed")
        return made.held

    return for_opencv(emit)


class _Operand:
    """A value of either kind."""

    def __init__(self, held: Held | None, constant: Array | None) -> None:
        self.held, self.constant = held, constant

    @classmethod
    def of(cls, emission: Emission, name: str) -> _Operand:
        if emission.is_constant(name):
            return cls(None, narrow(emission.network.constants[name]))
        return cls(emission.value(name), None)


def _applied(
    emission: OpenCvEmission, pair: tuple[_Operand, _Operand], ways: tuple[Any, WithConstant, WithConstant]
) -> _Operand:
    (first, second), (both, right, left) = pair, ways
    if first.held is not None and second.held is not None:
        return _Operand(_of_both(emission, (first.held, second.held), both), None)
    held, constant, way = (
        (first.held, second.constant, right) if first.held is not None else (second.held, first.constant, left)
    )
    if held is None or constant is None:
        raise ModelError("two constants", expected="at least one value that is computed")
    held = emission.widened(held, max(held.rank, constant.ndim))
    aligned = constant.reshape((1,) * (held.rank - constant.ndim) + constant.shape).transpose(held.axes)
    wide = np.broadcast_shapes(aligned.shape, [size or 1 for size in held.tensor.shape.as_list()])
    tensor = emission.grown(held.tensor, wide)
    return _Operand(
        Held(emission.beside_constant(tensor, aligned, lambda values, other: way(emission, values, other)), held.axes),
        None,
    )


def _of_both(
    emission: OpenCvEmission, pair: tuple[Held, Held], both: Callable[[OpenCvEmission, Tensor, Tensor], Tensor]
) -> Held:
    rank = max(held.rank for held in pair)
    first, second = (emission.widened(held, rank) for held in pair)
    axes = (first if _volume(first) >= _volume(second) else second).axes
    tensors = [emission.turned(held, axes) for held in (first, second)]
    known = [[size or 1 for size in tensor.shape.as_list()] for tensor in tensors]
    shape = np.broadcast_shapes(*known)
    grown = [emission.grown(tensor, shape) for tensor in tensors]
    return Held(both(emission, grown[0], grown[1]), axes)


def _volume(held: Held) -> int:
    return int(np.prod([size or 1 for size in held.shape]))


ARITHMETIC: dict[str, Emitter] = {
    "Elu": _each(_elu),
    "Selu": _each(_selu),
    "HardSigmoid": _each(_hard_sigmoid),
    "Softplus": _each(_softplus),
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "Cast": _cast,
    "Neg": _each(lambda tf, values, _: negative(tf, values)),
    "Reciprocal": for_opencv(_reciprocal),
    "Add": _two(lambda to, a, b: to.tf.add(a, b), OpenCvEmission.plus, OpenCvEmission.plus),
    "Sub": _two(_minus, _minus, lambda to, x, c: to.plus(negative(to.tf, x), c)),
    "Mul": _two(_times, _times, _times),
    "Div": _two(_over, _over, _reciprocal_of),
    "Pow": _two(_no_power, _power, _no_power),
    "Min": _two(_smaller, _smaller, _smaller),
    "Max": _two(_larger, _larger, _larger),
}
