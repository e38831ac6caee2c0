"""Files that mean harm: refused, and nothing of them executed."""

from __future__ import annotations

import functools
import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.importers.safe_pickle import read_checkpoint, read_npy_object
from convert.importers.safe_pickle.archive import MAGIC, read_tensors
from edge.errors import ModelError


class Harm:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def as_npy(data: bytes) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": ()})
    return header.getvalue() + data


def as_zip(data: bytes, *, compression: int = zipfile.ZIP_STORED, **entries: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, content in {"data.pkl": data, "version": b"3\n", **entries}.items():
            archive.writestr(f"x/{name}", content)
    return made.getvalue()


def as_legacy(data: bytes, *, is_little: bool = True) -> bytes:
    system = {"protocol_version": 1001, "little_endian": is_little, "type_sizes": {}}
    parts = [pickle.dumps(value, protocol=2) for value in (MAGIC, 1001, system)]
    return b"".join([*parts, data, pickle.dumps([], protocol=2)])


Container = Callable[[bytes], bytes]
CONTAINERS: dict[str, Container] = {".npy": as_npy, ".pt": as_zip, ".pth": as_legacy}


def read(path: Path) -> Any:
    return read_npy_object(path) if path.suffix == ".npy" else read_checkpoint(path)


@pytest.fixture(params=CONTAINERS)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / f"hostile{request.param}"
        path.write_bytes(CONTAINERS[request.param](data))
        return path

    return write


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
@pytest.mark.parametrize("function", [os.mkdir, os.system, eval, exec, getattr, __import__, functools.partial, open])
def test_calls_are_refused_by_name(written: Callable[[bytes], Path], function: Any, protocol: int) -> None:
    path = written(pickle.dumps({"a": 1, "b": Harm(function, "x")}, protocol=protocol))
    with pytest.raises(ModelError, match=rf"holds code \(.*{function.__name__}\): refused, never executed"):
        read(path)


def test_nothing_is_executed(written: Callable[[bytes], Path], tmp_path: Path) -> None:
    proof = tmp_path / "executed"
    data = pickle.dumps(Harm(os.mkdir, str(proof)), protocol=2)
    with pytest.raises(ModelError, match="never executed"):
        read(written(data))
    assert not proof.exists()
    pickle.loads(data)  # noqa: S301 (shows that it would have been: this pickle makes the folder)
    assert proof.exists()


GLOBALS = {
    "object of a class": b"\x80\x02c__main__\nNet\n)\x81.",
    "INST": b"(S'true'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'true'\no.",
    "EXT": b"\x82\x01.",
    "stack global": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    "dotted name": b"\x80\x04\x8c\x0bcollections\x8c\x15OrderedDict.__class__\x93.",
    "attribute of a module": b"ctorch.serialization\nload\n.",
    "persistent text": b"Pstorage\n.",
    "buffer": b"\x80\x05\x97.",
}


@pytest.mark.parametrize("data", GLOBALS.values(), ids=GLOBALS)
def test_other_ways_to_code(written: Callable[[bytes], Path], data: bytes) -> None:
    with pytest.raises(ModelError, match="refused"):
        read(written(data))


def _laughs(depth: int) -> Any:
    made: Any = []
    for _ in range(depth):
        made = [made, made]
    return made


def _in_itself() -> Any:
    made: list[Any] = []
    made.append(made)
    return made


MALFORMED = {
    "empty": b"",
    "no end": b"\x80\x02}",
    "nothing on the stack": b".",
    "memo that is not there": b"\x80\x02h\x05.",
    "no mark": b"\x80\x02t.",
    "put of nothing": b"\x80\x02q\x00.",
    "text of 2**60 bytes": b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b".",
    "bytes of 2**31 - 1": b"\x80\x04B" + struct.pack("<I", (1 << 31) - 1) + b".",
    "memo index of 2**32 - 1": b"\x80\x02}r\xff\xff\xff\xff\x93.",
    "call of a number": b"\x80\x02K\x01)R.",
    "call of a dtype": b"\x80\x02cnumpy\nndarray\n)R.",
    "state for a number": b"\x80\x02K\x01}b.",
    "odd escape": b"S'\\d'\n)R.",
    "odd dict": b"\x80\x02(K\x01d.",
    "key that is a tuple": b"\x80\x02}))s.",
    "in itself": pickle.dumps(_in_itself(), protocol=2),
    "a billion lists": pickle.dumps({"x": _laughs(60)}, protocol=2),
    "a hundred levels": pickle.dumps({"x": functools.reduce(lambda made, _: [made], range(100), [])}, protocol=2),
    "array of 2**40 numbers": (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01\x8a\x06\x00\x00\x00\x00\x00\x01\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R\x89U\x04aaaatb."
    ),
    "dtype of objects outside": b"\x80\x02cnumpy\ndtype\nU\x03V99K\x00K\x01\x87R.",
}  # fmt: skip


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_pickles(written: Callable[[bytes], Path], data: bytes) -> None:
    with pytest.raises(ModelError):
        read(written(data))


def tensor_pickle(count: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """A state dict with one float32 tensor over storage 0, written opcode by opcode."""
    made = b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(("
    made += b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    made += _number(count) + b"tQ" + _number(offset) + _numbers(shape) + _numbers(strides)
    return made + b"\x89}tRs."


def _number(value: int) -> bytes:
    raw = value.to_bytes(16, "little", signed=True)
    return b"\x8a\x10" + raw


def _numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(_number(value) for value in values) + b"t"


def test_a_tensor_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(as_zip(tensor_pickle(6, 1, (2, 2), (2, 1)), **{"data/0": np.arange(6, dtype="<f4").tobytes()}))
    np.testing.assert_array_equal(read_checkpoint(path)["w"], [[1, 2], [3, 4]])


def test_numbers_of_a_big_endian_machine(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    data = np.arange(4, dtype=">f4").tobytes()
    path.write_bytes(as_zip(tensor_pickle(4, 0, (4,), (1,)), byteorder=b"big", **{"data/0": data}))
    np.testing.assert_array_equal(read_checkpoint(path)["w"], [0, 1, 2, 3])


@pytest.mark.parametrize(
    ("count", "offset", "shape", "strides"),
    [
        (6, 4, (2, 2), (2, 1)),  # reaches behind the storage
        (6, -1, (2,), (1,)),
        (6, 0, (2,), (-1,)),
        (6, 0, (2, 2), (1,)),
        (6, 0, (-2,), (1,)),
        (1 << 40, 0, (1 << 40,), (1,)),  # more than the file has
        (6, 0, (1 << 40,), (0,)),  # expanded without end
        (6, 0, (1 << 31, 1 << 31, 4), (0, 0, 0)),
        (6, 0, (2,) * 40, (0,) * 40),
        (-6, 0, (0,), (1,)),
        (6, 1 << 62, (0,), (1,)),
    ],
)
def test_tensors_outside_their_storage(tmp_path: Path, count: int, offset: int, shape: Any, strides: Any) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(as_zip(tensor_pickle(count, offset, shape, strides), **{"data/0": bytes(24)}))
    with pytest.raises(ModelError):
        read_checkpoint(path)


def _twice(first: bytes) -> bytes:
    made = io.BytesIO(first)
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({}))
    return made.getvalue()


def _two_folders() -> bytes:
    made = io.BytesIO(as_zip(GOOD))
    with zipfile.ZipFile(made, "a") as archive:
        archive.writestr("y/data.pkl", GOOD)
    return made.getvalue()


def _encrypted(first: bytes) -> bytes:
    place = first.index(b"PK\x01\x02")
    return first[: place + 8] + b"\x01" + first[place + 9 :]


def _overlapping() -> bytes:
    """Directory entries that all show the same bytes."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("x/data.pkl", bytes(4000))
        for index in range(50):
            twin = zipfile.ZipInfo(f"x/data/{index}")
            first = archive.filelist[0]
            twin.file_size, twin.compress_size, twin.CRC, twin.header_offset = (
                first.file_size,
                first.file_size,
                first.CRC,
                0,
            )
            archive.filelist.append(twin)
    return made.getvalue()


GOOD = pickle.dumps(OrderedDict(), protocol=2)
ARCHIVES: dict[str, tuple[Callable[[], bytes], str]] = {
    "compressed bomb": (lambda: as_zip(bytes(50_000_000), compression=zipfile.ZIP_DEFLATED), "compressed entries"),
    "overlapping entries": (_overlapping, "larger than the archive"),
    "encrypted": (lambda: _encrypted(as_zip(GOOD)), "encrypted"),
    "outside": (lambda: as_zip(GOOD, **{"../../y": b""}), "outside the archive"),
    "two pickles": (_two_folders, "2 data.pkl"),
    "no storage": (lambda: as_zip(tensor_pickle(6, 0, (6,), (1,))), "no x/data/0"),
    "short storage": (lambda: as_zip(tensor_pickle(6, 0, (6,), (1,)), **{"data/0": bytes(20)}), "has 20 bytes"),
    "byte order": (lambda: as_zip(tensor_pickle(0, 0, (0,), (1,)), byteorder=b"middle"), "byte order"),
    "no directory": (lambda: as_zip(GOOD)[:40], "not a sound zip"),
    "tar": (lambda: b"\0" * 257 + b"ustar" + b"\0" * 250, "tar archive"),
    "text": (lambda: b"<html>404</html>", "neither a zip archive nor a pickle"),
    "other pickle": (lambda: pickle.dumps({"a": 1}, protocol=2), "pickle"),
    "list": (lambda: as_zip(pickle.dumps([1], protocol=2)), "holds a list"),
    "big-endian machine": (lambda: as_legacy(GOOD, is_little=False), "big-endian"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), ARCHIVES.values(), ids=ARCHIVES)
def test_archives_that_are_refused(tmp_path: Path, make: Callable[[], bytes], message: str) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(make())
    with pytest.raises(ModelError, match=message):
        read_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # the file is made so on purpose
def test_two_entries_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    path.write_bytes(_twice(as_zip(GOOD)))
    with pytest.raises(ModelError, match="two entries of one name"):
        read_checkpoint(path)


SOUND = (
    as_zip(tensor_pickle(6, 1, (2, 2), (2, 1)), **{"data/0": bytes(24)}),
    as_legacy(pickle.dumps(OrderedDict(a=1, b=[2.0, "x"]), protocol=2)),
)


@settings(max_examples=400, deadline=None)
@given(
    which=st.sampled_from(SOUND),
    place=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
    is_cut=st.booleans(),
)
def test_damaged_files_never_raise_anything_else(*, which: bytes, place: float, byte: int, is_cut: bool) -> None:
    index = int(place * len(which))
    damaged = which[:index] if is_cut else which[:index] + bytes([byte]) + which[index + 1 :]
    try:
        read_tensors(damaged, "x")
    except ModelError as error:
        assert error.where.startswith("x")  # noqa: PT017 (a sound file may come out, too)


@settings(max_examples=400, deadline=None)
@given(data=st.binary(max_size=60), head=st.sampled_from([b"\x80\x02", b"\x80\x04", b""]))
def test_noise_never_raises_anything_else(data: bytes, head: bytes) -> None:
    try:
        read_tensors(as_zip(head + data + b"."), "x")
    except ModelError as error:
        assert error.where.startswith("x")  # noqa: PT017 (a sound file may come out, too)
