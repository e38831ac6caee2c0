from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.importers.safe_pickle import read_npy_object
from edge.errors import ModelError


def _written(path: Path, value: Any, protocol: int) -> Path:
    """As numpy.save does it, in any protocol."""
    with path.open("wb") as handle:
        np.lib.format.write_array_header_1_0(handle, {"descr": "|O", "fortran_order": False, "shape": ()})
        holder = np.empty((), object)
        holder[()] = value
        pickle.dump(holder, handle, protocol=protocol)
    return path


ARRAYS = [
    np.arange(6, dtype="<f4").reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype="f8").reshape(2, 3)),
    np.arange(3, dtype=">i4"),
    np.array([True, False]),
    np.zeros((0, 3), np.float16),
    np.array(2.5),
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{list(array.shape)}")
def test_arrays_in_any_protocol(tmp_path: Path, array: Any, protocol: int) -> None:
    value = {"layer": {"weights": array, "again": array}, "name": "p", "list": [1, 2.5, None, (True, "x")]}
    found = read_npy_object(_written(tmp_path / "x.npy", value, protocol))
    np.testing.assert_array_equal(found["layer"]["weights"], array)
    np.testing.assert_array_equal(found["layer"]["again"], array)
    assert found["layer"]["weights"].dtype == array.dtype.newbyteorder("=")
    assert found["list"] == [1, 2.5, None, (True, "x")]


def test_numbers_of_numpy(tmp_path: Path) -> None:
    found = read_npy_object(_written(tmp_path / "x.npy", {"scale": np.float32(0.25), "count": np.int64(3)}, 4))
    assert (found["scale"], found["count"]) == (0.25, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a sound .npy file"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "not a sound .npy file"),
        (b"\x93NUMPY\x09\x00\x10\x00" + b" " * 16, "not a sound .npy file"),
    ],
)
def test_headers_that_are_none(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_npy_object(path)


def test_a_plain_array_is_no_object(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros(3))
    with pytest.raises(ModelError, match="expected one pickled object"):
        read_npy_object(tmp_path / "x.npy")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_npy_object(tmp_path / "none.npy")


@pytest.mark.parametrize(
    "value", [np.array(["text"]), np.zeros(2, [("a", "f4")]), {1, 2}, range(3)], ids=["text", "records", "set", "range"]
)
def test_other_contents_are_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ModelError, match=r"refused|not a sound pickle"):
        read_npy_object(_written(tmp_path / "x.npy", {"x": value}, 4))
