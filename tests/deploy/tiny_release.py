"""A release with everything in it, and next to nothing in that: for tests of what is built from one."""

from __future__ import annotations

import base64
import hashlib
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.release.target import Target
from tests.support.data import ROOT

EPOCH = 1_763_683_200
_MACHINES = {"aarch64": (2, 183), "x86_64": (2, 62), "armv7l": (1, 40)}
_TEXT = "Copyright 2026 Ada. Nothing forbidden."


def elf_file(machine: str, needed: Sequence[str] = (), name: str = "") -> bytes:
    """A library without a single instruction: header, one loaded and one dynamic segment, names."""
    bits, number = _MACHINES[machine]
    texts = b"\0" + b"".join(word.encode() + b"\0" for word in [*needed, name])
    places = [1 + sum(len(word) + 1 for word in needed[:index]) for index in range(len(needed) + 1)]
    sizes = (64, 56, 16, "<4xHH", "<IIQQQQQQ", "<qQ") if bits == 2 else (52, 32, 8, "<4xHH", "<IIIIIIII", "<iI")
    header, segment, entry = sizes[:3]
    dynamic_at = header + 2 * segment
    tags = [(1, place) for place in places[:-1]] + ([(14, places[-1])] if name else []) + [(5, 0), (0, 0)]
    texts_at = dynamic_at + entry * len(tags)
    tags = [(tag, texts_at + 0x1000 if tag == 5 else value) for tag, value in tags]
    whole = texts_at + len(texts)
    parts = [
        _header(bits, number),
        _segment(bits, 1, 0, 0x1000, whole),
        _segment(bits, 2, dynamic_at, 0x1000 + dynamic_at, entry * len(tags)),
        *(struct.pack(sizes[5], *tag) for tag in tags),
        texts,
    ]
    return b"".join(parts)


def _header(bits: int, machine: int) -> bytes:
    start = b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9)
    if bits == 2:
        return start + struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    return start + struct.pack("<HHIIIIIHHHHHH", 3, machine, 1, 0, 52, 0, 0, 52, 32, 2, 0, 0, 0)


def _segment(bits: int, kind: int, offset: int, address: int, size: int) -> bytes:
    if bits == 2:
        return struct.pack("<IIQQQQQQ", kind, 4, offset, address, address, size, size, 1)
    return struct.pack("<IIIIIIII", kind, offset, address, address, size, size, 4, 1)


def make_wheel(
    folder: Path, name: str, files: Mapping[str, bytes], *, tag: str = "py3-none-any", version: str = "1.0"
) -> Path:
    """`files` may name members of its `.dist-info` as `@/NAME`."""
    info = f"{name}-{version}.dist-info"
    members = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\nAuthor: Ada\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
        f"{info}/LICENSE": f"{_TEXT}\n\n.And so on for {name}.\n".encode(),
        **{place.replace("@/", f"{info}/"): data for place, data in files.items()},
    }
    rows = [f"{place},sha256={_digest(data)},{len(data)}\n" for place, data in members.items()]
    members[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"]).encode()
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for place, data in members.items():
            archive.writestr(place, data)
    return path


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def make_release(folder: Path, target: Target) -> Path:
    """With Ostiary in two modules, a library for the target, and a package that brings too much."""
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    edge = {"edge/__init__.py": b"", "edge/cli.py": b"def main(): return 0\n", "convert/__init__.py": b""}
    points = b"[console_scripts]\nostiary = edge.cli:main\nostiary-convert = convert.cli:main\n[other]\nx = y:z\n"
    make_wheel(wheels, "ostiary", {**edge, "@/entry_points.txt": points}, version="1.2rc3")
    python = f"cp{target.python.replace('.', '')}"
    libraries = {
        "native/core.so": elf_file(target.machine, ["libc.so.6", "libstdc++.so.6", "libown-1.so"]),
        "native.libs/libown-1.so": elf_file(target.machine, ["libm.so.6"], "libown-1.so"),
        "native/__init__.py": b"",
    }
    make_wheel(wheels, "native", libraries, tag=f"{python}-{python}-manylinux_2_17_{target.machine}")
    more = {
        "numpy/__init__.py": b"",
        "numpy/linalg/tests/test_it.py": b"",
        "more.data/purelib/extra.py": b"",
        "more.data/scripts/x": b"",
    }
    make_wheel(wheels, "more", {**more, "@/entry_points.txt": b"[console_scripts]\nmore = numpy:main\n"})
    _make_rest(folder)
    return folder


def _make_rest(folder: Path) -> None:
    for path in (ROOT / "systemd").iterdir():
        _put(folder / "systemd" / path.name, path.read_bytes())
    _put(folder / "config/ostiary.yaml", (ROOT / "deploy/debian/ostiary.yaml").read_bytes())
    _put(folder / "config/ostiary.example.yaml", b"# every key\n")
    _put(folder / "LICENSES/LICENCES.txt", b"native 1.0: MIT\n")
    _put(folder / "sbom.cdx.json", b"{}\n")
    _put(folder / "sboms/native-1.0/auditwheel.cdx.json", b"{}\n")


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
