"""Exact integer arithmetic of XNNPACK's int8 operators, on PyTorch tensors that hold whole numbers.

The formulas are those of XNNPACK's parameters (https://github.com/google/XNNPACK/blob/master/src/microparams-init.c: fp32
requantisation, qs8_add, qs8_mul, qs8_lrelu, qs8_cvt); tests compare each bit for bit with the runtime. Simulation and training
share them: `step` says what becomes of a rounding. Integers are held in float32; sums that need more are formed in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.network import Floats
from convert.quantise.form import HIGH, LOW, Grid
from convert.runners.torch import import_torch

if TYPE_CHECKING:
    from torch import Tensor

Step = Callable[["Tensor", Callable[[], "Tensor"]], "Tensor"]
"""(rounded values, how to form them without rounding) -> values. `plain`, or in training `straight_through`."""
Limits = tuple[int, int]
"""Least and greatest integer that a fused activation lets through."""
Grids = tuple[Grid, Grid, Grid]
"""Of both tensors that are combined, and of the result."""

_FIRST_BITS = 20
"""An addition's greater multiplier has 21 bits."""
_SLOPE_STEPS = 256
"""A change of grid multiplies by whole 256ths."""


def plain(rounded: Tensor, _: Callable[[], Tensor]) -> Tensor:
    """What the runtime computes."""
    return rounded


def straight_through(rounded: Tensor, exact: Callable[[], Tensor]) -> Tensor:
    """What the runtime computes, with the gradient of the arithmetic without rounding (Bengio et al. 2013)."""
    return _straight().apply(exact(), rounded.detach())


@cache
def _straight() -> Any:
    torch = import_torch("training")

    class StraightThrough(torch.autograd.Function):  # type: ignore[misc, name-defined, unused-ignore]
        @staticmethod
        def forward(_: Any, exact: Tensor, rounded: Tensor) -> Tensor:
            return rounded.to(exact.dtype)

        @staticmethod
        def backward(_: Any, gradient: Tensor) -> tuple[Tensor, None]:
            return gradient, None

    return StraightThrough


def factors(source: Grid, weight_scales: Floats, result: Grid) -> Floats:
    """Steps of the output in one step of a layer's sum, (out,): float32 products in the order in which XNNPACK forms them."""
    return np.asarray(np.float32(source.scale) * weight_scales / np.float32(result.scale), np.float32)


def requantise(
    sums: Tensor, factor: Tensor, zero_point: int, limits: Limits = (LOW, HIGH), step: Step = plain
) -> Tensor:
    """Sums of a layer, bias included, to a grid: float32 product, ties to even. `factor` broadcasts, one for each channel."""
    steps = sums.float() * factor
    return (step(steps.round(), lambda: steps) + zero_point).clamp(*limits)


def add(
    pair: tuple[Tensor, Tensor], grids: Grids, limits: Limits = (LOW, HIGH), step: Step = plain, *, sign: int = 1
) -> Tensor:
    """ADD, or SUB with `sign` -1. Whole multipliers, half rounded up."""
    first, second, result = grids
    ratios = np.float32(first.scale) / np.float32(result.scale), np.float32(second.scale) / np.float32(result.scale)
    shift = _FIRST_BITS - int(np.frexp(max(ratios))[1] - 1)
    multipliers = [float(np.rint(np.ldexp(np.float64(ratio), shift))) for ratio in ratios]
    a, b = pair[0] - first.zero_point, pair[1] - second.zero_point
    sums = a.detach().double() * multipliers[0] + b.detach().double() * (sign * multipliers[1])
    rounded = (sums / 2.0**shift + 0.5).floor().float()
    made = step(rounded, lambda: a * float(ratios[0]) + b * (sign * float(ratios[1])))
    return (made + result.zero_point).clamp(*limits)


def multiply(pair: tuple[Tensor, Tensor], grids: Grids, limits: Limits = (LOW, HIGH), step: Step = plain) -> Tensor:
    """MUL: float32 product, ties to even."""
    first, second, result = grids
    factor = np.float32(first.scale) * np.float32(second.scale) / np.float32(result.scale)
    steps = (pair[0] - first.zero_point) * (pair[1] - second.zero_point) * float(factor)
    return (step(steps.round(), lambda: steps) + result.zero_point).clamp(*limits)


def leaky_relu(values: Tensor, alpha: float, source: Grid, result: Grid, step: Step = plain) -> Tensor:
    """LEAKY_RELU: multipliers in whole 256ths, half rounded up. A slope is only as fine as that."""
    ratio = np.float32(source.scale) / np.float32(result.scale)
    slopes = float(ratio), float(ratio * np.float32(alpha))
    whole = [float(np.rint(np.float32(_SLOPE_STEPS) * np.float32(slope))) / _SLOPE_STEPS for slope in slopes]
    centred = values - source.zero_point
    # Below 0 the smaller slope gives the greater product: half the work of choosing by sign.
    torch = import_torch("integer arithmetic")
    choose = torch.maximum if whole[1] <= whole[0] else torch.minimum
    rounded = (choose(centred.detach() * whole[0], centred.detach() * whole[1]) + 0.5).floor()

    def exact() -> Tensor:
        return (centred * slopes[0]).where(centred >= 0, centred * slopes[1])

    return (step(rounded, exact) + result.zero_point).clamp(LOW, HIGH)


def rescale(values: Tensor, source: Grid, result: Grid, step: Step = plain) -> Tensor:
    """QUANTIZE from one int8 grid to another."""
    return leaky_relu(values, 1.0, source, result, step)


def to_real(values: Tensor, grid: Grid) -> Tensor:
    """DEQUANTIZE."""
    return (values - grid.zero_point) * grid.scale


def to_integer(real: Tensor, grid: Grid, limits: Limits = (LOW, HIGH), step: Step = plain) -> Tensor:
    """QUANTIZE of float32: times the float32 reciprocal of the scale, ties to even."""
    steps = real * float(np.float32(1) / np.float32(grid.scale))
    return (step(steps.round(), lambda: steps) + grid.zero_point).clamp(*limits)


def activated(grid: Grid, ends: tuple[float, float] | None) -> Limits:
    """Integers that a fused activation lets through: it has no limits, or ends in real numbers."""
    if ends is None:
        return LOW, HIGH
    low, high = (grid.zero_point + np.rint(np.float32(end) / np.float32(grid.scale)) for end in ends)
    return int(np.clip(low, LOW, HIGH)), int(np.clip(high, LOW, HIGH))
