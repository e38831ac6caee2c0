"""Random state dicts, written by PyTorch and read without it."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.importers.safe_pickle import read_checkpoint

torch = pytest.importorskip("torch", reason="PyTorch writes the files")

DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool,
)  # fmt: skip


def as_numpy(tensor: Any) -> Any:
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


@st.composite
def tensors(draw: st.DrawFn) -> Any:
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    count = math.prod(shape)
    base = (torch.arange(count, dtype=torch.float32) - count / 2).to(draw(st.sampled_from(DTYPES))).reshape(shape)
    kind = draw(st.sampled_from(["whole", "turned", "part", "expanded"]))
    if kind == "turned" and len(shape) > 1:
        return base.transpose(0, -1)
    if kind == "part" and shape and shape[0] > 1:
        return base[1:, ...]
    return base.unsqueeze(0).expand(3, *shape) if kind == "expanded" else base


names = st.text("abc.01_", min_size=1, max_size=8)
state_dicts = st.dictionaries(
    names, tensors() | st.integers() | st.none() | st.dictionaries(names, tensors(), max_size=2), max_size=5
)


@settings(max_examples=100, deadline=None)
@given(made=state_dicts, is_legacy=st.booleans())
def test_any_state_dict(made: dict[str, Any], *, is_legacy: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.pt"
        torch.save(made, path, _use_new_zipfile_serialization=not is_legacy)
        found = read_checkpoint(path)
    _assert_same(found, made)


def _assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            _assert_same(found[key], value)
    elif isinstance(expected, torch.Tensor):
        array = as_numpy(expected)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
    else:
        assert found == expected


@pytest.mark.parametrize("is_legacy", [False, True])
def test_views_of_one_storage(tmp_path: Path, *, is_legacy: bool) -> None:
    base = torch.arange(12.0)
    made = {"whole": base, "row": base[4:8], "turned": base.reshape(3, 4).t(), "every second": base[::2]}
    torch.save(made, tmp_path / "x.pt", _use_new_zipfile_serialization=not is_legacy)
    found = read_checkpoint(tmp_path / "x.pt")
    _assert_same(found, made)
    found["row"][:] = -1
    assert found["whole"][4] == 4, "arrays are copies"


@pytest.mark.parametrize("is_legacy", [False, True])
def test_a_checkpoint_of_training(tmp_path: Path, *, is_legacy: bool) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimiser = torch.optim.Adam(module.parameters())
    module(torch.rand(2, 3, 5, 5)).sum().backward()
    optimiser.step()
    extra = {"epoch": 3, "size": torch.Size([3, 5]), "device": torch.device("cpu"), "dtype": torch.float32}
    made = {
        "state_dict": module.state_dict(),
        "optimizer": optimiser.state_dict(),
        "parameter": module[0].weight,
        **extra,
    }
    torch.save(made, tmp_path / "x.pt", _use_new_zipfile_serialization=not is_legacy)
    found = read_checkpoint(tmp_path / "x.pt")
    _assert_same(found["state_dict"], dict(module.state_dict()))
    _assert_same(found["parameter"], module[0].weight.detach())
    assert (found["epoch"], found["size"], found["device"], found["dtype"]) == (3, (3, 5), "cpu", "torch.float32")
    assert found["optimizer"]["param_groups"][0]["lr"] == pytest.approx(1e-3)
