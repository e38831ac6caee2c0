"""A qemu-aarch64 that starts this machine's own Python, and writes counts that were made up."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from convert.benchmark.emulator import PACKAGES

VERSION = "qemu-aarch64 version 7.2.22 (Debian 1:7.2+dfsg-7)"
HELP = "-plugin              QEMU_PLUGIN       [file=]<file>[,<argname>=<argvalue>]"
MARKS = "1000 0\n1100 0\n6400 70\n11200 140\n16000 210\n"
"""Nothing takes 100; then three inferences."""
INFERENCES = (5300 - 100, 4800 - 100, 4800 - 100)


def write_program(folder: Path, name: str, text: str = "exit 0\n") -> Path:
    """A shell script that can be started."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}", encoding="utf-8")
    path.chmod(0o755)
    return path


def write_emulator(folder: Path, *, version: str = VERSION, usage: str = HELP, before: str = "") -> Path:
    """`before` is what it does before it starts a program."""
    # Its options are -cpu X -L X -plugin COUNT,out=MARKS, and then the program.
    start = before + f'printf \'{MARKS}\' > "${{6##*,out=}}"\nshift 6\nexec "$@"\n'
    text = f"case $1 in\n--version) echo '{version}'; exit;;\n--help) echo '{usage}'; exit;;\nesac\n{start}"
    return write_program(folder, "qemu-aarch64", text)


def write_root(folder: Path, *runtimes: str) -> Path:
    """An ARM root whose Python and packages are this machine's."""
    (folder / "usr" / "bin").mkdir(parents=True)
    (folder / "usr" / "bin" / "python3").symlink_to(sys.executable)
    (folder / "proc").mkdir()
    site = Path(np.__file__).parents[1]
    (folder / "opt").mkdir()
    for runtime in runtimes:
        (folder / PACKAGES[runtime]).symlink_to(site)
    return folder
