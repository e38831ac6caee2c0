"""Disks that fill up and turn read-only: a small tmpfs, which only root may mount."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BALLAST = "ballast"


class Disk:
    """A file system of `size` at `path`."""

    def __init__(self, path: Path, size: str) -> None:
        self.path = path
        path.mkdir(parents=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"cannot mount: {done.stderr.decode().strip()}")

    def fill(self) -> None:
        """To the last byte."""
        with (self.path / BALLAST).open("ab", buffering=0) as handle:
            for size in (65_536, 4096, 1):
                try:
                    while True:
                        handle.write(b"x" * size)
                except OSError:
                    continue

    def make_room(self) -> None:
        (self.path / BALLAST).unlink()

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.path)], check=True, capture_output=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=True, capture_output=True)


@contextmanager
def small_disk(path: Path, size: str = "1M") -> Iterator[Disk]:
    """Mounted for as long as the context lasts; the test is skipped where that is not allowed."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    disk = Disk(path, size)
    try:
        yield disk
    finally:
        disk.unmount()
