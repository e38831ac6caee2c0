"""Sizes of axes, some known only when a network runs, and the arithmetic that sources do with them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convert.network import Array, Shape


@dataclass(frozen=True, slots=True)
class Unknown:
    """A size that the network learns from its input, as the text of an expression: equal texts are equal sizes.

    There is no order between sizes: comparing one raises TypeError, which leaves a comparison to run time.
    """

    text: str

    def __add__(self, other: Size) -> Size:
        return self if other == 0 else Unknown(f"({self}+{other})")

    def __radd__(self, other: Size) -> Size:
        return self + other

    def __sub__(self, other: Size) -> Size:
        if other == self:
            return 0
        return self if other == 0 else Unknown(f"({self}-{other})")

    def __rsub__(self, other: int) -> Size:
        return Unknown(f"({other}-{self})")

    def __mul__(self, other: Size) -> Size:
        if other == 0:
            return 0
        return self if other == 1 else Unknown(f"({self}*{other})")

    def __rmul__(self, other: Size) -> Size:
        return self * other

    def __floordiv__(self, other: Size) -> Size:
        if other == self:
            return 1
        return self if other == 1 else Unknown(f"({self}/{other})")

    def __truediv__(self, other: Size) -> Size:
        return self // other

    def __mod__(self, other: Size) -> Size:
        return 0 if other == 1 else Unknown(f"({self}%{other})")

    def __neg__(self) -> Size:
        return Unknown(f"(-{self})")

    def __str__(self) -> str:
        return self.text


Size = int | Unknown
Sizes = tuple[Size, ...]


def named(name: str, shape: Shape) -> Sizes:
    """Sizes of an input: one that is open gets a name of its own."""
    return tuple(Unknown(f"{name}[{axis}]") if size is None else int(size) for axis, size in enumerate(shape))


def as_shape(sizes: Sequence[Size]) -> Shape:
    """None where a size is open."""
    return tuple(size if isinstance(size, int) else None for size in sizes)


def as_array(sizes: Sequence[Size]) -> Array:
    """What a source's Shape gives: int64, or objects where a size is open."""
    made = np.empty(len(sizes), object)
    made[:] = list(sizes)
    return normal(made)


def normal(value: Array) -> Array:
    """Numbers as numbers: an array of objects becomes int64 when none of them is open."""
    if value.dtype != object or any(isinstance(each, Unknown) for each in value.flat):
        return value
    whole = all(isinstance(each, int | np.integer) for each in value.flat)
    return value.astype(np.int64 if whole else np.float32)


def is_open(value: Array) -> bool:
    """Whether some of it is known only when the network runs."""
    return value.dtype == object


def as_sizes(value: Array) -> Sizes:
    """The sizes that an array of them holds."""
    return tuple(each if isinstance(each, Unknown) else int(each) for each in np.asarray(value).flat)


def product(sizes: Sequence[Size]) -> Size:
    """How many values a tensor of these sizes has."""
    known = math.prod(size for size in sizes if isinstance(size, int))
    texts = sorted(size.text for size in sizes if not isinstance(size, int))
    if not texts or known == 0:
        return known
    text = texts[0] if len(texts) == 1 else f"({'*'.join(texts)})"
    return Unknown(text) if known == 1 else Unknown(f"({text}*{known})")


def quotient(whole: Sequence[Size], part: Sequence[Size]) -> Size:
    """What is left for one axis when `part` are the others: product(whole) / product(part)."""
    open_whole = Counter(size for size in whole if not isinstance(size, int))
    open_part = Counter(size for size in part if not isinstance(size, int))
    above: list[Size] = list((open_whole - open_part).elements())
    below: list[Size] = list((open_part - open_whole).elements())
    numerator = math.prod(size for size in whole if isinstance(size, int))
    denominator = math.prod(size for size in part if isinstance(size, int))
    if denominator and numerator % denominator == 0:
        above, numerator, denominator = [*above, numerator // denominator], 1, 1
    top = product([*above, numerator])
    bottom = product([*below, denominator])
    return top if bottom == 1 else (Unknown(f"({top}/{bottom})"))


def broadcast(left: Sequence[Size], right: Sequence[Size]) -> Sizes:
    """Sizes of an element-by-element result; ValueError where they do not fit (numpy's rules)."""
    axes = max(len(left), len(right))
    pairs = zip((1,) * (axes - len(left)) + tuple(left), (1,) * (axes - len(right)) + tuple(right), strict=True)
    return tuple(_together(one, other) for one, other in pairs)


def _together(one: Size, other: Size) -> Size:
    if other in {one, 1}:
        return one
    if one == 1 or isinstance(one, Unknown):
        return other
    if isinstance(other, Unknown):
        return one
    raise ValueError(f"sizes {one} and {other} do not fit together")


def windows(size: Size, kernel: int, stride: int, padding: str | tuple[int, int]) -> Size:
    """How many windows of `kernel` (dilation included) lie along an axis: TensorFlow's SAME or VALID, or pads before and after."""
    if padding == "SAME":
        return -(-size // stride) if isinstance(size, int) else Unknown(f"ceil({size}/{stride})")
    total = 0 if isinstance(padding, str) else sum(padding)
    if isinstance(size, int):
        return (size + total - kernel) // stride + 1
    rest = total - kernel + stride
    if stride == 1:
        return size + rest if rest else size
    return Unknown(f"floor(({size}+{rest})/{stride})")


def same_pads(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """(before, after) that TensorFlow's SAME adds: https://www.tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2."""
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


def reshape_target(source: Sequence[Size], wanted: Sequence[Size]) -> Array | None:
    """What an ONNX Reshape is given: 0 for a size that stays at its place, -1 for one other that is open; None where two are."""
    numbers: list[int] = []
    for place, size in enumerate(wanted):
        stays = isinstance(size, Unknown) and place < len(source) and source[place] == size
        numbers.append(size if isinstance(size, int) else 0 if stays else -1)
    if numbers.count(-1) > 1:
        return None
    return np.asarray(numbers, np.int64)


def shown(shape: Sequence[Size]) -> str:
    """A shape for a message."""
    return f"[{', '.join(str(size) for size in shape)}]"
