"""Resize: whichever of TensorFlow's operators looks at the same places.

What ONNX and TensorFlow call the ways to look is not compared, but the places themselves, for the sizes at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convert.network import Array, Node
from convert.targets.tensorflow_ops.emission import Emission, Held, Tensor
from convert.targets.tensorflow_ops.layout import NHWC
from edge.errors import ModelError

Looks = tuple[bool, bool]
"""(align_corners, half_pixel_centers) of TensorFlow's operators."""

LOOKS: tuple[Looks, ...] = ((False, False), (False, True), (True, False))


def resize(emission: Emission, node: Node) -> Held:
    """Height and width to constant sizes: nearest in every mode, linear where TensorFlow looks at the same places."""
    image, mode = emission.image(node), str(node.attributes.get("mode", "nearest"))
    if mode not in {"nearest", "linear"} or node.attributes.get("antialias", 0):
        raise ModelError(
            f"mode {mode!r}{' with antialias' * bool(node.attributes.get('antialias', 0))}", expected=SUPPORTED
        )
    size, scales = _sizes(emission, node, image)
    coordinates = [_coordinates(node, *axis) for axis in zip(image.shape[1:3], size, scales, strict=True)]
    compute = _nearest if mode == "nearest" else _linear
    return Held(compute(emission, node, image, (size, coordinates)), NHWC)


SUPPORTED = (
    "nearest, or linear with coordinate_transformation_mode half_pixel, pytorch_half_pixel, align_corners or asymmetric, "
    "without antialias"
)


def _sizes(emission: Emission, node: Node, image: Tensor) -> tuple[list[int], list[float]]:
    """(H, W) afterwards, and the scales of both as the source reckons with them."""
    before = [image.shape[1], image.shape[2]]
    if None in before:
        raise ModelError("a picture whose size is open", expected="a fixed size")
    scales, sizes = (_given(emission, node, index) for index in (2, 3))
    if sizes is not None:
        wanted = [int(size) for size in sizes]
        _check_rest(wanted[1] == image.shape[3], wanted, 4)
        return wanted[2:], [after / size for after, size in zip(wanted[2:], before, strict=True)]
    if scales is None:
        raise ModelError("neither scales nor sizes", expected="constants")
    factors = [float(scale) for scale in scales]
    _check_rest(factors[:2] == [1.0, 1.0], factors, 4)
    # float32 as ONNX Runtime: 0.6 * 10 must not become 5.
    after = [
        int(np.floor(np.float32(size) * np.float32(scale))) for size, scale in zip(before, factors[2:], strict=True)
    ]
    return after, factors[2:]


def _given(emission: Emission, node: Node, index: int) -> Array | None:
    values = emission.optional(node, index)
    return None if values is None or not values.size else values.reshape(-1)


def _check_rest(is_alike: bool, given: list[Any], count: int) -> None:  # noqa: FBT001  a condition, as in assert
    if not is_alike or len(given) != count:
        raise ModelError(f"scales or sizes {given}", expected="batch and channels unchanged")


def _coordinates(node: Node, before: int, after: int, scale: float) -> Array:
    """Where each new place looks, float64; https://onnx.ai/onnx/operators/onnx__Resize.html."""
    places = np.arange(after, dtype=np.float64)
    mode = str(node.attributes.get("coordinate_transformation_mode", "half_pixel"))
    looks: dict[str, Callable[[], Array]] = {
        "half_pixel": lambda: (places + 0.5) / scale - 0.5,
        "pytorch_half_pixel": lambda: (places + 0.5) / scale - 0.5 if after > 1 else places * 0,
        "asymmetric": lambda: places / scale,
        "align_corners": lambda: places * (before - 1) / (after - 1) if after > 1 else places * 0,
        "tf_half_pixel_for_nn": lambda: (places + 0.5) / scale,
    }
    if mode not in looks:
        raise ModelError(f"coordinate_transformation_mode {mode!r}", expected=", ".join(looks))
    return looks[mode]()


def _rounded(node: Node, coordinates: Array, before: int) -> Array:
    """The nearest place; ties as `nearest_mode` says."""
    mode = str(node.attributes.get("nearest_mode", "round_prefer_floor"))
    ways: dict[str, Callable[[Array], Array]] = {
        "round_prefer_floor": lambda values: np.ceil(values - 0.5),
        "round_prefer_ceil": lambda values: np.floor(values + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    if mode not in ways:
        raise ModelError(f"nearest_mode {mode!r}", expected=", ".join(ways))
    return np.asarray(np.clip(ways[mode](coordinates), 0, before - 1), np.int32)


def _nearest(emission: Emission, node: Node, image: Tensor, how: tuple[list[int], list[Array]]) -> Tensor:
    tf, (size, coordinates), before = emission.tf, how, image.shape[1:3]
    wanted = [_rounded(node, *axis) for axis in zip(coordinates, before, strict=True)]
    for looks in LOOKS:
        found = [_seen_by_nearest(*axis, looks) for axis in zip(before, size, strict=True)]
        if all(np.array_equal(*axis) for axis in zip(found, wanted, strict=True)):
            return tf.raw_ops.ResizeNearestNeighbor(
                images=image, size=np.array(size, np.int32), align_corners=looks[0], half_pixel_centers=looks[1]
            )
    for axis, places in enumerate(wanted):
        if not np.array_equal(places, np.arange(before[axis])):
            image = emission.pick(image, places.tolist(), 1 + axis)
    return image


def _scale(before: int, after: int, looks: Looks) -> np.float32:
    """float32, as TensorFlow's kernels compute it."""
    numbers = (before - 1, after - 1) if looks[0] and after > 1 else (before, after)
    return np.float32(numbers[0]) / np.float32(numbers[1])


def _seen_by_nearest(before: int, after: int, looks: Looks) -> Array:
    places = np.arange(after, dtype=np.float32) + np.float32(0.5 if looks[1] else 0)
    seen = places * _scale(before, after, looks)
    # Half away from zero when corners are aligned, else floor.
    whole = np.floor(seen + np.float32(0.5)) if looks[0] else np.floor(seen)
    return np.asarray(np.clip(whole, 0, before - 1), np.int32)


def _linear(emission: Emission, _: Node, image: Tensor, how: tuple[list[int], list[Array]]) -> Tensor:
    (size, coordinates), before = how, image.shape[1:3]
    wanted = [np.clip(axis, 0, have - 1) for axis, have in zip(coordinates, before, strict=True)]
    for looks in LOOKS:
        found = [_seen_by_linear(*axis, looks) for axis in zip(before, size, strict=True)]
        if all(np.allclose(*axis, rtol=0, atol=1e-4) for axis in zip(found, wanted, strict=True)):
            return emission.tf.raw_ops.ResizeBilinear(
                images=image, size=np.array(size, np.int32), align_corners=looks[0], half_pixel_centers=looks[1]
            )
    raise ModelError(
        f"linear Resize {list(before)} -> {size} at places TensorFlow does not look at", expected=SUPPORTED
    )


def _seen_by_linear(before: int, after: int, looks: Looks) -> Array:
    shift = 0.5 if looks[1] else 0.0
    places = (np.arange(after) + shift) * float(_scale(before, after, looks)) - shift
    return np.asarray(np.clip(places, 0, before - 1))
