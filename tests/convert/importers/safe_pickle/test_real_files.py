"""The published files, against PyTorch and numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convert.importers.safe_pickle import read_checkpoint, read_npy_object
from tests.support.data import test_data

CHECKPOINTS = (
    ("models", "mobilefacenet-pytorch", "068.ckpt"),
    ("models", "minifasnet", "2.7_80x80_MiniFASNetV2.pth"),
    ("models", "minifasnet", "4_0_0_80x80_MiniFASNetV1SE.pth"),
    ("models", "mtcnn-pytorch", "pnet.pt"),
    ("models", "mtcnn-pytorch", "rnet.pt"),
    ("models", "mtcnn-pytorch", "onet.pt"),
)


def count_equal(found: Any, expected: Any) -> int:
    """Number of equal arrays; fails where anything differs."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        return sum(count_equal(found[key], expected[key]) for key in expected)
    if hasattr(expected, "numpy"):
        expected = expected.numpy()
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        return 1
    assert found == expected
    return 0


@pytest.mark.parametrize("parts", CHECKPOINTS, ids=lambda parts: parts[-1])
def test_reads_what_torch_reads(parts: tuple[str, ...]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the reference")
    path = test_data(*parts)
    expected = torch.load(path, weights_only=True, map_location="cpu")
    assert count_equal(read_checkpoint(path), expected) > 10


@pytest.mark.parametrize("name", ["det1.npy", "det2.npy", "det3.npy"])
def test_reads_what_numpy_reads(name: str) -> None:
    path = test_data("models", "mtcnn-numpy", name)
    expected = np.load(path, allow_pickle=True, encoding="latin1").item()
    assert count_equal(read_npy_object(path), expected) > 10
