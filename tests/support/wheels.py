"""Tiny wheels, a tiny lock of them, and a tiny checkout that a release can be made of."""

from __future__ import annotations

import hashlib
import shutil
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from deploy.release.target import Target
from tests.support.data import ROOT

MACHINES = {"aarch64": (2, 183), "armv7l": (1, 40), "x86_64": (2, 62), "riscv64": (2, 243)}
_INFO = {"METADATA", "WHEEL", "RECORD", "LICENSE"}
EPOCH = 1_700_000_000
CHECKOUT = ("pyproject.toml", "LICENSE", "systemd", "deploy/debian", "deploy/release/install.sh", "edge/data")


def library(machine: str, glibc: int = 17) -> bytes:
    """The first bytes of a shared library, and what its table of names says of the C library."""
    bits, number = MACHINES[machine]
    head = b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9) + struct.pack("<HH", 3, number)
    return head + b"\0libc.so.6\0GLIBC_2.4\0" + f"GLIBC_2.{glibc}".encode() + b"\0GLIBC_PRIVATE\0"


@dataclass(frozen=True, slots=True)
class TinyWheel:
    """What is in one."""

    name: str = "tiny"
    version: str = "1.0"
    tag: str = "py3-none-any"
    inside: str = ""
    """Tag in its WHEEL file, where it is another one."""
    licence: str = "License-Expression: MIT"
    requires: tuple[str, ...] = ()
    files: tuple[tuple[str, bytes], ...] = (("LICENSE", b"the text\n"),)
    """More files; LICENSE lies in the .dist-info folder."""

    def write(self, folder: Path) -> Path:
        """The wheel in a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        distribution = f"{self.name.replace('-', '_')}-{self.version}"
        path, info = folder / f"{distribution}-{self.tag}.whl", f"{distribution}.dist-info"
        rows = ["Metadata-Version: 2.4", f"Name: {self.name}", f"Version: {self.version}", self.licence]
        rows += [f"Requires-Dist: {it}" for it in self.requires]
        with zipfile.ZipFile(path, "w") as archive:
            about = f"Wheel-Version: 1.0\nTag: {self.inside or self.tag}\n"
            files = [("METADATA", "\n".join(rows).encode()), ("WHEEL", about.encode()), ("RECORD", b""), *self.files]
            for name, data in files:
                # A ZipInfo of its own has always the same date, and the wheel always the same digest.
                archive.writestr(zipfile.ZipInfo(f"{info}/{name}" if name in _INFO else name), data)
        return path


def binary(target: Target, name: str = "binary", *, glibc: int = 17, machine: str = "") -> TinyWheel:
    """A wheel with a library for a target."""
    tag = f"cp311-abi3-manylinux_2_17_{target.machine}"
    contents = library(machine or target.machine, glibc)
    return TinyWheel(name, tag=tag, files=(("LICENSE", b"the text\n"), (f"{name}/core.abi3.so", contents)))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lock_of(*wheels: Path) -> str:
    """A lock with these wheels."""
    rows = []
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        rows.append(f"{name.replace('_', '-')}=={version} \\\n    --hash=sha256:{sha256(wheel)}\n")
    return "".join(rows)


def tiny_checkout(folder: Path, target: Target, *wheels: Path) -> Path:
    """A checkout with what a release is made of, `edge` without most of its modules, and a lock of these wheels."""
    for name in CHECKOUT:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, folder / name)
    (folder / "edge" / "__init__.py").write_text('"""Tiny."""\n\n__version__ = "0.0.1"\n')
    (folder / "edge" / "__pycache__").mkdir()
    (folder / "edge" / "__pycache__" / "left.pyc").write_bytes(str(folder).encode())
    lock = folder / target.lock
    lock.parent.mkdir()
    lock.write_text(lock_of(*wheels))
    return folder
