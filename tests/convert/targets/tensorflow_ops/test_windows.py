from __future__ import annotations

from typing import Any

import pytest

from convert.targets.tensorflow_ops.windows import window
from edge.errors import ModelError


@pytest.mark.parametrize(
    ("attributes", "kernel", "size", "around", "same"),
    [
        ({}, (3, 3), (9, 9), [(0, 0), (0, 0)], False),
        ({"pads": (1, 1, 1, 1)}, (3, 3), (9, 9), [(1, 1), (1, 1)], True),
        ({"pads": (1, 1, 1, 1)}, (3, 3), (None, None), [(1, 1), (1, 1)], True),
        # Stride 2 over an even size: TensorFlow pads behind only.
        ({"pads": (1, 1, 1, 1), "strides": (2, 2)}, (3, 3), (8, 8), [(1, 1), (1, 1)], False),
        ({"pads": (0, 0, 1, 1), "strides": (2, 2)}, (3, 3), (8, 8), [(0, 1), (0, 1)], True),
        ({"pads": (1, 1, 1, 1), "strides": (2, 2)}, (3, 3), (9, 9), [(1, 1), (1, 1)], True),
        ({"pads": (1, 1, 1, 1), "strides": (2, 2)}, (3, 3), (None, 9), [(1, 1), (1, 1)], False),
        ({"auto_pad": "SAME_UPPER", "strides": (2, 2)}, (3, 3), (8, 9), [(0, 1), (1, 1)], True),
        ({"auto_pad": "SAME_LOWER", "strides": (2, 2)}, (3, 3), (8, 9), [(1, 0), (1, 1)], False),
        ({"auto_pad": "VALID", "pads": (9, 9, 9, 9)}, (3, 3), (9, 9), [(0, 0), (0, 0)], False),
        ({"ceil_mode": 1, "strides": (2, 2)}, (2, 2), (9, 8), [(0, 1), (0, 0)], False),
        # A window that would begin behind the picture is none.
        ({"ceil_mode": 1, "strides": (3, 3), "pads": (0, 0, 1, 1)}, (2, 2), (8, 8), [(0, 1), (0, 1)], False),
        ({"dilations": (2, 2), "pads": (2, 2, 2, 2)}, (3, 3), (9, 9), [(2, 2), (2, 2)], True),
    ],
)
def test_padding(attributes: dict[str, Any], kernel: Any, size: Any, around: Any, same: bool) -> None:  # noqa: FBT001
    made = window(attributes, kernel, size)
    assert made.around == around
    assert made.same == (same and made.is_padded) or not made.is_padded


@pytest.mark.parametrize(
    "attributes",
    [
        {"strides": (2,)}, {"strides": (0, 1)}, {"pads": (1, 1)}, {"pads": (-1, 0, 0, 0)}, {"auto_pad": "SOMEHOW"},
        {"dilations": (1, 1, 1)},
    ],
)  # fmt: skip
def test_what_is_no_window_of_a_picture(attributes: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        window(attributes, (3, 3), (9, 9))


@pytest.mark.parametrize("attributes", [{"auto_pad": "SAME_UPPER", "strides": (2, 2)}, {"ceil_mode": 1}])
def test_an_open_size_that_matters(attributes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="open"):
        window(attributes, (3, 3), (None, 9))
