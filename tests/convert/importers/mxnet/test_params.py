from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.importers.mxnet.params import read_params
from edge.errors import ModelError
from tests.convert.mxnet_files import LEGACY, V1, V2, V3, params_bytes

VALUES = {
    "arg:conv_weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "aux:bn_moving_mean": np.array([0.5, -1.0], np.float32),
    "gluon.name": np.array([[3]], np.float32),
}


def written(content: bytes, folder: Path) -> Path:
    path = folder / "tiny-0000.params"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("version", [LEGACY, V1, V2, V3])
def test_arrays_of_every_version_are_read(version: int, tmp_path: Path) -> None:
    read = read_params(written(params_bytes(VALUES, version), tmp_path))
    assert list(read) == ["conv_weight", "bn_moving_mean", "gluon.name"]
    for value, expected in zip(read.values(), VALUES.values(), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(
    ("dtype", "read_as"),
    [
        ("float64", "float32"), ("float16", "float32"), ("uint8", "uint8"), ("int8", "int8"), ("int32", "int32"),
        ("int64", "int64"), ("bool", "bool"),
    ],
)  # fmt: skip
def test_numbers_of_every_kind_are_read(dtype: str, read_as: str, tmp_path: Path) -> None:
    value = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    read = read_params(written(params_bytes({"x": value}), tmp_path))["x"]
    assert read.dtype == read_as
    np.testing.assert_array_equal(read, value.astype(read_as))


def test_a_bfloat16_is_the_upper_half_of_a_float32(tmp_path: Path) -> None:
    content = bytearray(params_bytes({"x": np.array([1, 2], np.float16)}))
    at = content.index(struct.pack("<iii", 1, 0, 2)) + 8
    content[at : at + 8] = struct.pack("<iHH", 12, 0x3F80, 0xC040)
    np.testing.assert_array_equal(read_params(written(bytes(content), tmp_path))["x"], np.array([1, -3], np.float32))


def test_a_scalar_of_the_newest_version_has_no_axes(tmp_path: Path) -> None:
    assert read_params(written(params_bytes({"x": np.array(2.5, np.float32)}, V3), tmp_path))["x"] == np.float32(2.5)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    content = params_bytes(VALUES)
    for length in range(len(content)):
        with pytest.raises(ModelError, match="not a sound MXNet parameter file"):
            read_params(written(content[:length], tmp_path))


def _damaged(at: int, form: str, *values: int) -> bytes:
    content = bytearray(params_bytes({"x": np.zeros((2, 2), np.float32)}))
    struct.pack_into(form, content, at, *values)
    return bytes(content)


DAMAGE: dict[str, tuple[bytes, str]] = {
    "another list": (_damaged(0, "<Q", 0x111), "this one with 0x111"),
    "countless arrays": (_damaged(16, "<Q", 2**63), "9223372036854775808 arrays"),
    "sparse": (_damaged(28, "<i", 1), "storage type 1"),
    "very many axes": (_damaged(32, "<i", 2**31 - 1), "2147483647 axes"),
    "fewer than no axes": (_damaged(32, "<i", -5), "-5 axes"),
    "a negative size": (_damaged(36, "<q", -2), "shape \\[-2, 2\\]"),
    "a huge array": (_damaged(36, "<qq", 2**62, 2**62), "are left"),
    "an unknown dtype": (_damaged(60, "<i", 99), "dtype 99"),
    "a name too long": (_damaged(88, "<Q", 2**40), "a name of"),
    "a name twice": (params_bytes({"arg:x": np.zeros(1, np.float32), "aux:x": np.zeros(1, np.float32)}), "given twice: x"),
    "a name that is no text": (params_bytes({"x": np.zeros(1, np.float32)})[:-1] + b"\xff", "not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_and_nothing_large_is_allocated(name: str, tmp_path: Path) -> None:
    content, found = DAMAGE[name]
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=found) as caught:
            read_params(written(content, tmp_path))
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert "Copy the file again" in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_params(tmp_path / "none.params")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), min_size=1, max_size=6))
def test_flipped_bytes_give_arrays_or_a_clear_error(tmp_path_factory: Any, flips: list[tuple[int, int]]) -> None:
    content = bytearray(params_bytes(VALUES))
    for at, value in flips:
        content[at % len(content)] = value
    try:
        read = read_params(written(bytes(content), tmp_path_factory.mktemp("flipped")))
    except ModelError:
        return
    assert sum(value.nbytes for value in read.values()) <= 2 * len(content)
