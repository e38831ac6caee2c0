"""Activations and losses; of a loss only what it gives when the network is used."""

from __future__ import annotations

import math

from convert.importers.mxnet.maker import Call
from convert.importers.mxnet.operators.kinds import Emitter

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
"""mshadow_op.h, SELU_ALPHA and SELU_LAMBDA (Klambauer et al. 2017)."""


def _softsign(call: Call) -> None:
    values = call.input(0)
    magnitude = call.step("Abs", "magnitude", (values,))
    call.finish("Div", (values, call.step("Add", "lifted", (magnitude, call.number("one", 1)))))


def _log_sigmoid(call: Call) -> None:
    turned = call.step("Neg", "turned", (call.input(0),))
    call.finish("Neg", (call.step("Softplus", "softplus", (turned,)),))


def _mish(call: Call) -> None:
    """Mish: x tanh(softplus(x)) (Misra 2019)."""
    values = call.input(0)
    gate = call.step("Tanh", "gate", (call.step("Softplus", "softplus", (values,)),))
    call.finish("Mul", (values, gate))


def _plain(op: str) -> Emitter:
    def emit(call: Call) -> None:
        call.finish(op, (call.input(0),))

    return emit


_KINDS: dict[str, Emitter] = {
    "relu": _plain("Relu"),
    "sigmoid": _plain("Sigmoid"),
    "tanh": _plain("Tanh"),
    "softrelu": _plain("Softplus"),
    "softsign": _softsign,
    "log_sigmoid": _log_sigmoid,
    "mish": _mish,
}


def _activation(call: Call) -> None:
    _chosen(call, "act_type", _KINDS, "")


def _chosen(call: Call, attribute: str, kinds: dict[str, Emitter], default: str) -> None:
    kind = call.attributes.text(attribute, default)
    if kind not in kinds:
        raise call.refuse(f"{attribute} {kind!r}", ", ".join(kinds))
    kinds[kind](call)


def _leaky(call: Call) -> None:
    call.finish("LeakyRelu", (call.input(0),), alpha=call.attributes.number("slope", 0.25))


def _prelu(call: Call) -> None:
    slopes = call.maker.parameter(call, 1)
    if slopes.ndim > 1:
        raise call.refuse(f"slopes of shape {slopes.shape}", "one axis")
    # Slopes belong to axis 1; ONNX lines them up with the last one.
    behind = 0 if slopes.size == 1 else call.rank() - 2
    call.finish("PRelu", (call.input(0), call.constant("slope", slopes.reshape(-1, *(1,) * behind))))


def _elu(call: Call) -> None:
    call.finish("Elu", (call.input(0),), alpha=call.attributes.number("slope", 0.25))


def _selu(call: Call) -> None:
    call.finish("Selu", (call.input(0),), alpha=SELU_ALPHA, gamma=SELU_SCALE)


def _gelu(call: Call) -> None:
    """GELU: x / 2 (1 + erf(x / sqrt 2)) (Hendrycks and Gimpel 2016)."""
    values = call.input(0)
    scaled = call.step("Mul", "scaled", (values, call.number("root", 1 / math.sqrt(2))))
    bent = call.step("Add", "bent", (call.step("Erf", "erf", (scaled,)), call.number("one", 1)))
    half = call.step("Mul", "half", (values, call.number("one half", 0.5)))
    call.finish("Mul", (half, bent))


def _rrelu(call: Call) -> None:
    """In use, the mean of the bounds from which training drew the slope."""
    low, high = call.attributes.number("lower_bound", 0.125), call.attributes.number("upper_bound", 0.334)
    call.finish("LeakyRelu", (call.input(0),), alpha=(low + high) / 2)


_LEAKY_KINDS: dict[str, Emitter] = {
    "leaky": _leaky,
    "prelu": _prelu,
    "elu": _elu,
    "selu": _selu,
    "gelu": _gelu,
    "rrelu": _rrelu,
}


def _leaky_relu(call: Call) -> None:
    _chosen(call, "act_type", _LEAKY_KINDS, "leaky")


def _softmax(call: Call) -> None:
    _heated(call, call.attributes.integer("axis", -1))


def _log_softmax(call: Call) -> None:
    made = call.step("Softmax", "softmax", (call.input(0),), axis=call.attributes.integer("axis", -1))
    call.finish("Log", (made,))


def _heated(call: Call, axis: int) -> None:
    values, temperature = call.input(0), call.attributes.number("temperature", 1.0)
    if temperature != 1.0:
        values = call.step("Div", "cooled", (values, call.number("temperature", temperature)))
    call.finish("Softmax", (values,), axis=axis)


def _softmax_activation(call: Call) -> None:
    """`instance` means the last axis (softmax_activation-inl.h flattens the others)."""
    is_channel = call.attributes.text("mode", "instance") == "channel"
    call.finish("Softmax", (call.input(0),), axis=1 if is_channel else -1)


def _softmax_output(call: Call) -> None:
    is_multiple = call.attributes.truth("multi_output", default=False)
    call.finish("Softmax", (call.input(0),), axis=1 if is_multiple else -1)


def _hard_sigmoid(call: Call) -> None:
    alpha, beta = call.attributes.number("alpha", 0.2), call.attributes.number("beta", 0.5)
    call.finish("HardSigmoid", (call.input(0),), alpha=alpha, beta=beta)


ACTIVATIONS: dict[str, Emitter] = {
    "Activation": _activation,
    "LeakyReLU": _leaky_relu,
    **{kind: emit for kind, emit in _KINDS.items() if kind != "softrelu"},
    "hard_sigmoid": _hard_sigmoid,
    "erf": _plain("Erf"),
    "softmax": _softmax,
    "log_softmax": _log_softmax,
    "SoftmaxActivation": _softmax_activation,
    "SoftmaxOutput": _softmax_output,
    "Softmax": _softmax_output,
    "LogisticRegressionOutput": _plain("Sigmoid"),
    **dict.fromkeys(("LinearRegressionOutput", "MAERegressionOutput", "SVMOutput"), _plain("Identity")),
    **dict.fromkeys(
        (
            "Dropout",
            "identity",
            "_copy",
            "BlockGrad",
            "stop_gradient",
            "MakeLoss",
            "make_loss",
            "IdentityAttachKLSparseReg",
        ),
        _plain("Identity"),
    ),
}
