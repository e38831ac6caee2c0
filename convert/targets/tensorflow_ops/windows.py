"""Windows that walk over a picture: how a convolution or pooling is padded, and how many places it has; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge.errors import ModelError

Pair = tuple[int, int]
Size = tuple[int | None, int | None]


@dataclass(frozen=True, slots=True)
class Window:
    """Kernel, strides and dilations (y, x) of an ONNX operator, and its padding for a picture of a given size."""

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: tuple[Pair, Pair]
    """(before, after) of y and of x."""
    extra: Pair = (0, 0)
    """What `ceil_mode` sees below and to the right beyond the padding."""
    same: bool = False
    """Whether TensorFlow's SAME pads alike."""

    @property
    def is_padded(self) -> bool:
        """Whether anything is added around the picture."""
        return any((*self.pads[0], *self.pads[1], *self.extra))

    @property
    def around(self) -> list[Pair]:
        """(before, after) of y and of x, with what `ceil_mode` adds."""
        return [(before, after + more) for (before, after), more in zip(self.pads, self.extra, strict=True)]


def window(attributes: Mapping[str, Any], kernel: Pair, size: Size) -> Window:
    """Of Conv, MaxPool and AveragePool, opset 13."""
    strides = pair(attributes.get("strides") or (1, 1), "strides")
    dilations = pair(attributes.get("dilations") or (1, 1), "dilations")
    if min(*kernel, *strides, *dilations) < 1:
        raise ModelError(f"kernel {kernel}, strides {strides}, dilations {dilations}", expected="all at least 1")
    same = [same_pads(*axis) for axis in zip(size, kernel, strides, dilations, strict=True)]
    pads = _pads(attributes, same)
    extra = (0, 0)
    if attributes.get("ceil_mode", 0):
        sizes = zip(size, pads, kernel, strides, dilations, strict=True)
        first, second = (_beyond(*axis) for axis in sizes)
        extra = (first, second)
    return Window(kernel, strides, dilations, pads, extra, [*pads] == same and not any(extra))


def pair(values: Any, what: str) -> Pair:
    """Two numbers, of y and x."""
    if len(values) != 2:
        raise ModelError(f"{what} {tuple(values)}", expected="two numbers: the operator works on pictures")
    return int(values[0]), int(values[1])


def _pads(attributes: Mapping[str, Any], same: list[Pair | None]) -> tuple[Pair, Pair]:
    auto = attributes.get("auto_pad", "NOTSET") or "NOTSET"
    if auto in {"SAME_UPPER", "SAME_LOWER"}:
        first, second = (_fixed(axis) for axis in same)
        return (first, second) if auto == "SAME_UPPER" else (first[::-1], second[::-1])
    if auto not in {"NOTSET", "VALID"}:
        raise ModelError(f"auto_pad {auto!r}", expected="NOTSET, SAME_UPPER, SAME_LOWER or VALID")
    pads = tuple(attributes.get("pads") or (0, 0, 0, 0)) if auto == "NOTSET" else (0, 0, 0, 0)
    if len(pads) != 4 or min(pads) < 0:
        raise ModelError(f"pads {pads}", expected="four numbers, none negative")
    return (int(pads[0]), int(pads[2])), (int(pads[1]), int(pads[3]))


def _fixed(pads: Pair | None) -> Pair:
    if pads is None:
        raise ModelError("padding that follows the picture's size, which is open", expected="a fixed size")
    return pads


def same_pads(size: int | None, kernel: int, stride: int, dilation: int) -> Pair | None:
    """(before, after) that TensorFlow's SAME adds: https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2.

    None where it depends on a size that is open.
    """
    reach = (kernel - 1) * dilation + 1
    if stride == 1:
        total = reach - 1
    elif size is None:
        return None
    else:
        total = max(0, (-(-size // stride) - 1) * stride + reach - size)
    return total // 2, total - total // 2


def _beyond(size: int | None, pads: Pair, kernel: int, stride: int, dilation: int) -> int:
    """What `ceil_mode` needs behind the padding. A last window that would begin there is left out, as ONNX Runtime does."""
    if size is None:
        raise ModelError("ceil_mode with an open size", expected="a fixed size")
    reach = (kernel - 1) * dilation + 1
    steps = -(-(size + sum(pads) - reach) // stride)
    if steps * stride >= size + pads[0]:
        steps -= 1
    return max(0, steps * stride + reach - size - sum(pads))


def places(size: int, pads: Pair, extra: int, window_: tuple[int, int, int]) -> int:
    """How many windows (kernel, stride, dilation) fit."""
    kernel, stride, dilation = window_
    return (size + sum(pads) + extra - (kernel - 1) * dilation - 1) // stride + 1
