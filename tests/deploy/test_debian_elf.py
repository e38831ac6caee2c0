"""Libraries read as the loader reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import cv2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deploy.release.debian.elf import is_elf, read_library
from edge.errors import RejectedError
from tests.deploy.tiny_release import elf_file

pytestmark = pytest.mark.once


@pytest.mark.parametrize("machine", ["aarch64", "x86_64", "armv7l"])
def test_what_a_library_says(tmp_path: Path, machine: str) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(elf_file(machine, ["libc.so.6", "libm.so.6"], "libown.so.1"))
    assert is_elf(path)
    library = read_library(path)
    assert (library.machine, library.needed, library.name) == (machine, ("libc.so.6", "libm.so.6"), "libown.so.1")


@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf is not installed")
def test_as_readelf_says() -> None:
    found = sorted(Path(cv2.__file__).parent.glob("*.so")) + sorted(Path(sysconfig.get_paths()["platlib"]).glob("*.so"))
    assert found
    for path in found:
        said = subprocess.run(["readelf", "-d", str(path)], check=True, capture_output=True, text=True).stdout
        library = read_library(path)
        assert list(library.needed) == re.findall(r"\(NEEDED\).*\[(.+)\]", said)
        assert [library.name] == (re.findall(r"\(SONAME\).*\[(.+)\]", said) or [""])


@example(cut=58, places=[(39, 128)])
@given(cut=st.integers(4, 250), places=st.lists(st.tuples(st.integers(4, 250), st.integers(0, 255)), max_size=8))
def test_a_damaged_one_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, cut: int, places: list[tuple[int, int]]
) -> None:
    data = bytearray(elf_file("aarch64", ["libc.so.6"], "libown.so.1"))
    for place, value in places:
        if place < len(data):
            data[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged.so"
    path.write_bytes(data[:cut])
    try:
        needed = read_library(path).needed
    except RejectedError as error:
        needed = (error.problem,)
        said = error.problem.startswith("not a whole ELF file")
    else:
        said = True
    assert said
    assert all(isinstance(name, str) for name in needed)
