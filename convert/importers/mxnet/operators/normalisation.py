"""Operators that normalise."""

from __future__ import annotations

import numpy as np

from convert.importers.mxnet.maker import Call
from convert.importers.mxnet.operators.kinds import Emitter


def _batch_norm(call: Call) -> None:
    gamma, beta, mean, variance = (call.maker.parameter(call, index) for index in range(1, 5))
    if not gamma.shape == beta.shape == mean.shape == variance.shape or gamma.ndim != 1:
        raise call.refuse(f"gamma {gamma.shape}, beta {beta.shape}, mean {mean.shape}", "one value a channel in each")
    names = list(call.inputs[1:5])
    if call.attributes.truth("fix_gamma", default=True):
        # Whatever the file holds: MXNet writes 1 over it before it computes.
        gamma = np.ones_like(beta)
        names[0] = call.constant("gamma", gamma)
    epsilon = call.attributes.number("eps", 1e-3)
    axis = call.attributes.integer("axis", 1)
    if axis == 1:
        call.finish("BatchNormalization", (call.input(0), *names), epsilon=epsilon)
        return
    factor = gamma.astype(np.float64) / np.sqrt(variance + epsilon)
    behind = 0 if axis == -1 else call.rank() - call.axis(axis) - 1
    shape = (-1, *(1,) * behind)
    scaled = call.constant("factor", factor.astype(np.float32).reshape(shape))
    offset = call.constant("offset", (beta - mean * factor).astype(np.float32).reshape(shape))
    call.finish("Add", (call.step("Mul", "scaled", (call.input(0), scaled)), offset))


def _instance_norm(call: Call) -> None:
    epsilon = call.attributes.number("eps", 1e-3)
    call.finish("InstanceNormalization", (call.input(0), call.input(1), call.input(2)), epsilon=epsilon)


def _l2_normalisation(call: Call) -> None:
    """Gives x / sqrt(sum(x^2) + eps) (l2_normalization-inl.h): eps is inside the root, so not LpNormalization."""
    mode = call.attributes.text("mode", "instance")
    if mode == "channel":
        axes: tuple[int, ...] = (1,)
    elif mode in {"instance", "spatial"}:
        axes = tuple(range({"instance": 1, "spatial": 2}[mode], call.rank()))
    else:
        raise call.refuse(f"mode {mode}", "instance, channel or spatial")
    values = call.input(0)
    squares = call.step("Mul", "squares", (values, values))
    total = call.step("ReduceSum", "sum", (squares, call.integers("axes", axes)), keepdims=1)
    lifted = call.step("Add", "lifted", (total, call.number("eps", call.attributes.number("eps", 1e-10))))
    call.finish("Div", (values, call.step("Sqrt", "norm", (lifted,))))


def _local_response(call: Call) -> None:
    read = call.attributes
    call.finish(
        "LRN",
        (call.input(0),),
        alpha=read.number("alpha", 1e-4),
        beta=read.number("beta", 0.75),
        bias=read.number("knorm", 2.0),
        size=read.integer("nsize", 5),
    )


NORMALISATION: dict[str, Emitter] = {
    "BatchNorm": _batch_norm,
    "BatchNorm_v1": _batch_norm,
    "CuDNNBatchNorm": _batch_norm,
    "_contrib_SyncBatchNorm": _batch_norm,
    "InstanceNorm": _instance_norm,
    "L2Normalization": _l2_normalisation,
    "LRN": _local_response,
}
