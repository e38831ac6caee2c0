"""Operators that TFLite has and TensorFlow has not: written in the very form that the converter knows them by."""

from __future__ import annotations

from collections.abc import Mapping

from convert.network import Node
from convert.targets.tensorflow_ops import EMITTERS, Emission, Emitter, Held


def _prelu(emission: Emission, node: Node) -> Held:
    """relu(x) + (-slope) * relu(-x) becomes PRELU where the slope has one axis less than x, and five operators where not."""
    slope_name = node.inputs[1]
    if not emission.is_constant(slope_name) or emission.constant(node, 1).size == 1:
        return _usual(emission, node)
    (values, slope), axes = emission.aligned(node.inputs[:2])
    if slope.ndim == len(axes) and len(axes) > 1 and slope.shape[0] == 1:
        slope = slope[0]
    tf = emission.tf
    return Held(tf.nn.relu(values) + (-slope * tf.nn.relu(-values)), axes)


def _elu(emission: Emission, node: Node) -> Held:
    alpha = float(node.attributes.get("alpha", 1.0))
    if alpha == 1.0:
        # ELU itself.
        return _usual(emission, node)
    return _exponential(emission, node, (1.0, alpha))


def _selu(emission: Emission, node: Node) -> Held:
    alpha = float(node.attributes.get("alpha", 1.6732632423543772))
    return _exponential(emission, node, (float(node.attributes.get("gamma", 1.0507009873554805)), alpha))


def _exponential(emission: Emission, node: Node, how: tuple[float, float]) -> Held:
    """The sum gamma (max(x, 0) + alpha (exp(min(x, 0)) - 1)).

    min(x, 0) is written x - max(x, 0): MINIMUM must have one scale with x, and the quantiser would cut x at 0.
    """
    gamma, alpha = how
    tf, held = emission.tf, emission.input(node)
    positive = tf.nn.relu(held.tensor)
    made = positive * gamma + (tf.exp(held.tensor - positive) - 1.0) * (gamma * alpha)
    return Held(made, held.axes)


_ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
"""Coefficients, the highest first, of Abramowitz and Stegun 1964, formula 7.1.26; its error is at most 1.5e-7."""


def _erf(emission: Emission, node: Node) -> Held:
    """TFLite has no such operator: a rational approximation by ones that it has."""
    tf, held = emission.tf, emission.input(node)
    size = tf.abs(held.tensor)
    part = 1.0 / (1.0 + 0.3275911 * size)
    sum_ = part * 0.0
    for coefficient in _ERF:
        sum_ = (sum_ + coefficient) * part
    made = 1.0 - sum_ * tf.exp(-size * size)
    return Held(tf.where(held.tensor < 0.0, -made, made), held.axes)


def _usual(emission: Emission, node: Node) -> Held:
    made = EMITTERS[node.op](emission, node)
    return made if isinstance(made, Held) else made[0]


OPERATORS: Mapping[str, Emitter] = {**EMITTERS, "PRelu": _prelu, "Elu": _elu, "Selu": _selu, "Erf": _erf}
"""As TensorFlow's, but for these."""


def _extreme(*, greatest: bool) -> Emitter:
    def emit(emission: Emission, node: Node) -> Held:
        if len(node.inputs) != 2 or any(emission.is_constant(name) for name in node.inputs):
            return _usual(emission, node)
        tf = emission.tf
        (one, other), axes = emission.aligned(node.inputs)
        return Held(one + tf.nn.relu(other - one) if greatest else one - tf.nn.relu(one - other), axes)

    return emit


INTEGER_OPERATORS: Mapping[str, Emitter] = {
    **OPERATORS,
    "Max": _extreme(greatest=True),
    "Min": _extreme(greatest=False),
}
"""For integers inside: MAXIMUM and MINIMUM must have one scale with what they read, so the quantiser cuts what they read to the
range of what they make, for its other readers too; and XNNPACK leaves them to a reference kernel."""


def with_ranges(ranges: Mapping[str, tuple[float, float]]) -> Mapping[str, Emitter]:
    """The same operators, with a FakeQuant of 8 bits behind each tensor named in `ranges`."""

    def ranged(emit: Emitter) -> Emitter:
        def wrapped(emission: Emission, node: Node) -> tuple[Held, ...]:
            made = emit(emission, node)
            several = made if isinstance(made, tuple) else (made,)
            named = [*node.outputs, *[""] * len(several)]
            return tuple(_limited(emission, held, ranges.get(name)) for held, name in zip(several, named, strict=False))

        return wrapped

    return {op: ranged(emit) for op, emit in OPERATORS.items()}


def _limited(emission: Emission, held: Held, found: tuple[float, float] | None) -> Held:
    if found is None:
        return held
    low, high = found
    return Held(emission.tf.quantization.fake_quant_with_min_max_args(held.tensor, low, high), held.axes)
