"""What the package needs of the distribution, read from what is in it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from deploy.release.debian.elf import is_elf, read_library
from deploy.release.target import Target
from edge.errors import RejectedError

_OWNERS = {
    "libc.so.6": "libc6", "libm.so.6": "libc6", "libdl.so.2": "libc6", "libpthread.so.0": "libc6", "librt.so.1": "libc6",
    "libutil.so.1": "libc6", "ld-linux-aarch64.so.1": "libc6", "ld-linux-x86-64.so.2": "libc6", "ld-linux-armhf.so.3": "libc6",
    "libgcc_s.so.1": "libgcc-s1", "libstdc++.so.6": "libstdc++6", "libz.so.1": "zlib1g", "libatomic.so.1": "libatomic1",
}  # fmt: skip
"""Debian's package of each library that wheels may leave to the system (PEP 600), and of those that they do leave."""


def needed_packages(folder: Path, target: Target) -> tuple[str, ...]:
    """Packages with the libraries that those in `folder` need and do not bring along.

    RejectedError for a library of another machine, or one that no package is known to have.
    """
    needed: dict[str, str] = {}
    brought = set()
    for path in _files(folder):
        if not is_elf(path):
            continue
        library = read_library(path)
        where = str(path.relative_to(folder))
        if library.machine != target.machine:
            hint = "A wheel for another machine: fetch the release's wheels again."
            raise RejectedError(f"made for {library.machine}", where=where, expected=target.machine, hint=hint)
        brought |= {path.name, library.name}
        needed.update(dict.fromkeys(library.needed, where))
    missing = {name: where for name, where in needed.items() if name not in brought}
    for name, where in sorted(missing.items()):
        if name not in _OWNERS:
            hint = "Name its package in deploy/release/debian/depends.py."
            raise RejectedError(f"needs {name}, and no package is known to have it", where=where, hint=hint)
    return tuple(sorted({_OWNERS[name] for name in missing}))


def depends(target: Target, packages: Iterable[str]) -> str:
    """The field Depends."""
    major, minor = (int(part) for part in target.python.split("."))
    glibc = f"libc6 (>= {target.glibc[0]}.{target.glibc[1]})"
    libraries = [glibc if package == "libc6" else package for package in packages]
    python = [f"python{target.python}", f"python3 (>= {target.python}~)", f"python3 (<< {major}.{minor + 1}~)"]
    # passwd makes the service's user where systemd does not, and removes it everywhere.
    return ", ".join([*sorted({*libraries, *target.distribution_packages, "passwd"}), *python])


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
